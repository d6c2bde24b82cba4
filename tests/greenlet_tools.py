"""What tools see of greenlets that switch in the middle of everything: prints one line for each event, the same on genuine greenlet.

Trace and profile functions, threading's too, sys.monitoring, pdb, faulthandler, tracemalloc. `test_greenlet_tools.py` compares.
"""

import bdb
import faulthandler
import io
import pdb
import re
import sys
import tempfile
import threading
import tracemalloc

try:
    from verdigris._core import getcurrent, greenlet
except ImportError:
    from greenlet import getcurrent, greenlet


def inner(level):
    if level:
        return inner(level - 1)
    value = getcurrent().parent.switch("from inner")
    return value


def worker(name):
    try:
        got = inner(2)
    except ValueError as error:
        got = repr(error)
    for number in generator():
        got = (got, number)
    return sorted([2, 1], key=lambda item: getcurrent().parent.switch(item) or item)


def generator():
    yield getcurrent().parent.switch("from generator")
    yield 2


def drive():
    one, other = greenlet(worker), greenlet(worker)
    seen = [one.switch("one"), other.switch("other"), one.throw(ValueError("thrown")), other.switch(5)]
    while not (one.dead and other.dead):
        for each in (one, other):
            if not each.dead:
                seen.append(each.switch())
    return seen


def said(name, frame, event, argument):
    if frame.f_code.co_filename == __file__:
        argument = type(argument).__name__ if event in ("exception", "c_call", "c_return") else argument
        print(
            name,
            event,
            frame.f_code.co_name,
            frame.f_lineno - frame.f_code.co_firstlineno,
            argument if event == "return" else "",
        )


def trace(frame, event, argument):
    said("trace", frame, event, argument)
    return trace


def main():
    print("--- settrace")
    sys.settrace(trace)
    result = drive()
    sys.settrace(None)
    print(result)
    print("--- settrace in the middle")

    def switched_on():
        sys.settrace(trace)
        inner(1)
        sys.settrace(None)

    one = greenlet(switched_on)
    one.switch()
    drive()
    one.switch()
    sys.settrace(None)
    print("--- setprofile")
    sys.setprofile(lambda *event: said("profile", *event))
    result = drive()
    sys.setprofile(None)
    print(result)
    print("--- threading.settrace")
    threading.settrace(trace)
    thread = threading.Thread(target=drive)
    thread.start()
    thread.join()
    threading.settrace(None)
    if hasattr(sys, "monitoring"):
        print("--- monitoring")
        monitoring = sys.monitoring
        monitoring.use_tool_id(2, "tools")
        events = {
            name: getattr(monitoring.events, name)
            for name in ("PY_START", "PY_RETURN", "PY_YIELD", "PY_RESUME", "PY_THROW", "PY_UNWIND", "RAISE", "CALL")
        }
        for name, number in events.items():
            monitoring.register_callback(
                2,
                number,
                lambda code, *rest, name=name: code.co_filename == __file__ and print(name, code.co_name, rest[0]),
            )
        monitoring.set_events(2, sum(events.values()))
        drive()
        monitoring.set_events(2, 0)
        monitoring.free_tool_id(2)
    print("--- pdb")
    commands = "b inner\nc\nw\nu\np name\nc\nw\nn\nn\nc\nc\nc\nc\n" + "c\n" * 20
    output = io.StringIO()
    debugger = pdb.Pdb(stdin=io.StringIO(commands), stdout=output, nosigint=True, readrc=False)
    debugger.use_rawinput = False
    try:
        debugger.runcall(drive)
    except bdb.BdbQuit:
        print("quit")
    sys.settrace(None)

    print(re.sub(r"0x[0-9a-f]+", "0x", output.getvalue().replace(__file__, "here")))
    print("--- faulthandler")
    with tempfile.TemporaryFile() as file:

        def dump():
            faulthandler.dump_traceback(file, all_threads=False)
            getcurrent().parent.switch()
            faulthandler.dump_traceback(file, all_threads=False)

        one = greenlet(lambda: sorted([1], key=lambda _: dump()))
        one.switch()
        faulthandler.dump_traceback(file, all_threads=False)
        one.switch()
        file.seek(0)
        print(re.findall(r"greenlet_tools.py\", (.*)", file.read().decode()))
    print("--- tracemalloc")
    tracemalloc.start(10)
    kept = []

    def allocate(level):
        if level:
            return allocate(level - 1)
        getcurrent().parent.switch()
        kept.append(bytearray(100_000))
        getcurrent().parent.switch()

    one, other = greenlet(allocate), greenlet(allocate)
    one.switch(1), other.switch(3), one.switch(), other.switch()
    for block in kept:
        lines = tracemalloc.get_object_traceback(block)
        print([line.lineno for line in lines if line.filename == __file__])
    tracemalloc.stop()


main()
