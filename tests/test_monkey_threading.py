"""Threads that are greenlets: the standard library's threading, patched, in processes of their own."""

from __future__ import annotations

import sys

import pytest
from conftest import Run


def test_threads_run_in_one_native_thread(program: Run) -> None:
    ended = program(
        """
        import threading, time
        natives, running = set(), []
        barrier = threading.Barrier(20)
        def work():
            natives.add(threading.get_native_id())
            running.append(threading.current_thread())
            barrier.wait()
        threads = [threading.Thread(target=work) for _ in range(20)]
        for thread in threads: thread.start()
        assert all(thread.ident for thread in threads) and len({thread.ident for thread in threads}) == 20
        for thread in threads: thread.join()
        assert natives == {threading.get_native_id()} and set(running) == set(threads)
        assert not any(thread.is_alive() for thread in threads)
        assert threading.enumerate() == [threading.main_thread()] == [threading.current_thread()]
        """
    )
    assert (ended.status, ended.stderr) == (0, "")


def test_thread_classes_from_before(program: Run) -> None:
    """The order does not matter: a class derived before patching starts threads that can be joined."""
    ended = program(
        """
        from threading import Thread
        class Mine(Thread):
            def run(self):
                self.done = True
        from verdigris import monkey
        monkey.patch_all()
        import threading
        mine = Mine()
        mine.start()
        mine.join()
        assert mine.done and not mine.is_alive() and isinstance(mine, threading.Thread)
        assert isinstance(threading.main_thread(), threading.Thread)
        """,
        patched=False,
    )
    assert (ended.status, ended.stderr) == (0, "")


def test_native_threads_from_before(program: Run) -> None:
    ended = program(
        """
        import threading, time
        stop = threading.Event()
        found = []
        def native():
            stop.wait()
            found.append(threading.current_thread())
        thread = threading.Thread(target=native)
        thread.start()
        from verdigris import monkey
        monkey.patch_all()
        assert thread in threading.enumerate() and thread.is_alive()
        thread.join(0.01)
        assert thread.is_alive()
        turns = []
        def others():
            turns.append(1)
            stop.set()
        threading.Thread(target=others).start()
        thread.join()
        assert turns and not thread.is_alive() and found == [thread]
        assert threading.enumerate() == [threading.main_thread()]
        thread.join()
        """,
        patched=False,
    )
    assert (ended.status, ended.stderr) == (0, "")


def test_the_end_waits_for_threads(program: Run) -> None:
    ended = program(
        """
        import threading, time
        def later():
            time.sleep(0.01)
            print("later")
        def waits_for_main():
            threading.main_thread().join()
            print("main has ended")
        threading.Thread(target=later).start()
        threading.Thread(target=waits_for_main).start()
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        print("end of main")
        """
    )
    assert (ended.status, ended.stderr) == (0, "")
    assert sorted(ended.stdout.splitlines()) == ["end of main", "later", "main has ended"]


def test_the_end_waits_for_native_threads(program: Run) -> None:
    ended = program(
        r"""
        import sys, threading, time
        go = threading.Event()
        def native():
            go.wait()
            sys.stdout.write("native\n")
        threading.Thread(target=native).start()
        from verdigris import monkey
        monkey.patch_all()
        def green():
            time.sleep(0.01)
            go.set()
            sys.stdout.write("green\n")
        threading.Thread(target=green).start()
        """,
        patched=False,
    )
    assert (ended.status, ended.stderr) == (0, "")
    assert sorted(ended.stdout.splitlines()) == ["green", "native"]


def test_hooks_at_the_end_run_before_threads_are_waited_for(program: Run) -> None:
    ended = program(
        """
        import threading
        from concurrent.futures import ThreadPoolExecutor
        done = threading.Event()
        threading._register_atexit(done.set)
        threading.Thread(target=done.wait).start()
        executor = ThreadPoolExecutor(2)
        print(list(executor.map(int, "12")))
        """
    )
    assert (ended.status, ended.stdout, ended.stderr) == (0, "[1, 2]\n", "")


def test_patched_in_another_thread(program: Run) -> None:
    ended = program(
        """
        import threading, warnings
        from verdigris import monkey
        texts = []
        monkey._process_warnings = texts.extend
        thread = threading.Thread(target=monkey.patch_all)
        thread.start()
        thread.join()
        assert [text.partition(".")[0].partition(";")[0] for text in texts] == [
            "Monkey-patching outside the main native thread", "Monkey-patching not on the main thread"], texts
        """,
        patched=False,
    )
    assert (ended.status, ended.stderr) == (0, "")


def test_greenlets_that_are_no_threads(program: Run) -> None:
    ended = program(
        """
        import gc, threading, verdigris
        def ask():
            thread = threading.current_thread()
            assert isinstance(thread, threading._DummyThread) and thread.name.startswith("Dummy-")
            assert thread is threading.current_thread() and thread.is_alive()
            assert thread in threading.enumerate()
        verdigris.spawn(ask).get()
        verdigris.sleep(0)  # for the links that are called after ours
        assert threading.enumerate() == [threading.main_thread()]
        raw = verdigris.spawn_raw(ask)
        while not raw.dead:
            verdigris.sleep(0)
        del raw
        gc.collect()
        assert threading.enumerate() == [threading.main_thread()]
        """
    )
    assert (ended.status, ended.stderr) == (0, "")


