"""The raw greenlet: what genuine greenlet's own suite does not ask, or asks only by the way.

Its suite (run by the conformance job) is the judge of the rest.
"""

import contextvars
import ctypes
import gc
import os
import sys
import threading
import weakref

import pytest
from verdigris import _core
from verdigris._greenlet import GreenletExit, error, getcurrent, gettrace, greenlet, settrace


def suspended():
    """A greenlet that waits in its first switch, and what has become of it."""
    fate = []

    def body():
        try:
            fate.append(main.switch())
        except GreenletExit:
            fate.append("killed")
            raise
        finally:
            fate.append("finally")

    main = getcurrent()
    made = greenlet(body)
    made.switch()
    return made, fate


# Values


@pytest.mark.parametrize(
    ("args", "kwargs", "arrives"),
    [
        ((), {}, ()),
        ((1,), {}, 1),
        (((),), {}, ()),
        ((1, 2), {}, (1, 2)),
        ((), {"a": 1}, {"a": 1}),
        ((1,), {"a": 2}, ((1,), {"a": 2})),
    ],
)
def test_what_switch_brings(args, kwargs, arrives):
    main = getcurrent()
    echo = greenlet(lambda: main.switch(main.switch()))
    echo.switch()
    assert echo.switch(*args, **kwargs) == arrives
    assert greenlet(lambda *a, **k: (a, k)).switch(*args, **kwargs) == (args, kwargs)
    assert getcurrent().switch(*args, **kwargs) == arrives
    dead = greenlet(int)
    dead.switch()
    assert dead.switch(*args, **kwargs) == arrives


def test_a_parent_that_was_not_started_gets_the_value_as_its_argument():
    parent = greenlet(lambda *args: ("got", args))
    assert greenlet(lambda: (1, 2), parent).switch() == ("got", ((1, 2),))


def test_an_exception_goes_up_until_somebody_can_take_it():
    class Unstartable(greenlet):
        @property
        def run(self):
            raise LookupError("no run")

    with pytest.raises(LookupError, match="no run"):
        greenlet(lambda: 1, Unstartable()).switch()


# Life and death


def test_dropping_the_last_reference_runs_finally_at_once():
    made, fate = suspended()
    del made
    assert fate == ["killed", "finally"]


def test_a_greenlet_known_only_to_itself_dies_when_it_switches_away():
    fate = []

    def body():
        try:
            main.switch("away")
        finally:
            fate.append("finally")

    main = getcurrent()
    assert greenlet(body).switch() == "away"
    assert fate == ["finally"]


def test_a_survivor_is_announced_and_kept(capfd):
    main = getcurrent()
    seen = []

    def body():
        seen.append(weakref.ref(getcurrent()))
        while True:
            try:
                main.switch()
            except GreenletExit:
                pass

    greenlet(body).switch()
    assert "GreenletExit did not kill <greenlet.greenlet object at" in capfd.readouterr().err
    assert seen[0]() is not None
    assert seen[0]()


def test_other_exceptions_of_the_killed_are_unraisable(monkeypatch):
    caught = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: caught.append((args.exc_type, args.object)))
    main = getcurrent()

    def body():
        try:
            main.switch()
        finally:
            raise KeyError("in finally")

    made = greenlet(body)
    made.switch()
    del made
    assert [kind for kind, _ in caught] == [KeyError]


def test_a_cycle_with_a_finalizer_of_python_is_not_taken_apart_under_a_suspended_greenlet():
    """Its `__del__` stands in the place of what would end the greenlet first; so it stays, as with genuine greenlet."""
    variable = contextvars.ContextVar("variable")
    main, seen = getcurrent(), []

    class Finalized(greenlet):
        def __del__(self):
            seen.append("finalizer")

    def body():
        variable.set("whole")
        try:
            main.switch()
        finally:
            seen.append(variable.get())

    made = Finalized(body)
    made.itself = made
    made.switch()
    found = weakref.ref(made)
    del made
    gc.collect()
    gc.collect()
    assert seen == []
    del found().itself
    assert seen == ["finalizer", "whole"]
    assert found() is None


def test_the_collector_kills_a_cycle_while_its_objects_are_whole():
    seen = []

    def body():
        try:
            main.switch()
        finally:
            seen.append(getcurrent().bag["self"] is getcurrent())

    main = getcurrent()
    made = greenlet(body)
    made.bag = {"self": made}
    made.switch()
    del made
    gc.collect()
    assert seen == [True]


