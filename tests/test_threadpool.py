"""Thread pools: where tasks run, what comes back, how pools grow, shrink and end, and what neither may do to the process.

What ends the process or forks it is a program of its own.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import weakref

import pytest
import verdigris
from conftest import Run
from verdigris import GreenletExit, Timeout, _core
from verdigris.event import AsyncResult
from verdigris.exceptions import InvalidThreadUseError
from verdigris.hub import get_hub
from verdigris.threadpool import ThreadPool, ThreadPoolExecutor, ThreadResult

# What is shown of errors that are meant to happen does not belong into the tests' output.
pytestmark = pytest.mark.usefixtures("silent_hub")


@pytest.fixture
def silent_hub():
    get_hub().exception_stream = None
    yield
    del get_hub().exception_stream


@pytest.fixture
def pool():
    made = ThreadPool(3)
    yield made
    made.maxsize = max(made.maxsize, 1)
    made.kill()


class Gate:
    """Something for tasks to wait at, natively."""

    def __init__(self):
        self.lock = threading.Lock()
        self.lock.acquire()

    def open(self):
        self.lock.release()

    def wait(self):
        with self.lock:
            pass


def fail(error):
    raise error


def test_a_task_runs_in_another_thread_and_others_run_meanwhile(pool):
    gate = Gate()
    log = []

    def task():
        gate.wait()
        return _core.thread_ident()

    result = pool.spawn(task)
    assert isinstance(result, AsyncResult)
    verdigris.spawn(lambda: (log.append("meanwhile"), gate.open()))
    assert result.get() != _core.thread_ident()
    assert log == ["meanwhile"]


def test_apply_gives_the_result_or_raises_the_error(pool):
    assert pool.apply(divmod, (7, 2)) == (3, 1)
    assert pool.apply(dict, (), {"a": 1}) == {"a": 1}
    assert pool.apply(max, [[1, 3]]) == 3
    error = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught:
        pool.apply(fail, (error,))
    assert caught.value is error
    with pytest.raises(GreenletExit):
        pool.apply(fail, (GreenletExit(),))
    with pytest.raises(TypeError):
        pool.apply(3)


def test_an_error_is_reported_to_the_hub_with_what_failed(pool):
    reports = []
    hub = get_hub()
    hub.handle_error = lambda *report: reports.append(report)
    try:
        result = pool.spawn(fail, KeyError("x"))
        with pytest.raises(KeyError):
            result.get()
    finally:
        del hub.handle_error
    [((worker, function), kind, value, traceback)] = reports
    assert repr(worker).startswith("<ThreadPoolWorker at ")
    assert function is fail
    assert (kind, value.args) == (KeyError, ("x",))
    assert traceback is not None


def test_map_and_its_relatives(pool):
    assert pool.map(abs, range(-50, 0)) == list(range(50, 0, -1))
    assert list(pool.imap(abs, range(-50, 0), maxsize=4)) == list(range(50, 0, -1))
    assert sorted(pool.imap_unordered(abs, range(-50, 0))) == list(range(1, 51))
    called = []
    assert pool.apply_async(abs, (-3,), callback=called.append).get() == 3
    assert called == [3]


def test_ten_thousand_tasks_of_a_hundred_greenlets(pool):
    def many(number):
        return [pool.apply(divmod, (number, 7)) for _ in range(100)]

    greenlets = [verdigris.spawn(many, number) for number in range(100)]
    verdigris.joinall(greenlets, raise_error=True)
    assert [greenlet.value for greenlet in greenlets] == [[divmod(number, 7)] * 100 for number in range(100)]
    assert len(pool) == 0


def test_one_more_than_the_threads_may_be_put_in_and_who_waits_is_served_in_order():
    pool = ThreadPool(1)
    gate = Gate()
    order = []

    def put(number):
        pool.spawn(lambda: order.append(number))

    pool.spawn(gate.wait)
    greenlets = [verdigris.spawn(put, number) for number in range(5)]
    verdigris.sleep(0)
    assert (len(pool), pool.size) == (2, 1)
    gate.open()
    verdigris.joinall(greenlets)
    pool.join()
    assert order == [0, 1, 2, 3, 4]
    pool.kill()


def test_a_greenlet_that_is_killed_in_apply_leaves_the_task_to_itself(pool):
    gate = Gate()
    done = []
    greenlet = verdigris.spawn(pool.apply, lambda: (gate.wait(), done.append(True)))
    verdigris.sleep(0)
    greenlet.kill()
    assert (len(pool), done) == (1, [])
    gate.open()
    pool.join()
    assert done == [True]
    assert pool.apply(abs, (-1,)) == 1


def test_a_greenlet_that_is_killed_while_it_waits_for_room_takes_none():
    pool = ThreadPool(0)
    pool.spawn(abs, -1)
    greenlets = [verdigris.spawn(pool.spawn, abs, -1) for _ in range(3)]
    verdigris.sleep(0)
    verdigris.killall(greenlets[:2])
    assert len(pool) == 1
    pool.maxsize = 1
    greenlets[2].join()
    pool.join()
    assert pool.map(abs, [-1] * 10) == [1] * 10
    pool.kill()


def test_a_timeout_ends_the_wait_and_not_the_task(pool):
    gate = Gate()
    with pytest.raises(Timeout), Timeout(0.001):
        pool.apply(gate.wait)
    assert len(pool) == 1
    gate.open()
    pool.join()


def test_size_and_maxsize():
    pool = ThreadPool(2)
    assert (pool.size, bool(pool)) == (0, False)
    for size in (1, 2, 1, 0, 2):
        pool.size = size
        assert pool.size == size
    for wrong in (-1, 3):
        with pytest.raises(ValueError, match="Size of the pool"):
            pool.size = wrong
    with pytest.raises(ValueError, match="maxsize must not be negative: -1"):
        pool.maxsize = -1
    with pytest.raises(TypeError, match="maxsize must be integer: 'a'"):
        pool.maxsize = "a"
    pool.maxsize = 0
    pool.kill()
    assert pool.size == 0


def test_kill_waits_for_the_tasks_and_the_pool_can_be_used_again():
    pool = ThreadPool(2)
    gate = Gate()
    results = [pool.spawn(gate.wait) for _ in range(3)]
    verdigris.spawn(gate.open)
    pool.kill()
    assert [result.ready() for result in results] == [True] * 3
    assert (pool.size, len(pool)) == (0, 0)
    assert pool.apply(abs, (-1,)) == 1
    pool.kill()


def test_idle_threads_end():
    pool = ThreadPool(1, idle_task_timeout=0.001)
    worker = weakref.ref(pool.apply(_core.getcurrent))
    while pool.size or worker() is not None:
        verdigris.sleep(0.001)
    assert pool.apply(abs, (-1,)) == 1


def test_a_pool_that_nobody_has_any_more_goes_and_its_threads_end():
    pool = ThreadPool(1)
    worker = weakref.ref(pool.apply(_core.getcurrent))
    gone = weakref.ref(pool)
    del pool
    while gone() is not None or worker() is not None:
        verdigris.sleep(0.001)
        gc.collect()


def test_nothing_of_a_task_is_kept(pool):
    class Thing:
        pass

    references = []

    def task(thing, keyword):
        result = Thing()
        references.extend(weakref.ref(each) for each in (thing, keyword, result))
        return result

    assert type(pool.apply(task, (Thing(),), {"keyword": Thing()})) is Thing
    assert [reference() for reference in references] == [None] * 3


def test_a_task_may_use_greenlets_and_its_hub_goes_with_the_thread():
    pool = ThreadPool(1)

    def task():
        seen = []
        verdigris.spawn(seen.append, 1).join()
        verdigris.sleep(0)
        return seen, get_hub(), get_hub().parent is _core.getcurrent()

    seen, hub, is_under_the_worker = pool.apply(task)
    assert (seen, hub is get_hub(), is_under_the_worker) == ([1], False, True)
    assert hub.name == "ThreadPool Worker Hub"
    pool.kill()
    assert hub.loop is None


def test_only_the_thread_of_the_hub_may_spawn_and_apply_elsewhere_is_a_plain_call(pool):
    with pytest.raises(InvalidThreadUseError):
        pool.apply(pool.spawn, (abs, -1))
    here, there = pool.apply(lambda: (_core.thread_ident(), pool.apply(_core.thread_ident)))
    assert here == there
    errors, results = [], []

    def foreign():
        own = ThreadPool(2)
        try:
            results.extend(own.map(abs, [-1, -2]))
            pool.spawn(abs, -1)
        except InvalidThreadUseError as error:
            errors.append(error)
        finally:
            get_hub().destroy(True)

    thread = threading.Thread(target=foreign)
    thread.start()
    thread.join()
    assert (results, len(errors)) == ([1, 2], 1)


def test_hooks_of_threading_see_the_task_and_not_more(pool):
    seen = []

    def profile(frame, event, _argument):
        seen.append((event, frame.f_code.co_name))

    def task():
        return sys.getprofile()

    threading.setprofile(profile)
    try:
        assert pool.apply(task) is profile
    finally:
        threading.setprofile(None)
    assert ("call", "task") in seen
    assert pool.apply(sys.getprofile) is None
    pool.apply(lambda: sys.setprofile(profile))
    assert pool.apply(sys.getprofile) is None


def test_a_hook_that_fails_fails_the_task_and_gives_the_place_back():
    class Pool(ThreadPool):
        class _WorkerGreenlet(ThreadPool._WorkerGreenlet):
            def _before_run_task(self, func, *args):
                if broken:
                    raise KeyError

    pool, broken = Pool(1), True
    for _ in range(3):
        with pytest.raises(KeyError):
            pool.apply(abs, (-1,))
    broken = False
    assert pool.apply(abs, (-1,)) == 1
    pool.kill()


def test_thread_results_arrive_in_the_hub():
    arrived = []
    result = ThreadResult(arrived.append, get_hub(), lambda: arrived.append("ready"))
    thread = threading.Thread(target=result.set, args=(42,))
    thread.start()
    while len(arrived) < 2:
        verdigris.sleep(0.001)
    thread.join()
    assert arrived == ["ready", result]
    assert result.successful()


def test_the_executor_and_its_futures():
    with ThreadPoolExecutor(2) as executor:
        gate = Gate()
        future = executor.submit(lambda: (gate.wait(), 42)[1])
        called = []
        future.add_done_callback(called.append)
        assert (future.done(), future.cancel(), future.running()) == (False, False, True)
        import concurrent.futures

        with pytest.raises(concurrent.futures.TimeoutError):
            future.result(timeout=0.001)
        verdigris.spawn(gate.open)
        assert future.result() == 42
        assert verdigris.wait([future]) == [future]
        assert called == [future]
        error = executor.submit(fail, ValueError()).exception()
        assert isinstance(error, ValueError)
        assert list(executor.map(abs, [-1, -2])) == [1, 2]
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(abs, -1)


ENDLESS = {
    "python": "while True: pass",
    "sleeping": "while True: time.sleep(0.0005)",
    "cooperative": "while True: verdigris.sleep(0.0005)",
    "callbacks": "again(); verdigris.sleep(1000)",
    "lock": "verdigris.lock.Semaphore(0).acquire()",
}


@pytest.mark.parametrize("body", ENDLESS)
def test_the_end_of_the_program_does_not_wait_for_endless_tasks(program: Run, body: str) -> None:
    ended = program(
        f"""
        import time, verdigris, verdigris.lock
        from verdigris.threadpool import ThreadPool
        started = []
        def again():
            time.sleep(0.0002)
            verdigris.get_hub().loop.run_callback(again)
        def task():
            started.append(1)
            {ENDLESS[body]}
        pool = ThreadPool(3)
        for _ in range(3):
            pool.spawn(task)
        while len(started) < 3:
            verdigris.sleep(0.001)
        print("end")
        """,
        patched=False,
    )
    assert (ended.status, ended.stdout, ended.stderr) == (0, "end\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_threads_of_its_own(program: Run) -> None:
    ended = program(
        """
        import os, threading, verdigris
        from verdigris.threadpool import ThreadPool
        lock = threading.Lock()
        lock.acquire()
        pool = ThreadPool(2)
        results = [pool.spawn(lock.__enter__) for _ in range(3)]
        while pool.task_queue.qsize() > 1:
            verdigris.sleep(0.001)
        child = os.fork()
        if child == 0:
            assert pool.apply(abs, (-1,)) == 1
            assert pool.map(abs, range(-9, 0)) == list(range(9, 0, -1))
            pool.join()
            pool.kill()
            os._exit(7)
        status = os.waitpid(child, 0)[1]
        print(os.waitstatus_to_exitcode(status), len(pool))
        lock.release()
        assert len(verdigris.wait(results, count=1)) == 1  # whichever of the two the lock went to
        """,
        patched=False,
    )
    assert (ended.status, ended.stdout) == (0, "7 3\n")