def test_a_lock_that_is_asked_for_again_and_again(program: Run) -> None:
    ended = program(
        """
        import threading
        lock = threading.Lock()
        lock.acquire()
        def spin():
            while not lock.acquire(False):
                pass
        thread = threading.Thread(target=spin)
        thread.start()
        lock.release()
        thread.join()
        assert lock.locked()
        """
    )
    assert (ended.status, ended.stderr) == (0, "")


def test_locks_check_what_they_are_told(program: Run) -> None:
    ended = program(
        """
        import threading
        lock = threading.Lock()
        for arguments, error in (((False, 1), ValueError), ((True, -2), ValueError), ((True, 1e30), OverflowError)):
            try:
                lock.acquire(*arguments)
            except error:
                pass
            else:
                raise SystemExit(f"{arguments}")
        try:
            lock.release()
        except RuntimeError:
            pass
        else:
            raise SystemExit("released")
        assert lock.acquire(True, 0) and not lock.acquire(timeout=0.001) and not lock.acquire(blocking=False)
        lock._at_fork_reinit()
        assert not lock.locked()
        with lock:
            assert lock.locked()
        """
    )
    assert (ended.status, ended.stderr) == (0, "")


def test_what_start_new_thread_refuses(program: Run) -> None:
    ended = program(
        """
        import _thread
        for arguments in ((1, ()), (len, 1), (len, (), 1)):
            try:
                _thread.start_new_thread(*arguments)
            except TypeError:
                pass
            else:
                raise SystemExit(f"{arguments}")
        """
    )
    assert (ended.status, ended.stderr) == (0, "")


FORKING = """
    import os, threading
    def fork():
        pid = os.fork()
        if not pid:
            assert threading.current_thread() is threading.main_thread() or {dummy}
            assert threading.enumerate() == [threading.current_thread()], threading.enumerate()
            lock = threading.Lock()
            with lock:
                pass
            os._exit(50)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 50
    others = [threading.Thread(target=threading.Event().wait, daemon=True) for _ in range(3)]
    for other in others: other.start()
"""


@pytest.mark.parametrize("who", ["fork()", "t = threading.Thread(target=fork); t.start(); t.join()"])
def test_forks_of_threads(program: Run, who: str) -> None:
    ended = program(FORKING.format(dummy=False) + "\n    " + who + "\n")
    assert (ended.status, ended.stderr) == (0, "")


def test_forks_of_greenlets(program: Run) -> None:
    # The standard library makes a main thread of any thread that forks, from 3.12.2 on.
    ended = program(FORKING.format(dummy=True) + "\n    import verdigris; verdigris.spawn(fork).get()\n")
    assert (ended.status, ended.stderr) == (0, "")


def test_many_forks_at_once(program: Run) -> None:
    ended = program(
        """
        import os, threading
        forking = []
        os.register_at_fork(before=lambda: forking.append(1), after_in_parent=forking.pop, after_in_child=forking.clear)
        def audit(event, arguments):
            if event == "os.fork" and forking:
                raise RuntimeError("a fork began inside another")
        __import__("sys").addaudithook(audit)
        lock = threading.Lock()
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock._at_fork_reinit)
        def fork():
            with lock:
                threading.Event().wait(0.001)
                pid = os.fork()
                if not pid:
                    os._exit(50)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 50
            return True
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(lambda _: fork(), range(16)))
        """
    )
    assert (ended.status, ended.stderr) == (0, "")


@pytest.mark.skipif(sys.version_info < (3, 13), reason="thread handles came with Python 3.13")
def test_handles(program: Run) -> None:
    ended = program(
        """
        import _thread, threading
        go = threading.Event()
        handle = _thread.start_joinable_thread(go.wait)
        assert handle.ident and not handle.is_done()
        handle.join(0.001)
        assert not handle.is_done()
        go.set()
        handle.join()
        assert handle.is_done()
        for method in ("join", "_set_done"):
            try:
                getattr(_thread._ThreadHandle(), method)()
            except RuntimeError as error:
                assert str(error) == "thread not started"
            else:
                raise SystemExit("joined")
        """
    )
    assert (ended.status, ended.stderr) == (0, "")


def test_a_process_forked_by_a_greenlet_that_asked_who_it_is_ends_well(program: Run) -> None:
    ended = program(
        """
        import gevent, multiprocessing, threading
        def forks():
            threading.current_thread()
            process = multiprocessing.get_context("fork").Process(target=print, args=("child",))
            process.start(); process.join(); print(process.exitcode)
        gevent.spawn(forks).join()
        """
    )
    assert (ended.stdout.split(), ended.stderr) == (["child", "0"], "")