def test_the_collector_lets_a_generator_run_that_is_in_a_suspended_greenlet(monkeypatch):
    """The generator is older, so the collector would finalize it first, and closing it is refused while it runs."""
    caught, seen = [], []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: caught.append(args.exc_value))
    main = getcurrent()

    def numbers():
        try:
            yield 1
            main.switch()
        finally:
            seen.append("closed")

    def start(generator):
        next(generator)
        made = greenlet(lambda generator: next(generator))
        made.itself = made
        made.switch(generator)

    start(numbers())
    gc.collect()
    gc.collect()
    assert caught == []
    assert seen == ["closed"]


def test_a_subclass_with_del_and_slots():
    events = []

    class Child(greenlet):
        __slots__ = ("kept",)

        def __del__(self):
            events.append(("del", self.kept, self.dead))

        def run(self):
            try:
                getcurrent().parent.switch()
            finally:
                events.append("finally")

    made = Child()
    made.kept = 1
    made.switch()
    assert Child.__basicsize__ > greenlet.__basicsize__
    made.throw()
    assert events == ["finally"]
    del made
    assert events == ["finally", ("del", 1, True)]


def test_weak_references_and_their_callbacks():
    fired = []
    made, fate = suspended()
    reference = weakref.ref(made, lambda _: fired.append(list(fate)))
    del made
    assert reference() is None
    assert fired == [["killed", "finally"]]


def test_an_abstract_subclass_is_refused():
    from abc import ABCMeta, abstractmethod

    class Abstract(greenlet, metaclass=ABCMeta):
        @abstractmethod
        def run(self): ...

    with pytest.raises(TypeError, match="abstract"):
        Abstract()


# Depth


def depth(limit=100_000):
    def descend(level):
        try:
            return descend(level + 1)
        except RecursionError:
            return level

    return descend(0)


def test_each_greenlet_has_the_whole_recursion_limit():
    def nest(levels):
        return depth() if levels == 0 else greenlet(nest).switch(levels - 1)

    alone = greenlet(depth).switch()
    assert alone > sys.getrecursionlimit() * 0.9
    assert abs(greenlet(nest).switch(20) - alone) < 5


RECURSIONS = {
    "map": lambda: recurse(lambda again: list(map(lambda _: again(), [1]))),  # noqa: C417 (the frame of map)
    "sorted": lambda: recurse(lambda again: sorted([1, 2], key=lambda _: again())),
    "init": lambda: type("Again", (), {"__init__": lambda self: type(self)() and None})(),
    "getattr": lambda: type("Again", (), {"__getattr__": lambda self, name: getattr(self, name + "x")})().y,
    "repr": lambda: repr(nested(100_000)),
    "compile": lambda: compile("(" * 5000 + ")" * 5000, "text", "eval"),
}


def recurse(body):
    def again():
        body(again)

    again()


def nested(levels):
    result = []
    for _ in range(levels):
        result = [result]
    return result


@pytest.mark.parametrize("kind", RECURSIONS)
def test_recursion_through_c_ends_in_an_exception(program, kind):
    import inspect

    names = [inspect.getsource(recurse), inspect.getsource(nested)]
    lines, _ = inspect.getsourcelines(sys.modules[__name__])
    start = lines.index("RECURSIONS = {\n")
    names.append("".join(lines[start : lines.index("}\n", start) + 1]))
    source = (
        "\n".join(names)
        + f"""
from verdigris._greenlet import greenlet
def body():
    try:
        RECURSIONS[{kind!r}]()
    except (RecursionError, SyntaxError, MemoryError) as exception:
        return "refused"
print(greenlet(body).switch())
"""
    )
    ended = program(source, patched=False)
    assert (ended.status, ended.stdout.strip()) == (0, "refused"), ended.stderr[-2000:]


def test_a_long_chain_of_objects_is_freed_inside_a_greenlet():
    class Counted:
        alive = 0

        def __init__(self, next):
            self.next = next
            Counted.alive += 1

        def __del__(self):
            Counted.alive -= 1

    def body():
        chain = None
        for _ in range(20_000):
            chain = Counted(chain)
        del chain
        return Counted.alive

    assert greenlet(body).switch() == 0


def test_a_long_chain_of_parents_is_freed_inside_a_greenlet():
    def body():
        last = None
        for _ in range(100_000):
            last = greenlet(int) if last is None else greenlet(int, last)
        del last
        return "freed"

    assert greenlet(body).switch() == "freed"


