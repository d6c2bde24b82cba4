"""`verdigris.lock`: semaphores and locks, among greenlets and across threads."""

from __future__ import annotations

import contextlib
import copy
import gc
import inspect
import pickle
import random
import sys
import threading
import time
import types
import weakref

import pytest
import verdigris
from native_threads import NativeThread, in_greenlets
from verdigris.exceptions import BlockingSwitchOutError, LoopExit
from verdigris.hub import get_hub_if_exists
from verdigris.lock import BoundedSemaphore, DummySemaphore, RLock, Semaphore
from verdigris.timeout import Timeout

# Semaphores -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [Semaphore, BoundedSemaphore])
def test_counting(make):
    semaphore = make(2)
    assert (semaphore.counter, semaphore.locked(), semaphore.ready()) == (2, False, True)
    assert semaphore.acquire() is True
    assert semaphore.acquire(blocking=False) is True
    assert semaphore.acquire(blocking=False) is False
    assert semaphore.acquire(timeout=0.001) is False
    assert semaphore.acquire(True, -1) is False
    assert (semaphore.counter, semaphore.locked(), semaphore.ready()) == (0, True, False)
    assert semaphore.release() == 1
    with semaphore as nothing:
        assert (nothing, semaphore.counter) == (None, 0)
    assert semaphore.counter == 1


def test_a_with_statement_and_the_methods_it_calls():
    semaphore = Semaphore()
    for name in ("__enter__", "__exit__"):
        # Whoever looks sees the ordinary methods, as of any class.
        assert type(getattr(semaphore, name)) is types.BuiltinMethodType
        assert type(getattr(Semaphore, name)) is types.MethodDescriptorType
        assert inspect.isroutine(vars(Semaphore)[name])
        assert repr(vars(Semaphore)[name]) == repr(getattr(Semaphore, name))
        with pytest.raises(TypeError):
            type(vars(Semaphore)[name]).__get__(vars(Semaphore)[name], 5, int)
    enter, leave = semaphore.__enter__, semaphore.__exit__
    enter()
    assert semaphore.counter == 0
    leave(None, None, None)
    assert semaphore.counter == 1
    with pytest.raises(KeyError, match="inside"), semaphore:
        raise KeyError("inside")
    assert semaphore.counter == 1
    with contextlib.ExitStack() as stack:
        stack.enter_context(semaphore)
        assert semaphore.counter == 0
    assert semaphore.counter == 1


def test_a_with_statement_keeps_what_it_is_for_and_no_longer():
    def last_reference():
        with Semaphore():
            gc.collect()

    last_reference()

    class Own(Semaphore):
        def __enter__(self):
            seen.append("in")
            return super().__enter__()

        def __exit__(self, *error):
            seen.append(error)
            return super().__exit__(*error)

    seen: list[object] = []
    own = Own()
    reference = weakref.ref(own)
    with own:
        assert own.counter == 0
    assert (own.counter, seen) == (1, ["in", (None, None, None)])
    del own
    assert reference() is None


def test_a_with_statement_that_waits_can_be_killed():
    semaphore = Semaphore(0)

    def wait():
        with semaphore:
            raise AssertionError

    waiting = verdigris.spawn(wait)
    verdigris.sleep(0)
    waiting.kill()
    assert (waiting.successful(), semaphore.counter, semaphore.linkcount()) == (True, 0, 0)


def test_arguments():
    with pytest.raises(ValueError, match="semaphore initial value must be >= 0"):
        Semaphore(-1)
    with pytest.raises(TypeError):
        Semaphore("1")
    with pytest.raises(TypeError):
        Semaphore(0).acquire(timeout="soon")
    assert Semaphore().hub is None
    assert Semaphore(1, verdigris.get_hub()).hub is verdigris.get_hub()


def test_a_bounded_one_is_not_released_too_often():
    with pytest.raises(ValueError, match="Semaphore released too many times"):
        BoundedSemaphore().release()

    class Strict(BoundedSemaphore):
        _OVER_RELEASE_ERROR = KeyError

    with pytest.raises(KeyError):
        Strict().release()


def acquiring(semaphore, log, name):
    semaphore.acquire()
    log.append(name)


def test_who_waits_longest_is_first_and_each_release_serves_one():
    semaphore, log = Semaphore(0), []
    for number in range(3):
        verdigris.spawn(acquiring, semaphore, log, number)
    verdigris.sleep(0)
    assert semaphore.linkcount() == 3
    semaphore.release()
    verdigris.sleep(0)
    assert (log, semaphore.counter) == ([0], 0)
    semaphore.release()
    semaphore.release()
    verdigris.sleep(0)
    assert (log, semaphore.linkcount()) == ([0, 1, 2], 0)


def test_who_does_not_have_to_wait_may_come_first():
    semaphore, log = Semaphore(1), []
    semaphore.acquire()
    verdigris.spawn(acquiring, semaphore, log, "waiting")
    verdigris.sleep(0)
    semaphore.release()
    assert semaphore.acquire() is True
    verdigris.sleep(0)
    assert (log, semaphore.linkcount()) == ([], 1)
    semaphore.release()
    verdigris.sleep(0)
    assert log == ["waiting"]


