"""`verdigris.event`: events and results, among greenlets and across threads."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref

import pytest
import verdigris
from native_threads import NativeThread
from verdigris.event import AsyncResult, Event
from verdigris.exceptions import LoopExit
from verdigris.timeout import Timeout

# Events ---------------------------------------------------------------------------------------------------------------


def test_wait_says_whether_it_was_set():
    event = Event()
    assert event.wait(0) is False
    event.set()
    assert event.wait() is True
    event.clear()
    assert event.wait(timeout=0.001) is False
    assert (event.is_set(), event.isSet(), event.ready()) == (False, False, False)


def waiting(event, log, name):
    event.wait()
    log.append(name)


def test_waiters_go_in_the_order_they_came_and_links_between_them():
    event, log = Event(), []
    verdigris.spawn(waiting, event, log, 1)
    verdigris.sleep(0)
    event.rawlink(lambda source: log.append(source))
    verdigris.spawn(waiting, event, log, 2)
    verdigris.sleep(0)
    loop = verdigris.get_hub().loop
    loop.run_callback(log.append, "before")
    event.set()
    loop.run_callback(log.append, "after")
    verdigris.sleep(0)
    assert log == ["before", 1, event, 2, "after"]


def test_who_waits_while_others_are_told_comes_after_them():
    event, log = Event(), []
    for number in (1, 2):
        verdigris.spawn(waiting, event, log, number)
    verdigris.sleep(0)
    event.set()
    waiting(event, log, "main")
    assert log == [1, 2, "main"]


def test_set_and_cleared_at_once_still_lets_go():
    event = Event()
    greenlets = [verdigris.spawn(event.wait) for _ in range(10)]
    verdigris.sleep(0)
    event.set()
    event.clear()
    assert [greenlet.get() for greenlet in greenlets] == [True] * 10


def test_who_begins_to_wait_before_the_telling_is_told_too():
    event = Event()
    first = verdigris.spawn(event.wait)
    verdigris.sleep(0)
    second = verdigris.spawn(event.wait)
    event.set()
    event.clear()
    verdigris.joinall([first, second])
    assert (first.value, second.value, event.is_set()) == (True, True, False)


def test_a_wait_that_begins_after_clear_is_not_ended_by_the_telling_that_runs():
    event = Event()

    def waiter():
        event.wait()
        event.clear()
        return event.wait(0.001)

    greenlet = verdigris.spawn(waiter)
    verdigris.sleep(0)
    event.set()
    assert greenlet.get() is False


def test_set_again_while_others_are_told():
    event, log = Event(), []

    def first():
        event.wait()
        event.clear()
        verdigris.spawn(waiting, event, log, "late")
        verdigris.sleep(0)
        event.set()

    greenlets = [verdigris.spawn(first), verdigris.spawn(waiting, event, log, "second")]
    verdigris.sleep(0)
    event.set()
    verdigris.joinall(greenlets)
    verdigris.sleep(0)
    assert sorted(log) == ["late", "second"]


def test_waiting_twice_for_an_event_that_is_set():
    event = Event()
    event.set()
    assert verdigris.wait([event]) == [event]
    assert verdigris.wait([event]) == [event]


def test_a_timeout_object_ends_the_wait_and_is_not_raised():
    event = Event()
    assert event.wait(Timeout(0.001)) is False
    with pytest.raises(ValueError, match="custom"):
        event.wait(Timeout(0.001, ValueError("custom")))


def test_a_killed_waiter_leaves_no_link():
    event = Event()
    greenlet = verdigris.spawn(event.wait)
    verdigris.sleep(0)
    assert event.linkcount() == 1
    greenlet.kill()
    assert event.linkcount() == 0
    event.set()
    verdigris.sleep(0)


def test_a_timed_out_waiter_leaves_no_link():
    event = Event()
    event.wait(0.001)
    assert event.linkcount() == 0


def test_links():
    event, log = Event(), []
    with pytest.raises(TypeError, match="Expected callable: None"):
        event.rawlink(None)
    event.unlink(None)
    event.rawlink(log.append)
    event.rawlink(print)
    event.unlink(print)
    assert (event.linkcount(), event._links) == (1, [log.append])
    event.set()
    verdigris.sleep(0)
    assert (log, event.linkcount()) == ([event], 0)


def test_an_error_in_a_link_does_not_stop_the_others(capsys):
    event, log = Event(), []
    event.rawlink(lambda _event: 1 / 0)
    event.rawlink(log.append)
    event.set()
    verdigris.sleep(0)
    assert log == [event]
    assert "failed with ZeroDivisionError" in capsys.readouterr().err


def test_nobody_will_set_it():
    with pytest.raises(LoopExit):
        Event().wait()


def test_texts():
    event = Event()
    assert str(event) == f"<verdigris.event.Event at {id(event):#x} clear _links[0]>"
    event.set()
    assert " set " in str(event)


@pytest.mark.parametrize("make", [Event, AsyncResult])
def test_neither_pickled_nor_copied_but_referred_to_weakly(make):
    thing = make()
    for use in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            use(thing)
    reference = weakref.ref(thing)
    assert reference() is thing
    del thing
    gc.collect()
    assert reference() is None


def test_a_subclass_with_arguments():
    class Named(Event):
        def __init__(self, name):
            super().__init__()
            self.name = name

    assert Named("x").name == "x"
    with pytest.raises(TypeError):
        Event(1)


# Results --------------------------------------------------------------------------------------------------------------


def test_a_result_is_there_for_all():
    result = AsyncResult()
    greenlets = [verdigris.spawn(result.get) for _ in range(3)]
    verdigris.sleep(0)
    assert (result.ready(), result.successful(), result.value) == (False, False, None)
    result.set(5)
    assert [greenlet.get() for greenlet in greenlets] == [5, 5, 5]
    assert (result.get(), result.wait(), result.result(), result.value, result.done()) == (5, 5, 5, 5, True)
    assert (result.cancel(), result.cancelled(), result.exception, result.exc_info) == (False, False, None, ())


def test_an_exception_is_raised_by_every_get_with_the_same_traceback():
    result = AsyncResult()
    error = KeyError("x")
    result.set_exception(error)
    lengths = []
    for _ in range(3):
        with pytest.raises(KeyError) as caught:
            result.get()
        assert caught.value is error
        traceback, length = error.__traceback__, 0
        while traceback is not None:
            traceback, length = traceback.tb_next, length + 1
        lengths.append(length)
    assert len(set(lengths)) == 1
    assert result.wait() is None
    assert (result.exception, result.exc_info[:2], result.successful()) == (error, (KeyError, error), False)


def test_get_without_waiting_and_with_limits():
    result = AsyncResult()
    for get in (lambda: result.get(block=False), result.get_nowait, lambda: result.get(timeout=0.001)):
        with pytest.raises(Timeout):
            get()
    limit = Timeout(0.001)
    with pytest.raises(Timeout) as caught:
        result.get(timeout=limit)
    assert caught.value is limit
    assert result.wait(timeout=0.001) is None


def test_as_a_link():
    value, failure = AsyncResult(), AsyncResult()
    verdigris.spawn(lambda: 3).link(value)
    assert value.get() == 3
    hub = verdigris.get_hub()
    hub.exception_stream = None
    verdigris.spawn(lambda: 1 / 0).rawlink(failure)
    with pytest.raises(ZeroDivisionError):
        failure.get()
    del hub.exception_stream
    assert failure.exc_info[2] is not None


def test_texts_of_results():
    result = AsyncResult()
    assert str(result) == "<AsyncResult unset  _links[0]>"
    result.set(1)
    assert str(result) == "<AsyncResult value=1  _links[0]>"
    failed = AsyncResult()
    failed.set_exception(ValueError(2))
    assert str(failed) == "<AsyncResult value=None exception=ValueError(2)  _links[0]>"


def test_a_result_in_a_cycle_is_collected():
    class Value:
        pass

    result, value = AsyncResult(), Value()
    value.result = result
    result.set(value)
    gone = weakref.ref(value)
    del result, value
    gc.collect()
    assert gone() is None


# Threads --------------------------------------------------------------------------------------------------------------


def test_a_thread_without_a_hub_waits_and_gets_none():
    event, started = Event(), threading.Event()

    def wait():
        started.set()
        return event.wait(), verdigris.hub.get_hub_if_exists()

    thread = NativeThread(wait)
    started.wait()
    event.set()
    assert thread.join() == (True, None)


def test_a_thread_without_a_hub_gives_up_after_its_time():
    event = Event()
    assert NativeThread(event.wait, 0.001).join() is False
    assert event.linkcount() == 0


@pytest.mark.parametrize("count", [1, 20])
def test_a_thread_sets_what_greenlets_here_wait_for(count):
    result = AsyncResult()
    greenlets = [verdigris.spawn(result.get, timeout=30) for _ in range(count)]
    verdigris.sleep(0)
    thread = NativeThread(lambda: result.set("from there"))
    assert [greenlet.get() for greenlet in greenlets] == ["from there"] * count
    thread.join()


def test_greenlets_of_two_threads_wait_for_one_event():
    event, started = Event(), threading.Event()

    def there():
        greenlets = [verdigris.spawn(event.wait, 30) for _ in range(3)]
        verdigris.sleep(0)
        started.set()
        return [greenlet.get() for greenlet in greenlets]

    thread = NativeThread(there)
    greenlets = [verdigris.spawn(event.wait, 30) for _ in range(3)]
    started.wait()
    verdigris.sleep(0)
    event.set()
    assert [greenlet.get() for greenlet in greenlets] == [True] * 3
    assert thread.join() == [True] * 3


def test_an_event_that_another_thread_has_used_keeps_the_loop_waiting():
    """Nothing in this thread's loop will ever happen, but the other thread will set it: no LoopExit."""
    event, used, go = Event(), threading.Event(), threading.Event()
    event.clear()

    def there():
        event.clear()
        used.set()
        go.wait()
        event.set()

    thread = NativeThread(there)
    used.wait()
    verdigris.spawn(go.set)
    assert event.wait() is True
    thread.join()


