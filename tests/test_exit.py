"""How programs end: with greenlets left over, from inside greenlets and callbacks, with threads that have hubs, after a fork.

Each is a process of its own; none may crash, hang, or lose its exit status. All of them pass on gevent, too (GENUINE_GEVENT).
"""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import Run
from verdigris import _core

HEAD = """
import os, sys
if not os.environ.get("GENUINE_GEVENT"):
    import verdigris; verdigris.install_as_gevent()
import atexit, gc, gevent, gevent.event, greenlet, threading, time
from gevent.hub import LoopExit, get_hub
def ended(pid): return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
def in_thread(function, **options):
    thread = threading.Thread(target=function, **options); thread.start(); return thread
"""

# The program, its exit status, what it prints.
PROGRAMS = {
    "a thousand suspended greenlets": (
        """
        many = [gevent.spawn(gevent.sleep, 100) for _ in range(1000)]
        gevent.sleep(0)
        print("end")
        """,
        0,
        "end",
    ),
    "a finally block that waits": (
        """
        def waits():
            try: gevent.sleep(100)
            finally: gevent.sleep(0.01)
        left = gevent.spawn(waits)
        gevent.sleep(0)
        print("end")
        """,
        0,
        "end",
    ),
    # gevent refuses to switch at that time; it is enough that nothing breaks.
    "a finalizer that sleeps": (
        """
        class Late:
            def __del__(self):
                try: sleep(0.001)
                except Exception: pass
        late, sleep = Late(), gevent.sleep
        gevent.sleep(0)
        """,
        0,
        "",
    ),
    "a finalizer that spawns": (
        """
        class Late:
            def __del__(self):
                try: spawn(lambda: 42).get()
                except Exception: pass
        late, spawn = Late(), gevent.spawn
        gevent.sleep(0)
        """,
        0,
        "",
    ),
    "an exit function that sleeps": (
        "atexit.register(lambda: (gevent.sleep(0.001), print('slept'))); gevent.sleep(0)",
        0,
        "slept",
    ),
    "an exit function that makes the hub": ("atexit.register(lambda: gevent.spawn(print, 'ran').join())", 0, "ran"),
    "sys.exit in a greenlet": ("gevent.spawn(sys.exit, 3); gevent.sleep(100); print('never')", 3, ""),
    "sys.exit in a greenlet that is joined": ("gevent.spawn(sys.exit, 3).join(); print('never')", 3, ""),
    "sys.exit in a raw greenlet": ("gevent.spawn_raw(sys.exit, 3); gevent.sleep(100); print('never')", 3, ""),
    "sys.exit in a callback": ("get_hub().loop.run_callback(sys.exit, 3); gevent.sleep(100); print('never')", 3, ""),
    "sys.exit in a timer": (
        "t = get_hub().loop.timer(0); t.start(sys.exit, 3); gevent.sleep(100); print('never')",
        3,
        "",
    ),
    "sys.exit in main with greenlets left": (
        "left = gevent.spawn(gevent.sleep, 100); gevent.sleep(0); sys.exit(3)",
        3,
        "",
    ),
    "an error in main with greenlets left": ("left = gevent.spawn(gevent.sleep, 100); gevent.sleep(0); 1 / 0", 1, ""),
    "os._exit in a greenlet": ("gevent.spawn(os._exit, 3); gevent.sleep(100)", 3, ""),
    "an error in a callback": (
        "get_hub().loop.run_callback(lambda: 1 / 0); gevent.sleep(0); print('goes on')",
        0,
        "goes on",
    ),
    "nothing left to wait for": (
        """
        for wait in (get_hub().switch, gevent.event.Event().wait):
            try: wait()
            except LoopExit: print("LoopExit", end=" ")
        gevent.sleep(0.001); print("goes on")
        """,
        0,
        "LoopExit LoopExit goes on",
    ),
    "hubs destroyed one after the other": (
        """
        for _ in range(20):
            left = [gevent.spawn(gevent.sleep, 100) for _ in range(3)]
            gevent.sleep(0)
            get_hub().destroy(destroy_loop=True)
        gevent.sleep(0.001); print("end")
        """,
        0,
        "end",
    ),
    "a greenlet kills itself": (
        """
        def suicide(): gevent.getcurrent().kill(block=False); gevent.sleep(100)
        greenlet = gevent.spawn(suicide); greenlet.join(); print(repr(greenlet.value))
        """,
        0,
        "GreenletExit()",
    ),
    "a generator that waits while it is closed": (
        """
        def generate():
            try:
                while True: gevent.sleep(0); yield
            finally: gevent.sleep(0.001); print("closed")
        def uses():
            generator = generate(); next(generator); next(generator)
        gevent.spawn(uses).join()
        """,
        0,
        "closed",
    ),
    "a daemon thread whose hub sleeps": (
        """
        in_thread(lambda: gevent.joinall([gevent.spawn(gevent.sleep, 100) for _ in range(10)]), daemon=True)
        time.sleep(0.05); print("end")
        """,
        0,
        "end",
    ),
    "daemon threads whose hubs are busy": (
        """
        def busy():
            while True: gevent.sleep(0)
        for _ in range(4): in_thread(lambda: gevent.joinall([gevent.spawn(busy) for _ in range(10)]), daemon=True)
        time.sleep(0.05); print("end")
        """,
        0,
        "end",
    ),
    "daemon threads in the middle of time-outs": (
        """
        def busy():
            while True:
                with gevent.Timeout(0.0003, False):
                    while True: gevent.sleep(0)
        sys.setswitchinterval(1e-5)
        for _ in range(4): in_thread(busy, daemon=True)
        time.sleep(0.05); print("end")
        """,
        0,
        "end",
    ),
    "daemon threads in raw greenlets": (
        """
        def busy():
            while True: time.sleep(0.0001)
        for _ in range(4): in_thread(lambda: greenlet.greenlet(busy).switch(), daemon=True)
        time.sleep(0.05); print("end")
        """,
        0,
        "end",
    ),
    "a thread that goes on after main": (
        """
        def works(): gevent.joinall([gevent.spawn(gevent.sleep, 0.01) for _ in range(10)]); print("thread")
        in_thread(works); print("main")
        """,
        0,
        "main thread",
    ),
    "threads that end with suspended greenlets": (
        """
        def leaves():
            many = [gevent.spawn(gevent.sleep, 100) for _ in range(3)]
            gevent.sleep(0.001)
        for _ in range(5): in_thread(leaves).join(); gc.collect()
        gevent.sleep(0.001); print("end")
        """,
        0,
        "end",
    ),
    "greenlets that outlive their thread": (
        """
        kept = []
        def leaves():
            kept.extend(gevent.spawn(gevent.sleep, 100) for _ in range(3))
            gevent.sleep(0.001)
        for _ in range(5): in_thread(leaves).join()
        kept.clear(); gc.collect(); gevent.sleep(0.001); print("end")
        """,
        0,
        "end",
    ),
    "a greenlet switched to from another thread": (
        """
        left = gevent.spawn(gevent.sleep, 0.01); gevent.sleep(0)
        def tries():
            for what in (left.switch, lambda: left.throw(ValueError)):
                try: what()
                except greenlet.error: print("refused", end=" ")
        in_thread(tries).join(); left.join(); print("end")
        """,
        0,
        "refused refused end",
    ),
    "a greenlet killed from another thread": (
        """
        left = gevent.spawn(gevent.sleep, 100); gevent.sleep(0)
        thread = in_thread(lambda: left.kill(block=False))
        left.join(); thread.join(); print(repr(left.value))
        """,
        0,
        "GreenletExit()",
    ),
    "callbacks from many threads": (
        """
        seen = []
        def sends():
            for n in range(1000): loop.run_callback_threadsafe(seen.append, n)
        loop = get_hub().loop
        threads = [in_thread(sends) for _ in range(4)]
        while len(seen) < 4000: gevent.sleep(0.001)
        print(sum(seen) == 4 * sum(range(1000)))
        """,
        0,
        "True",
    ),
    "a child that ends at once": (
        """
        left = [gevent.spawn(gevent.sleep, 0.01) for _ in range(10)]; gevent.sleep(0)
        pid = os.fork()
        if pid == 0: os._exit(3)
        gevent.joinall(left); print(ended(pid))
        """,
        0,
        "3",
    ),
    "a child that goes on": (
        """
        left = [gevent.spawn(gevent.sleep, 0.01) for _ in range(10)]; gevent.sleep(0)
        pid = gevent.fork()
        if pid == 0: gevent.joinall(left); gevent.sleep(0.001); sys.exit(3)
        gevent.joinall(left); print(ended(pid))
        """,
        0,
        "3",
    ),
    "a child of plain os.fork that goes on": (
        """
        left = [gevent.spawn(gevent.sleep, 0.01) for _ in range(10)]; gevent.sleep(0)
        pid = os.fork()
        if pid == 0: gevent.joinall(left); gevent.sleep(0.001); sys.exit(3)
        gevent.joinall(left); print(ended(pid))
        """,
        0,
        "3",
    ),
    "children made in greenlets": (
        """
        def forks():
            pid = gevent.fork()
            if pid == 0: gevent.sleep(0.001); os._exit(3)
            return ended(pid)
        many = [gevent.spawn(forks) for _ in range(5)]; gevent.joinall(many); print([one.value for one in many])
        """,
        0,
        "[3, 3, 3, 3, 3]",
    ),
    "a child made in a thread": (
        """
        def forks():
            gevent.sleep(0.001)
            pid = os.fork()
            if pid == 0: gevent.spawn(gevent.sleep, 0.001).join(); os._exit(3)
            print(ended(pid))
        gevent.sleep(0); in_thread(forks).join()
        """,
        0,
        "3",
    ),
    "recursion without end": (
        """
        def deeper(n): return deeper(n + 1)
        greenlet = gevent.spawn(deeper, 0); greenlet.join(); print(type(greenlet.exception).__name__)
        """,
        0,
        "RecursionError",
    ),
    "recursion without end in C": (
        """
        def deeper():
            nested = []
            for _ in range(100000): nested = [nested]
            try: repr(nested)
            except RecursionError: return "RecursionError"
        print(gevent.spawn(deeper).get())
        """,
        0,
        "RecursionError",
    ),
    "a long chain freed in a greenlet": (
        """
        class Node: pass
        def chain():
            last = None
            for _ in range(200000): node = Node(); node.next = last; last = node
        gevent.spawn(chain).join(); print("end")
        """,
        0,
        "end",
    ),
    "the loop run inside a callback": (
        """
        loop = get_hub().loop
        for _ in range(10): loop.run_callback(loop.run, True)
        gevent.joinall([gevent.spawn(gevent.sleep, 0.001 * n) for n in range(5)]); print("end")
        """,
        0,
        "end",
    ),
    "the loop run by the main greenlet": (
        """
        many = [gevent.spawn(gevent.sleep, 0.001 * n) for n in range(5)]
        get_hub().loop.run(nowait=True); gevent.sleep(0.05); print([one.dead for one in many])
        """,
        0,
        "[True, True, True, True, True]",
    ),
    "the loop run by a greenlet, which is left in it": (
        """
        runs = gevent.spawn(get_hub().loop.run, True)
        many = [gevent.spawn(gevent.sleep, 0.001 * n) for n in range(5)]
        gevent.sleep(0.05); print([one.dead for one in many])
        """,
        0,
        "[True, True, True, True, True]",
    ),
}