def test_lists_are_freed_at_once_inside_a_greenlet():
    freed = []

    class Noticed(list):
        pass

    def body():
        for number in range(100):
            noticed = Noticed([1])
            weakref.finalize(noticed, freed.append, number)
            del noticed
        return len(freed)

    assert greenlet(body).switch() == 100


# Threads


def in_thread(function):
    outcome = []

    def target():
        try:
            outcome.append(function())
        except BaseException as exception:
            outcome.append(exception)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    return outcome[0]


def test_switching_into_another_thread_is_refused():
    made, fate = suspended()
    for attempt in (made.switch, made.throw, getcurrent().switch):
        refusal = in_thread(attempt)
        assert isinstance(refusal, error)
        assert str(refusal).startswith("Cannot switch to a different thread\n\tCurrent:  <greenlet.greenlet object at")
    made.switch("well")
    assert fate == ["well", "finally"]


def test_greenlets_of_a_thread_that_ended():
    made, fate = in_thread(suspended)
    assert made.dead
    assert not made
    assert repr(made).endswith("(otid=0x(nil)) (thread exited) dead>")
    with pytest.raises(error, match="which happens to have exited"):
        made.switch()
    with pytest.raises(error, match="which happens to have exited"):
        made.throw()
    del made
    gc.collect()
    assert fate == []


def test_dropped_by_another_thread_it_dies_in_its_own():
    ran_in = []

    def body():
        try:
            main.switch()
        finally:
            ran_in.append(threading.get_ident())

    main = getcurrent()
    box = [greenlet(body)]
    box[0].switch()
    in_thread(box.clear)
    assert ran_in == []
    getcurrent()
    assert ran_in == [threading.get_ident()]


def test_threads_leave_no_stacks_behind(program):
    """In a process of its own, as all that counts over the process: threads of other tests may end when they like."""
    source = """
        import gc, threading
        from verdigris import _core
        def leave():
            for _ in range(50):
                made = _core.greenlet(_core.getcurrent().switch)
                made.switch()
                keep.append(made)
        keep = []
        before = _core.statistics()["stacks_in_use"]
        for _ in range(5):
            thread = threading.Thread(target=leave)
            thread.start()
            thread.join()
            assert len(keep) == 50
            keep.clear()
        gc.collect()
        assert _core.statistics()["stacks_in_use"] == before
        """
    ended = program(source, patched=False)
    assert ended.status == 0, ended.stderr


def test_a_stack_is_given_up_while_somebody_has_one_of_its_frames():
    made, _ = in_thread(suspended)
    frame = made.gr_frame
    del made
    gc.collect()
    assert frame.f_code.co_name == "body"
    assert frame.f_lineno > 0


# The rest of the module


def test_trace_events():
    events = []
    main = getcurrent()
    made = greenlet(lambda: main.switch())
    settrace(lambda event, args: events.append((event, *args)))
    made.switch()
    main.switch()
    made.throw()
    settrace(None)
    assert gettrace() is None
    assert events == [
        ("switch", main, made),
        ("switch", made, main),
        ("switch", main, main),
        ("throw", main, made),
        ("switch", made, main),
    ]


def test_a_trace_function_that_raises_is_removed():
    def trace(event, args):
        raise KeyError("trace")

    settrace(trace)
    with pytest.raises(KeyError, match="trace"):
        greenlet(int).switch()
    assert gettrace() is None


def test_frames_of_a_suspended_greenlet():
    main = getcurrent()

    def outer():
        inner()

    def inner():
        main.switch()

    made = greenlet(outer)
    assert made.gr_frame is None
    made.switch()
    assert made.gr_frame is made.gr_frame
    assert [made.gr_frame.f_code.co_name, made.gr_frame.f_back.f_code.co_name] == ["inner", "outer"]
    assert made.gr_frame.f_back.f_back is None
    made.switch()
    assert made.gr_frame is None


def test_the_c_interface_through_its_capsule():
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    import verdigris._greenlet as module

    table = (ctypes.c_void_p * 12).from_address(get(module._C_API, b"greenlet._C_API"))
    assert table[0] == id(greenlet)
    assert table[1] == id(error)
    assert table[2] == id(GreenletExit)
    new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object, ctypes.c_void_p)(table[3])
    switch = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p)(table[6])
    active = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object)(table[10])
    main = getcurrent()
    made = new(lambda: main.switch(7), None)
    assert (active(made), switch(made, None, None), active(made)) == (0, 7, 1)


