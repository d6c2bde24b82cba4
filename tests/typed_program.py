"""A program in gevent's style, as a type checker sees it: `make lint` runs `mypy --strict` on it with the package as it is
installed, and test_types.py runs it.

`assert_type` says what a checker must find. `same` says it to both: the checker, and the interpreter. What is wrong is at the end.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from typing import Any, TypeVar, assert_type

import verdigris
from verdigris import Greenlet, GreenletExit, Timeout, getcurrent, iwait, joinall, monkey, sleep, spawn, wait
from verdigris.core import READ
from verdigris.event import AsyncResult, Event
from verdigris.fileobject import FileObject
from verdigris.hub import Hub, Waiter, get_hub
from verdigris.local import local
from verdigris.lock import BoundedSemaphore, RLock, Semaphore
from verdigris.os import nb_read, nb_write
from verdigris.pool import Group, Pool
from verdigris.pywsgi import WSGIServer
from verdigris.queue import Channel, Empty, JoinableQueue, LifoQueue, PriorityQueue, Queue, SimpleQueue
from verdigris.select import select
from verdigris.server import StreamServer
from verdigris.socket import create_connection, socket, socketpair
from verdigris.ssl import SSLContext, create_default_context
from verdigris.subprocess import PIPE, Popen, check_output
from verdigris.threadpool import ThreadPool, ThreadPoolExecutor
from verdigris.timeout import with_timeout

T = TypeVar("T")

LIMIT = 60
"""Seconds that nothing here takes."""


def same(value: T, kind: type[T]) -> T:
    """The value, which is of that type."""
    assert isinstance(value, kind), f"{value!r} is no {kind}"
    return value


def square(number: int, *, negative: bool = False) -> int:
    sleep(0)
    return -number * number if negative else number * number


def name_of(number: int) -> str:
    return f"number {number}"


# Greenlets ------------------------------------------------------------------------------------------------------------


def greenlets() -> None:
    task = spawn(square, 3, negative=True)
    assert_type(task.get(), int)
    same(task.get(), int)
    assert_type(task.value, int | None)
    assert_type(task.ready(), bool)
    assert_type(task.exception, BaseException | None)

    assert_type(Greenlet.spawn(name_of, 3).get(), str)
    assert_type(Greenlet.spawn_later(0, name_of, 3).get(timeout=LIMIT), str)
    assert_type(verdigris.spawn_later(0, name_of, 3).get(timeout=LIMIT), str)
    made = Greenlet(name_of, 4)
    made.start()
    same(made.get(), str)

    tasks = [spawn(square, number) for number in range(3)]
    done = joinall(tasks, timeout=LIMIT, raise_error=True)
    assert_type([each.get() for each in done], list[int])
    assert sorted(each.get() for each in done) == [0, 1, 4]
    for each in iwait(tasks, timeout=LIMIT):
        assert_type(each.get(), int)
    takes_any_greenlets(tasks)
    assert_type(wait(timeout=LIMIT), bool)
    verdigris.killall(tasks)


def of_several_classes() -> None:
    event = Event()
    event.set()
    assert len(joinall([spawn(square, 2), spawn(name_of, 3), spawn(len, [])], timeout=LIMIT)) == 3
    assert len(wait([spawn(square, 2), event], timeout=LIMIT)) == 2
    for ready in iwait([spawn(square, 2), event], timeout=LIMIT):
        assert ready.ready()


def takes_any_greenlets(tasks: Iterable[Greenlet]) -> None:
    """Type parameters need not be written."""
    for task in tasks:
        assert_type(task.get(), Any)


class Countdown(Greenlet[..., list[int]]):
    """A subclass with a constructor of its own."""

    def __init__(self, start: int) -> None:
        super().__init__()
        self.start_at = start

    def _run(self) -> list[int]:
        return list(range(self.start_at, 0, -1))


def subclasses() -> None:
    countdown = Countdown.spawn(3)
    assert_type(countdown, Countdown)
    assert_type(countdown.get(), list[int])
    assert countdown.get() == [3, 2, 1]


def told_of_the_end() -> None:
    seen: list[int] = []

    def note(task: Greenlet[..., int]) -> None:
        seen.append(task.get())

    task = spawn(square, 2)
    task.link(note)
    task.rawlink(note)
    task.join()
    sleep(0)
    assert seen == [4, 4]


def raw_greenlets() -> None:
    class Worker(verdigris.hub.RawGreenlet):
        def run(self, number: int) -> str:
            return name_of(number)

    current = getcurrent()
    assert_type(current, verdigris.hub.RawGreenlet)
    assert_type(current.parent, verdigris.hub.RawGreenlet | None)
    assert_type(Worker().switch(3), Any)
    assert_type(current.dead, bool)


# Waiting --------------------------------------------------------------------------------------------------------------


def events_and_results() -> None:
    event = Event()
    spawn(event.set)
    assert_type(event.wait(timeout=LIMIT), bool)
    same(event.wait(), bool)

    result = AsyncResult[int]()
    spawn(result.set, 3)
    assert_type(result.get(timeout=LIMIT), int)
    assert_type(result.wait(), int | None)
    same(result.get(), int)
    assert_type(wait([event, event], timeout=LIMIT), list[Event])

    from_link: AsyncResult[int] = AsyncResult()
    spawn(square, 3).link(from_link)
    assert from_link.get() == 9


def limits() -> None:
    assert_type(may_return_early(), str)
    assert returns_something_else() == "else"
    assert_type(with_timeout(LIMIT, square, 3), int)
    assert_type(with_timeout(0.001, sleep_and_return, LIMIT, timeout_value=None), int | None)
    assert with_timeout(0.001, sleep_and_return, LIMIT, timeout_value=None) is None
    limit = Timeout.start_new(LIMIT)
    assert_type(limit, Timeout)
    limit.cancel()
    short = Timeout(0.001)
    try:
        with short:
            sleep(LIMIT)
    except Timeout as error:
        assert error is short
        assert_type(error.seconds, float | None)


def sleep_and_return(seconds: float) -> int:
    sleep(seconds)
    return 1


def may_return_early() -> str:
    """No checker misses a `return` after the block, for nothing is swallowed."""
    with Timeout(LIMIT):
        return "within"


def returns_something_else() -> str:
    """Nor does it take what follows for unreachable, for this is swallowed."""
    with Timeout(0.001, False):
        sleep(LIMIT)
        return "within"
    return "else"


def locks() -> None:
    with Semaphore(2) as nothing, RLock() as taken, BoundedSemaphore():
        assert_type(nothing, None)
        assert_type(same(taken, bool), bool)
    semaphore = Semaphore(value=1)
    assert_type(semaphore.acquire(timeout=LIMIT), bool)
    assert_type(same(semaphore.release(), int), int)
    assert_type(same(semaphore.wait(), int), int)


class Mine(local):
    def __init__(self, name: str) -> None:
        self.name = name


def locals_of_greenlets() -> None:
    mine = Mine("main")
    mine.other = 3
    assert_type(mine.name, str)
    assert spawn(getattr, mine, "other", None).get() is None


# Queues ---------------------------------------------------------------------------------------------------------------


def queues() -> None:
    queue = Queue[int](maxsize=3)
    queue.put(1, timeout=LIMIT)
    queue.put(2, block=False)
    assert_type(queue.get(), int)
    assert_type(queue.peek(), int)
    assert_type(queue.qsize(), int)
    queue.get()
    try:
        queue.get_nowait()
    except Empty:
        pass
    assert_type(LifoQueue(items=[1, 2]).get(), int)
    assert_type(PriorityQueue(items=[(2, "b"), (1, "a")]).get(), tuple[int, str])
    simple: SimpleQueue[str] = SimpleQueue()
    spawn(simple.put, "item")
    assert_type(simple.get(timeout=LIMIT), str)
    joinable: JoinableQueue[str] = JoinableQueue()
    assert_type(same(joinable.join(timeout=LIMIT), bool), bool)
    joinable.shutdown()

    channel = Channel[str]()
    spawn(channel.put, "through")
    for item in channel:
        assert_type(item, str)
        break
    without_a_parameter = Queue()
    without_a_parameter.put(3)
    assert_type(without_a_parameter.get(), Any)


# Pools ----------------------------------------------------------------------------------------------------------------


def pools() -> None:
    pool = Pool(2)
    assert_type(pool.spawn(square, 3).get(), int)
    assert_type(pool.map(square, range(3)), list[int])
    assert pool.map(square, range(3)) == [0, 1, 4]
    assert_type(list(pool.imap(name_of, [1, 2])), list[str])
    assert_type(list(pool.imap(repeated, [1, 2], ["a", "b"])), list[str])
    assert_type(list(pool.imap_unordered(lambda number: number * 2, [1, 2])), list[int])
    for name in pool.imap_unordered(name_of, [1, 2], maxsize=1):
        assert_type(same(name, str), str)
    assert_type(pool.apply(square, (3,), {"negative": True}), int)
    assert_type(pool.apply_async(square, [3], callback=print_nothing).get(), int)
    assert_type(pool.map_async(name_of, [3]).get(), list[str])
    assert_type(same(pool.join(timeout=LIMIT), bool), bool)
    assert_type(pool.free_count(), int)

    group = Group()
    group.add(spawn(square, 3))
    for member in group:
        assert_type(member.ready(), bool)
    group.kill(GreenletExit, timeout=LIMIT)


def repeated(number: int, text: str) -> str:
    return text * number


def print_nothing(number: int) -> None:
    same(number, int)


def native_threads() -> None:
    pool = ThreadPool(2)
    assert_type(pool.apply(name_of, (3,)), str)
    result = pool.spawn(name_of, 3)
    assert_type(result.get(), str)
    assert_type(pool.map(name_of, [3]), list[str])
    assert_type(get_hub().threadpool.apply(name_of, (3,)), str)
    pool.kill()
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(name_of, 3)
        assert_type(future.result(timeout=LIMIT), str)
        assert_type(list(executor.map(name_of, [3])), list[str])


# The loop -------------------------------------------------------------------------------------------------------------


def loops() -> None:
    hub = get_hub()
    assert_type(hub, Hub)
    seen = Queue[str]()

    def called_with_events(events: int, name: str) -> None:
        seen.put(f"{name} {events == READ}")

    hub.loop.run_callback(seen.put, "callback")
    timer = hub.loop.timer(0)
    timer.start(seen.put, "timer")
    assert_type(timer.active, bool)
    reader, writer = os.pipe()
    os.write(writer, b"x")
    missing = {"callback", "timer", "io True"}
    with hub.loop.io(reader, READ) as watcher:
        watcher.start(called_with_events, "io", pass_events=True)
        while missing:
            missing.discard(seen.get())
        assert_type(watcher.events, int)
    assert_type(nb_read(reader, 1), bytes)
    assert_type(nb_write(writer, b"y"), int)
    assert_type(select([reader], [], [], LIMIT), tuple[list[Any], list[Any], list[Any]])
    os.close(reader)
    os.close(writer)
    hub.wait(hub.loop.timer(0))
    waiter: Waiter[str] = Waiter()
    hub.loop.run_callback(waiter.switch, "switched")
    assert_type(same(waiter.get(), str), str)


# Sockets, servers, files, processes -----------------------------------------------------------------------------------


def sockets() -> None:
    left, right = socketpair()
    assert_type(left, socket)
    with left, right:
        left.sendall(b"hello\n")
        assert_type(same(right.recv(3), bytes), bytes)
        with right.makefile("rb") as file:
            assert_type(same(file.readline(), bytes), bytes)
        assert_type(left.fileno(), int)
        assert_type(left.gettimeout(), float | None)
    assert_type(create_default_context(), SSLContext)


def echo(connection: socket, address: tuple[str, int]) -> None:
    with connection:
        while data := connection.recv(100):
            connection.sendall(data)


def servers() -> None:
    with StreamServer(("127.0.0.1", 0), echo, spawn=Pool(10)) as server:
        server.start()
        assert server.server_port is not None
        with create_connection(("127.0.0.1", server.server_port), timeout=LIMIT) as client:
            client.sendall(b"back")
            assert same(client.recv(10), bytes) == b"back"
    web = WSGIServer(("127.0.0.1", 0), application, log=None)
    web.start()
    assert web.server_port is not None
    client = create_connection(("127.0.0.1", web.server_port), timeout=LIMIT)
    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    with client, client.makefile("rb") as file:
        assert file.read().endswith(b"\r\n\r\nhello")
    web.stop()


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def files_and_processes() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file")
        with FileObject(path, "w") as text:
            assert_type(text.write("line\n"), int)
    assert_type(check_output(["echo", "here"]), bytes)
    with Popen(["echo", "here"], stdout=PIPE) as of_bytes:
        assert_type(of_bytes.communicate(timeout=LIMIT), tuple[bytes, bytes])
    with Popen(["echo", "here"], stdout=PIPE, text=True) as process:
        assert_type(process, Popen[str])
        out, _ = process.communicate(timeout=LIMIT)
        assert same(out, str) == "here\n"
        assert_type(process.result.get(), int)


def patching() -> None:
    assert_type(monkey.is_module_patched("socket"), bool)
    assert_type(same(monkey.get_original("time", "sleep").__name__, str), Any)


# What must be an error --------------------------------------------------------------------------------------------------


def wrong() -> None:
    """Checked and not run: strict mode reports each `type: ignore` without an error to ignore."""
    spawn(square, "3")  # type: ignore[arg-type]
    spawn(square, 3, negation=True)  # type: ignore[call-arg]
    AsyncResult[int]().set("3")  # type: ignore[arg-type]
    AsyncResult[int]().set()  # type: ignore[call-arg]
    Queue[int]().put("1")  # type: ignore[arg-type]
    Pool().map(square, ["a"])  # type: ignore[arg-type]
    ThreadPool(1).spawn(square, "a")  # type: ignore[arg-type]
    with_timeout(1, square, "3")  # type: ignore[call-overload]
    get_hub().loop.run_callback(name_of, "3")  # type: ignore[arg-type]
    get_hub().loop.no_such_method()  # type: ignore[attr-defined]
    FileObject("path", "w").write(b"line")  # type: ignore[arg-type]
    Timeout("1")  # type: ignore[call-overload]
    socketpair()[0].sendall("text")  # type: ignore[arg-type]
    verdigris.spwan(square, 3)  # type: ignore[attr-defined]


ALL = [
    greenlets,
    of_several_classes,
    subclasses,
    told_of_the_end,
    raw_greenlets,
    events_and_results,
    limits,
    locks,
    locals_of_greenlets,
    queues,
    pools,
    native_threads,
    loops,
    sockets,
    servers,
    files_and_processes,
    patching,
]

if __name__ == "__main__":
    for part in ALL:
        part()
    print("done")