@pytest.mark.parametrize("how", PROGRAMS)
def test_a_program_ends_as_it_should(program: Run, how: str) -> None:
    source, status, output = PROGRAMS[how]
    ended = program(HEAD + textwrap.dedent(source), patched=False)
    assert ended.status == status, ended.stderr
    assert " ".join(ended.stdout.split()) == output, ended.stderr


# Functions of CPython that run no Python code, start no garbage collection and keep the GIL.
HARMLESS = """
    PyArg_ParseTuple PyArg_ParseTupleAndKeywords PyBool_FromLong PyBytes_AsString PyBytes_FromStringAndSize
    PyCallable_Check PyCapsule_GetPointer PyCapsule_New PyCode_Addr2Line PyDict_Next PyDict_Size
    PyErr_ExceptionMatches PyErr_Fetch PyErr_GetRaisedException PyErr_GivenExceptionMatches PyErr_Occurred
    PyEval_SaveThread PyException_GetTraceback PyFloat_FromDouble PyFrame_GetCode PyFrame_GetLasti PyGC_Disable
    PyGC_Enable PyImport_GetModuleDict PyList_Append PyLong_AsDouble PyLong_AsUnsignedLongLong PyLong_FromLong
    PyLong_FromLongLong PyLong_FromSize_t PyLong_FromSsize_t PyLong_FromUnsignedLongLong PyModuleDef_Init
    PyModule_GetNameObject PyObject_Free PyObject_GC_IsFinalized PyObject_GC_Track PyObject_GC_UnTrack PyObject_GetArenaAllocator PyObject_Malloc
    PySequence_Check PySys_GetObject PyThreadState_EnterTracing PyThreadState_Get PyThreadState_GetDict
    PyThreadState_LeaveTracing PyThread_get_thread_ident PyTuple_GetItem PyType_GetModuleName PyType_GetName
    PyType_GetQualName PyType_IsSubtype PyType_Modified PyUnicode_AsUTF8AndSize PyUnicode_DecodeFSDefaultAndSize
    PyUnicode_EncodeFSDefault PyUnicode_EqualToUTF8AndSize PyUnicode_FromString PyUnicode_FromStringAndSize
    PyUnicode_InternFromString PyUnicode_InternInPlace PyWeakref_GetObject PyWeakref_GetRef Py_IsFinalizing
    PyUnstable_InterpreterFrame_GetCode PyUnstable_InterpreterFrame_GetLasti PyUnstable_InterpreterFrame_GetLine
    Py_IsInitialized _PyBytes_Resize _Py_CheckFunctionResult _Py_IsFinalizing PyErr_FormatV PyUnicode_FromFormatV
    Py_VaBuildValue _Py_VaBuildValue_SizeT PyVectorcall_Call
"""  # those of the last two lines are called by the guards alone, and the very last by Python alone


@pytest.mark.skipif(
    sys.version_info >= (3, 14) or sys.platform != "linux", reason="threads are ended without unwinding"
)
def test_what_may_run_python_code_is_guarded() -> None:
    guards = Path(__file__).parent.parent / "crates/python/src/thread_end.c"
    guarded = {
        first or second for first, second in re.findall(r"GUARD\w*\(.*?, (\w+),|__wrap_(\w+)\(", guards.read_text())
    }
    symbols = subprocess.run(["nm", "-D", _core.__file__], capture_output=True, text=True, check=True).stdout
    called = set(re.findall(r"^ +U (_?Py\w+?)$", symbols, re.M))
    data = {name for name in called if re.search(r"^PyExc_|_?Py\w+Type$|^_Py_\w+Struct$", name)}
    assert called & guarded
    assert called - data - guarded - set(HARMLESS.split()) == set()
