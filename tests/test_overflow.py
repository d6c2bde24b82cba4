"""A greenlet whose C stack overflows says so before the process ends: which one, where, and how to give it more.

The programs pass ever larger structures by value, which are copied onto the stack without anybody asking how much of it is left.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Ended, Run

OVERFLOW = """
import ctypes, sys, threading
from verdigris._core import greenlet, getcurrent

def use(kilobytes):
    class Large(ctypes.Structure):
        _fields_ = [("content", ctypes.c_char * (kilobytes << 10))]
    function = ctypes.CDLL(None).getpid
    function.argtypes = [Large]
    function(Large())

def use_all_of_it(name="of a user\u00e9"):
    for kilobytes in range(4, 200, 4):
        use(kilobytes)

def in_greenlet():
    greenlet(use_all_of_it).switch()
"""

SMALL = {"VERDIGRIS_STACK_SIZE": "128K"}


def is_report_of(ended, kind):
    assert ended.status == -signal.SIGSEGV, ended.stderr
    assert "Fatal error: the C stack of a greenlet has overflowed.\n" in ended.stderr
    assert f"<{kind} object at 0x" in ended.stderr
    assert "has used all of its 127 KiB" in ended.stderr
    assert "VERDIGRIS_STACK_SIZE=4M" in ended.stderr
    assert "It runs use_all_of_it(), 2 Python frames deep.\n" in ended.stderr
    assert ' in use\n  File "' in ended.stderr
    return True


@pytest.mark.parametrize("thread", ["in_greenlet()", "threading.Thread(target=in_greenlet).start()"])
def test_an_overflow_is_reported(program: Run, thread: str) -> None:
    assert is_report_of(program(OVERFLOW + thread, patched=False, environment=SMALL), "greenlet.greenlet")


def test_an_overflow_of_the_hubs_greenlets_is_reported(program: Run) -> None:
    source = OVERFLOW + "import gevent; gevent.spawn(use_all_of_it).join()"
    assert is_report_of(program(source, environment=SMALL), "gevent.Greenlet")


@pytest.mark.parametrize("first", ["enable", "getcurrent"])
def test_faulthandler_prints_its_traceback_as_well(tmp_path: Path, first: str) -> None:
    """Enabled first it comes after us; enabled later, it sends the signal on to us, without the address."""
    calls = {"enable": "faulthandler.enable(); getcurrent()", "getcurrent": "getcurrent(); faulthandler.enable()"}
    script = tmp_path / "program.py"
    script.write_text(OVERFLOW + f"import faulthandler; {calls[first]}; in_greenlet()")
    ended = subprocess.run(
        [sys.executable, script], env={**os.environ, **SMALL}, capture_output=True, text=True, check=False
    )
    assert is_report_of(Ended(ended.returncode, ended.stdout, ended.stderr), "greenlet.greenlet")
    assert "Fatal Python error: Segmentation fault" in ended.stderr


@pytest.mark.parametrize(
    "fault",
    [
        "ctypes.string_at(1)",
        "greenlet(ctypes.string_at).switch(1)",
        "os.kill(os.getpid(), signal.SIGSEGV)",
        "signal.raise_signal(signal.SIGSEGV)",
        "faulthandler._sigsegv()",
    ],
)
def test_another_fault_is_not_ours(program: Run, fault: str) -> None:
    source = f"import ctypes, os, signal, faulthandler\nfrom verdigris._core import getcurrent, greenlet\ngetcurrent()\n{fault}"
    ended = program(source, patched=False)
    assert ended.status == -signal.SIGSEGV
    assert "overflow" not in ended.stderr
    assert "Segmentation fault" in ended.stderr  # the fixture enables faulthandler


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="CPython raises RecursionError in time")
def test_a_recursion_shows_both_its_ends(program: Run) -> None:
    source = """
import sys
from verdigris._core import greenlet

def down(level):
    return sorted([level], key=lambda _: down(level + 1))

def begin():
    down(0)

sys.setrecursionlimit(100_000)
greenlet(begin).switch()
"""
    ended = program(source, patched=False, environment=SMALL)
    if ended.status == 1 and "RecursionError" in ended.stderr:
        return
    assert ended.status == -signal.SIGSEGV
    assert "It runs begin(), " in ended.stderr
    assert " more ...\n" in ended.stderr
    assert "line 9 in begin\n" in ended.stderr
