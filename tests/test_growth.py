"""What is done very often leaves nothing behind: afterwards the process has no more memory, greenlets, descriptors or threads.

Fifty thousand times each, or as often as VERDIGRIS_GROWTH_ROUNDS says; connections a tenth of that. `make leaks` makes it a million
and shows the figures.
"""

import os

import pytest
from conftest import Run

pytestmark = pytest.mark.skipif(
    "VERDIGRIS_ASAN" in os.environ, reason="AddressSanitizer keeps freed memory for a while: its process always grows"
)

ROUNDS = int(os.environ.get("VERDIGRIS_GROWTH_ROUNDS", "50000"))

OFTEN = {
    "spawn and join": "gevent.spawn(nothing).join()",
    "spawn and forget": "gevent.spawn(nothing); gevent.sleep(0)",
    "spawn and get with a timeout": "gevent.spawn(nothing).get(timeout=10)",
    "spawn many and joinall": "if n % 100 == 0: gevent.joinall([gevent.spawn(nothing) for _ in range(100)])",
    "spawn an error": "gevent.spawn(fail).join()",
    "spawn and link": "g = gevent.spawn(nothing); g.link(print_nothing); g.rawlink(print_nothing); g.join(); gevent.sleep(0)",
    "kill before the start": "gevent.spawn(nothing).kill()",
    "kill while waiting": "g = gevent.spawn(gevent.sleep, 100); gevent.sleep(0); g.kill()",
    "kill later": "g = gevent.spawn(gevent.sleep, 100); gevent.sleep(0); g.kill(block=False); g.join()",
    "spawn later and kill": "gevent.spawn_later(100, nothing).kill()",
    "timeout started and cancelled": "gevent.Timeout(100).start_new(100).cancel()",
    "timeout in a with statement": "\n    with gevent.Timeout(100): gevent.sleep(0)",
    "timeout that fires": "\n    if n % 20 == 0:\n        with gevent.Timeout(0, False): gevent.sleep(100)",
    "join that times out": "if n % 20 == 0: forever.join(0)",
    "callback": "loop.run_callback(nothing); gevent.sleep(0)",
    "callback stopped": "loop.run_callback(nothing).stop()",
    "callback from another thread": "loop.run_callback_threadsafe(nothing); gevent.sleep(0)",
    "timer watcher": "w = loop.timer(100); w.start(nothing); w.stop(); w.close()",
    "timer dropped while it runs": "w = loop.timer(0); w.start(nothing); del w; gevent.sleep(0)",
    "event watcher": "w = loop.async_(); w.start(nothing); w.send(); gevent.sleep(0); w.close()",
    "greenlet dropped while suspended": "g = greenlet.greenlet(away); g.switch(); del g",
    "greenlet in a cycle dropped while suspended": "c = []; g = greenlet.greenlet(away); c.append((c, g)); g.switch(); del g, c",
    "greenlets inside a greenlet": "gevent.spawn(inside).join()",
    "local": "gevent.spawn(use_local).join()",
    "contextvars": "gevent.spawn(variable.set, bytes(100)).join()",
    "event": "e = gevent.event.Event(); g = gevent.spawn(e.wait); e.set(); g.join()",
    "event waited for too short": "gevent.event.Event().wait(0)",
    "result": "r = gevent.event.AsyncResult(); r.set(bytes(100)); r.get()",
    "semaphore": "g = gevent.spawn(semaphore.acquire); gevent.sleep(0); semaphore.release(); g.join()",
    "queue": "queue.put(bytes(100)); queue.get()",
    "queue with a greenlet that waits": "g = gevent.spawn(queue.get); gevent.sleep(0); queue.put(bytes(100)); g.join()",
    "pool": "pool.spawn(nothing); pool.join()",
    "thread pool": "threads.apply(bytes, (100,))",
    "thread pool with an error": "\n    try: threads.apply(fail)\n    except ValueError: pass",
    "connection": "\n    if n % 10 == 0:\n        c = gevent.socket.create_connection(address); s, _ = listener.accept(); s.close(); c.close()",
    "connection with data": "\n    if n % 10 == 0:\n        a, b = gevent.socket.socketpair(); g = gevent.spawn(a.recv, 9); b.sendall(b'x'); g.join(); a.close(); b.close()",
}