def test_links_and_waiters_are_told_while_there_is_something_for_them():
    semaphore, log = Semaphore(0), []
    semaphore.rawlink(lambda source: log.append(("first", source.counter)))
    verdigris.spawn(acquiring, semaphore, log, "greenlet")
    verdigris.sleep(0)
    semaphore.rawlink(lambda source: log.append(("second", source.counter)))
    semaphore.release()
    verdigris.sleep(0)
    assert log == [("first", 1), "greenlet"]
    semaphore.release()
    verdigris.sleep(0)
    assert log[2:] == [("second", 1)]


def test_linking_to_a_free_one():
    semaphore = Semaphore()
    assert verdigris.wait([semaphore]) == [semaphore]


def test_wait_takes_nothing():
    semaphore = Semaphore(0)
    assert semaphore.wait(timeout=0.001) == 0
    greenlets = [verdigris.spawn(semaphore.wait) for _ in range(3)]
    verdigris.sleep(0)
    semaphore.release()
    assert [greenlet.get() for greenlet in greenlets] == [1, 1, 1]
    assert semaphore.counter == 1


def test_limits():
    semaphore = Semaphore(0)
    assert semaphore.acquire(timeout=Timeout(0.001)) is False
    with pytest.raises(KeyError):
        semaphore.acquire(timeout=Timeout(0.001, KeyError()))
    with Timeout(0.001, False):
        semaphore.acquire()
    assert semaphore.linkcount() == 0


def test_one_that_is_killed_while_it_is_due_loses_nothing():
    semaphore, log = Semaphore(0), []
    greenlets = [verdigris.spawn(acquiring, semaphore, log, number) for number in range(2)]
    verdigris.sleep(0)
    semaphore.release()
    greenlets[0].kill()
    verdigris.sleep(0)
    assert len(log) + semaphore.counter == 1
    semaphore.release()
    verdigris.sleep(0)
    assert len(log) + semaphore.counter == 2


def test_nothing_waits_in_the_hub():
    semaphore, log = Semaphore(0), []

    def callback():
        log.append(semaphore.acquire(blocking=False))
        try:
            semaphore.acquire()
        except BlockingSwitchOutError as error:
            log.append(error)

    verdigris.get_hub().loop.run_callback(callback)
    verdigris.sleep(0)
    assert log[0] is False
    assert isinstance(log[1], BlockingSwitchOutError)


def test_nobody_will_release_it():
    with pytest.raises(LoopExit):
        Semaphore(0).acquire()


def test_overridden_methods_are_used_by_with():
    class Loud(Semaphore):
        log = []

        def acquire(self, *arguments):
            self.log.append("acquire")
            return super().acquire(*arguments)

        def release(self):
            self.log.append("release")
            return super().release()

    with Loud():
        pass
    assert Loud.log == ["acquire", "release"]


def test_texts_weak_references_and_pickles():
    semaphore = Semaphore(2)
    assert str(semaphore) == f"<Semaphore at {id(semaphore):#x} counter=2 _links[0]>"
    for use in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            use(semaphore)
    reference = weakref.ref(semaphore)
    del semaphore
    gc.collect()
    assert reference() is None


def test_a_dummy_never_waits():
    dummy = DummySemaphore(5)
    with dummy:
        assert (dummy.acquire(), dummy.locked(), dummy.ready(), dummy.wait(), dummy.release()) == (
            True,
            False,
            True,
            1,
            None,
        )
    assert str(dummy) == "<DummySemaphore>"


# RLock ----------------------------------------------------------------------------------------------------------------


def test_its_owner_takes_it_again():
    lock = RLock()
    assert (lock.acquire(), lock.acquire(False), lock.locked(), lock._is_owned()) == (True, True, True, True)
    assert in_greenlets(1, lock.acquire, False) == [False]
    assert in_greenlets(1, lock.acquire, True, 0.001) == [False]
    lock.release()
    assert lock.locked()
    lock.release()
    assert not lock.locked()
    with lock:
        assert lock._recursion_count() == 1
    with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
        lock.release()


def test_only_its_owner_releases_it():
    lock = RLock()
    lock.acquire()

    def release():
        with pytest.raises(RuntimeError, match=r"cannot release un-acquired lock. Owner: .* Current: <Greenlet"):
            lock.release()

    in_greenlets(1, release)
    state = lock._release_save()
    assert not lock.locked()
    lock._acquire_restore(state)
    assert lock._is_owned()
    assert f"<RLock at {id(lock):#x} _block=<Semaphore" in repr(lock)
    assert copy.copy(lock)._block is lock._block


def test_with_a_condition_of_threading():
    condition, log = threading.Condition(RLock()), []
    # Its waiters sleep on locks of the standard library unless that is patched: only what takes the lock is tried here.
    with condition, condition:
        log.append(condition._is_owned())
    assert log == [True]


# Threads --------------------------------------------------------------------------------------------------------------