def test_the_layout_is_genuine_greenlets():
    assert (greenlet.__basicsize__, greenlet.__weakrefoffset__, greenlet.__dictoffset__) == (40, 16, 24)


def test_stack_that_is_kept():
    main, seen = getcurrent(), []
    made = greenlet(lambda: main.switch(seen.append(main._stack_saved)))
    assert main._stack_saved == made._stack_saved == 0
    made.switch()
    assert seen[0] > 0
    assert made._stack_saved > 100
    made.switch()
    assert made._stack_saved == 0


def test_a_variable_is_not_its_own_parent():
    """From CPython 3.14 on, all there is of it in this call is one counted reference."""
    made = greenlet(None)
    with pytest.raises(ValueError, match="cyclic parent chain"):
        made.parent = made


def test_statistics_add_up(program):
    source = """
        from verdigris import _core
        before = _core.statistics()
        kept = [_core.greenlet(_core.getcurrent().switch) for _ in range(10)]
        for made in kept:
            made.switch()
        during = _core.statistics()
        assert during["stacks_in_use"] == before["stacks_in_use"] + 10
        assert during["resident_bytes"] >= during["stacks_in_use"] * 4096
        assert during["reserved_bytes"] >= during["resident_bytes"]
        assert during["reserved_bytes"] >= during["stacks_in_use"] * during["stack_bytes"] // 8
        kept.clear(); del made
        assert _core.statistics()["stacks_in_use"] == before["stacks_in_use"]
        """
    ended = program(source, patched=False)
    assert ended.status == 0, ended.stderr


@pytest.mark.skipif(
    sys.version_info < (3, 14), reason="nobody knows what is on the stack of a frame before CPython 3.14"
)
def test_the_main_greenlet_of_an_ended_thread_goes_with_the_one_that_was_switching_to_it():
    """What the calls that were under way referred to is dropped; what is in local variables is lost."""
    mains, kept = [], []

    def run():
        made = greenlet(lambda: getcurrent().parent.switch([1]))
        made.switch()
        mains.append(weakref.ref(getcurrent()))
        kept.append(made)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    kept.clear()
    gc.collect()
    assert mains[0]() is None


def test_memory_that_was_used_once_can_be_given_back():
    main = getcurrent()

    def body():
        def descend(level):
            return sorted([1], key=lambda _: descend(level - 1)) if level else main.switch()

        descend(100)
        return [main.switch(), depth()][0]

    made = greenlet(body)
    made.switch()
    deep = _core.stack_resident_bytes(made)
    made.switch()
    assert _core.stack_resident_bytes(made) == deep > 50_000
    assert _core.trim(made)
    assert _core.stack_resident_bytes(made) < 20_000
    assert made.switch("intact") == "intact"
    assert not _core.trim(made)
    assert _core.trim_free_stacks() > 0
    assert _core.trim_free_stacks() == 0
    with pytest.raises(TypeError, match="expected a greenlet, not int"):
        _core.trim(1)


# Endings of processes

EXIT = """
import threading
from verdigris._greenlet import getcurrent, greenlet
main = getcurrent()
def body():
    try:
        main.switch()
    finally:
        print("finally")
kept = [greenlet(body) for _ in range(1000)]
for each in kept:
    each.switch()
"""


def test_exit_with_suspended_greenlets(program):
    ended = program(EXIT + "print('end')", patched=False)
    assert (ended.status, ended.stdout) == (0, "end\n"), ended.stderr


def test_exit_with_a_daemon_thread_inside_greenlets(program):
    source = """
import threading, time
from verdigris._greenlet import getcurrent, greenlet
ready = threading.Event()
def thread():
    def body():
        ready.set()
        while True:
            time.sleep(0)
    greenlet(lambda: greenlet(body).switch()).switch()
for _ in range(3):
    threading.Thread(target=thread, daemon=True).start()
ready.wait()
"""
    for _ in range(5):
        ended = program(source, patched=False)
        assert ended.status == 0, ended.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork_inside_a_greenlet(program):
    source = (
        EXIT.replace("1000", "10")
        + """
import os
def forks():
    pid = os.fork()
    if pid == 0:
        kept[0].switch()  # ends in its parent, which is main
    return os.waitpid(pid, 0)[1]
print(greenlet(forks).switch(), flush=True)
os._exit(0)
"""
    )
    ended = program(source, patched=False)
    assert (ended.status, ended.stdout.split()) == (0, ["finally", "None", "0"]), ended.stderr