NAMES = ("MB", "greenlets", "descriptors", "threads")

PROGRAM = """
import os
if not os.environ.get("GENUINE_GEVENT"):
    import verdigris; verdigris.install_as_gevent()
import contextvars, gc, gevent, gevent.event, gevent.hub, gevent.local, gevent.lock, gevent.pool, gevent.queue, gevent.socket
import greenlet, sys, threading
loop = gevent.get_hub().loop
gevent.get_hub().exception_stream = None
local, variable = gevent.local.local(), contextvars.ContextVar("variable")
semaphore, queue, pool, threads = gevent.lock.Semaphore(0), gevent.queue.Queue(), gevent.pool.Pool(9), gevent.get_hub().threadpool
listener = gevent.socket.create_server(("127.0.0.1", 0)); address = listener.getsockname()
forever = gevent.spawn(gevent.sleep, 10000)
def nothing(*_): pass
def print_nothing(_): pass
def fail(): raise ValueError(bytes(1000))
def away(): greenlet.getcurrent().parent.switch(bytes(1000))
def inside(): gevent.joinall([gevent.spawn(nothing) for _ in range(3)])
def use_local(): local.value = bytes(1000)
def figures():
    gevent.sleep(0)
    gc.collect()
    greenlets = sum(isinstance(thing, greenlet.greenlet) for thing in gc.get_objects())
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    return pages * 4 // 1024, greenlets, len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
def rounds(count):
    for n in range(count):
        WHAT
        pass
rounds(ROUNDS // 10)
before = figures()
rounds(ROUNDS)
print(*before, *figures())
"""


@pytest.mark.parametrize("what", OFTEN)
def test_nothing_is_left_behind(program: Run, what: str) -> None:
    body = OFTEN[what].replace("\n    ", "\n        ")
    source = PROGRAM.replace("WHAT", body).replace("ROUNDS", str(ROUNDS))
    ended = program(source, patched=False)
    assert ended.status == 0, ended.stderr
    figures = [int(figure) for figure in ended.stdout.split()]
    before, after = figures[:4], figures[4:]
    print(f"{what:44} " + " ".join(f"{name} {a:>4} -> {b:<4}" for name, a, b in zip(NAMES, before, after, strict=True)))
    # The smallest object that could be lost is larger than 40 bytes a round; what the allocator keeps for itself is less.
    grown_mb = after[0] - before[0]
    assert grown_mb <= max(2, ROUNDS * 20 // 1_000_000), f"{what}: {grown_mb} MB more after {ROUNDS} rounds"
    assert after[1:] == before[1:], f"{what}: more {', '.join(NAMES[1:])} than before: {before[1:]}, {after[1:]}"


def test_a_destroyed_hub_leaves_no_descriptor(program: Run) -> None:
    """Each thread's loop has an epoll and an eventfd; the greenlet of the hub that ran it is left behind and must not keep them."""
    source = """
        import os
        if not os.environ.get("GENUINE_GEVENT"):
            import verdigris; verdigris.install_as_gevent()
        import gevent, threading
        def works():
            gevent.joinall([gevent.spawn(gevent.sleep, 0) for _ in range(3)])
            gevent.get_hub().destroy(destroy_loop=True)
        gevent.sleep(0)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(50):
            thread = threading.Thread(target=works); thread.start(); thread.join()
        assert len(os.listdir("/proc/self/fd")) == before, os.listdir("/proc/self/fd")
        """
    ended = program(source, patched=False)
    assert ended.status == 0, ended.stderr
