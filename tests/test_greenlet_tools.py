"""Debuggers, profilers and tracers see of greenlets what they see with genuine greenlet: the digests below are its own.

With GENUINE_GREENLET naming a Python that has the genuine package, the expectation for that Python is checked.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import verdigris
from verdigris._core import getcurrent, greenlet

HERE = Path(__file__).parent
PROGRAMS = ("greenlet_tools", "greenlet_coverage")
DIGESTS = {name: json.loads((HERE / "data" / f"{name}.json").read_text()) for name in PROGRAMS}
"""Version of Python -> digest of what the program prints on genuine greenlet 3.5.6 (and gevent 26.9.0). Versions differ in the events."""


def digest(python, name):
    command = [python, HERE / f"{name}.py"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE).stdout
    return hashlib.sha256(printed.encode()).hexdigest()[:16], printed


@pytest.mark.parametrize("name", PROGRAMS)
def test_tools_see_what_they_see_with_genuine_greenlet(name):
    found, printed = digest(sys.executable, name)
    assert found == DIGESTS[name]["{}.{}".format(*sys.version_info)], printed


@pytest.mark.skipif(
    "GENUINE_GREENLET" not in os.environ, reason="GENUINE_GREENLET names no Python with genuine greenlet"
)
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_expectation_is_genuine_greenlets(name):
    python = os.environ["GENUINE_GREENLET"]
    version = subprocess.check_output([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], text=True)
    assert digest(python, name)[0] == DIGESTS[name][version.strip()]


def test_a_trace_function_sees_that_another_greenlet_goes_on():
    """Waits are compiled: without a call of a Python function nothing would tell that the next line is another greenlet's."""
    seen = []

    def trace(frame, event, argument):
        seen.append((verdigris.getcurrent(), event, frame.f_code.co_name))
        return trace

    def wait():
        verdigris.sleep(0)
        return "done"

    one, other = verdigris.spawn(wait), verdigris.spawn(wait)
    sys.settrace(trace)
    verdigris.sleep(0.001)
    sys.settrace(None)
    for each in (one, other):
        lines = [(event, name) for who, event, name in seen if who is each and (event, name) != ("line", "goes_on")]
        place = lines.index(("call", "goes_on"))
        assert lines[:place] == [("call", "wait"), ("line", "wait")]
        assert lines[place:] == [("call", "goes_on"), ("return", "goes_on"), ("line", "wait"), ("return", "wait")]


def test_what_a_trace_function_raises_comes_out_of_the_wait():
    def trace(frame, event, argument):
        if frame.f_code.co_name == "goes_on":
            raise KeyError("traced")

    sys.settrace(trace)
    with pytest.raises(KeyError, match="traced"):
        verdigris.sleep(0.001)
    assert sys.gettrace() is None
    verdigris.sleep(0.001)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is new in 3.12")
@pytest.mark.parametrize("watched_before", [False, True])
def test_a_tool_that_begins_while_a_greenlet_is_suspended_sees_an_exception_leave_it(watched_before):
    """CPython 3.15 does not prepare the frames of suspended greenlets, and crashes on them."""
    main, monitoring, seen = getcurrent(), sys.monitoring, []

    def inner():
        main.switch()

    class Made:
        def __init__(self, function):
            function()

    for _ in range(100):
        Made(int)  # it is specialized then: a frame of the interpreter's own calls __init__

    def outer():
        yield Made(inner)

    def watch(events):
        monitoring.use_tool_id(4, "test")
        monitoring.register_callback(4, monitoring.events.PY_UNWIND, lambda code, *_: seen.append(code.co_name))
        monitoring.set_events(4, events)

    if watched_before:
        watch(monitoring.events.LINE)
    suspended = greenlet(lambda: next(outer()))
    suspended.switch()
    if watched_before:
        monitoring.free_tool_id(4)
    watch(monitoring.events.PY_UNWIND)
    try:
        with pytest.raises(KeyError):
            suspended.throw(KeyError)
    finally:
        monitoring.free_tool_id(4)
    assert [name for name in seen if name != "__init__"][:3] == ["inner", "outer", "<lambda>"]


def test_a_profiler_that_begins_while_a_greenlet_is_suspended():
    main = getcurrent()

    def body():
        main.switch()

    suspended = greenlet(body)
    suspended.switch()
    seen = []
    sys.setprofile(lambda frame, event, _: seen.append((event, frame.f_code.co_name)))
    try:
        suspended.throw(KeyError)
    except KeyError:
        pass
    finally:
        sys.setprofile(None)
    assert ("return", "body") in seen