def test_a_thread_without_a_hub_gets_it_from_the_release_itself():
    semaphore, started = Semaphore(0), threading.Event()

    def acquire():
        started.set()
        return semaphore.acquire(), get_hub_if_exists()

    thread = NativeThread(acquire)
    started.wait()
    while not semaphore.linkcount():
        time.sleep(0)
    assert semaphore.release() == 0
    assert semaphore.acquire(blocking=False) is False
    assert thread.join() == (True, None)


def test_a_thread_without_a_hub_gives_up_after_its_time():
    semaphore = Semaphore(0)
    assert NativeThread(semaphore.acquire, True, 0.001).join() is False
    assert semaphore.linkcount() == 0
    assert semaphore.release() == 1


def test_a_thread_without_a_hub_that_only_waits_passes_it_on():
    semaphore = Semaphore(0)
    thread = NativeThread(semaphore.wait)
    while not semaphore.linkcount():
        time.sleep(0)
    semaphore.release()
    assert thread.join() == 1
    assert semaphore.counter == 1


def test_a_native_thread_holds_it_and_no_loop_exit():
    """The loop here has nothing else to do, but the other thread will release it."""
    semaphore, held, go = Semaphore(1), threading.Event(), threading.Event()

    def hold():
        with semaphore:
            held.set()
            go.wait()

    thread = NativeThread(hold)
    held.wait()
    verdigris.spawn(go.set)
    assert semaphore.acquire() is True
    thread.join()


def test_the_entry_goes_from_thread_to_thread():
    """The waiters are served in the order they came, whichever thread they are in."""
    semaphore, log = Semaphore(0), []
    queued = [threading.Event() for _ in range(2)]

    def there(number):
        greenlet = verdigris.spawn(acquiring, semaphore, log, ("there", number))
        verdigris.sleep(0)
        queued[number].set()
        greenlet.get()

    first = NativeThread(there, 0)
    queued[0].wait()
    here = verdigris.spawn(acquiring, semaphore, log, "here")
    verdigris.sleep(0)
    second = NativeThread(there, 1)
    queued[1].wait()
    for _ in range(3):
        semaphore.release()
    here.get()
    first.join()
    second.join()
    assert log == [("there", 0), "here", ("there", 1)]


def test_a_thread_that_is_gone_is_not_waited_for():
    """Its greenlet still stood in line when its hub was destroyed: the next one is served."""
    semaphore, log = Semaphore(0), []

    def leave():
        verdigris.spawn(acquiring, semaphore, log, "gone")
        verdigris.sleep(0)

    NativeThread(leave).join()
    here = verdigris.spawn(acquiring, semaphore, log, "here")
    verdigris.sleep(0)
    semaphore.release()
    here.get(timeout=30)
    assert log == ["here"]


FORK = """
import _thread, os, sys, threading, time
import verdigris
from verdigris.lock import Semaphore

semaphore, queued = Semaphore(0), threading.Event()

def there():
    verdigris.spawn(semaphore.acquire)
    verdigris.sleep(0)
    queued.set()
    threading.Event().wait()

_thread.start_new_thread(there, ())
queued.wait()
semaphore.release()  # its entry is now in a loop that does not run
child = os.fork()
if not child:
    assert semaphore.acquire(blocking=False)
    waiting = verdigris.spawn(semaphore.acquire)
    verdigris.sleep(0)
    semaphore.release()
    print(waiting.get(), flush=True)
    os._exit(0)
os._exit(os.waitpid(child, 0)[1])
"""


def test_a_fork_leaves_the_other_threads_waiters_behind(program):
    ended = program(FORK, patched=False)
    assert (ended.status, ended.stdout) == (0, "True\n"), ended.stderr


def test_an_uncontended_lock_makes_no_hub():
    def use():
        with Semaphore(), RLock():
            return get_hub_if_exists()

    assert NativeThread(use).join() is None


@pytest.mark.parametrize("make", [Semaphore, RLock])
@pytest.mark.parametrize("hubs", [True, False])
def test_nobody_is_in_at_once_and_nobody_is_forgotten(make, hubs):
    lock, inside, done = make(), [], []
    interval = sys.getswitchinterval()

    def use(seed):
        choose = random.Random(seed)
        for _ in range(100):
            if choose.random() < 0.1:
                if not lock.acquire(timeout=0.0005):
                    continue
            else:
                lock.acquire()
            inside.append(seed)
            assert len(inside) == 1
            if choose.random() < 0.3:
                verdigris.sleep(0) if get_hub_if_exists() else time.sleep(0)
            inside.remove(seed)
            done.append(seed)
            lock.release()

    def in_thread(number):
        if hubs and number % 2:
            return in_greenlets(3, use, number)
        return use(number)

    sys.setswitchinterval(1e-5)
    try:
        threads = [NativeThread(in_thread, number) for number in range(4)]
        in_thread(101)
        for thread in threads:
            thread.wait()
    finally:
        sys.setswitchinterval(interval)
    assert not lock.locked()
    assert len(done) > 300