def test_the_hub_that_is_told_may_be_gone():
    """The first hub that waited was destroyed: those who wait later are told all the same."""
    event = Event()

    def there():
        verdigris.get_hub()
        return event.wait(0.001)

    assert NativeThread(there).join() is False
    greenlet = verdigris.spawn(event.wait, 30)
    verdigris.sleep(0)
    event.set()
    assert greenlet.get() is True


def test_nothing_of_a_loop_that_was_put_in_its_place_is_bypassed():
    hub = verdigris.get_hub()
    real, calls = hub.loop, []

    class Proxy:
        def __getattr__(self, name):
            return getattr(real, name)

        def run_callback(self, *arguments):
            calls.append(arguments[0])
            return real.run_callback(*arguments)

    event = Event()
    greenlet = verdigris.spawn(event.wait)
    verdigris.sleep(0)
    hub.loop = Proxy()
    try:
        event.set()
        assert calls == [event._notify_links]
        assert greenlet.get() is True
    finally:
        hub.loop = real


@pytest.mark.parametrize("kind", [Event, AsyncResult])
def test_how_they_are_made_can_be_changed(kind, monkeypatch):
    seen = []

    class Own(kind):
        def __init__(self, *arguments):
            seen.append(arguments)
            super().__init__()

    own = Own(1, 2)
    assert (type(own), seen) == (Own, [(1, 2)])
    assert [type(kind()), kind().ready(), kind().linkcount()] == [kind, False, 0]

    def initialise(self):
        seen.append(type(self))

    monkeypatch.setattr(kind, "__init__", initialise)
    made = kind()
    assert (type(made), seen) == (kind, [(1, 2), kind])
    monkeypatch.undo()
    assert not kind().ready()
    assert seen == [(1, 2), kind]
    made.set()
    assert made.ready()


@pytest.mark.parametrize("kind", [Event, AsyncResult])
def test_they_take_no_arguments(kind):
    with pytest.raises(TypeError, match="0 positional arguments"):
        kind(1)
    with pytest.raises(TypeError):
        kind(name=1)
