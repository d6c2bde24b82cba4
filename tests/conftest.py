"""What every test has: a time limit that ends a hang with tracebacks, and a way to run a program in a process of its own.

A hang in a library of green threads cannot be broken off from inside: the thread that would have to raise is the one that
hangs. So a test that passes its limit ends the whole run, with the Python traceback of every thread (`faulthandler` prints
them from a thread of its own, without the interpreter's help), and a run that does not end after its last test likewise.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

TIME_LIMIT = float(os.environ.get("VERDIGRIS_TEST_LIMIT", "60"))
"""Seconds a test may take unless it is marked with `time_limit`; far more than any needs, also on a loaded machine."""

PROGRAM_LIMIT = TIME_LIMIT * 0.75
"""Seconds a program started by a test may take: ends before the test does, so that the program's own tracebacks are seen."""

GENUINE = os.environ.get("GENUINE_GEVENT")
"""A Python in which gevent itself is installed: programs then run on that in place of verdigris, to compare."""

_terminal = 2


def pytest_configure() -> None:
    """Keeps the terminal: during tests, pytest's capture has descriptor 2 itself point elsewhere.

    And has interrupts reach the programs that tests start: a shell's `&` has them ignored, in the children, too.
    """
    global _terminal
    _terminal = os.dup(2)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Ends the run when one test, its fixtures included, takes longer than its limit."""
    marker = item.get_closest_marker("time_limit")
    limit = float(marker.args[0]) if marker else TIME_LIMIT
    faulthandler.dump_traceback_later(limit, exit=True, file=_terminal)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Ends the run when the interpreter does not end after the last test."""
    faulthandler.dump_traceback_later(TIME_LIMIT, exit=True, file=_terminal)


@contextmanager
def barrier_server(count: int, tls: bool = False) -> Iterator[str]:
    """Runs the server that answers when `count` requests have come, and gives its URL."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("barrier_server.py")),
        str(count),
        *(["--tls"] if tls else []),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit status (negative: the signal that killed it) and what it printed."""

    status: int
    stdout: str
    stderr: str


Run = Callable[..., Ended]


@pytest.fixture
def program(tmp_path: Path) -> Run:
    """Runs Python source text in a process of its own; by default as `verdigris run` runs a script, patched.

    `program(source, *arguments, patched=True, limit=seconds, environment={})` waits for the end and gives an `Ended`.
    A program past its limit gets SIGABRT, which prints the traceback of every thread, and fails the test with it.
    """

    def run(
        source: str,
        *arguments: str,
        patched: bool = True,
        limit: float = PROGRAM_LIMIT,
        environment: dict[str, str] | None = None,
    ) -> Ended:
        process = start_program(tmp_path, source, *arguments, patched=patched, environment=environment)
        return end_program(process, limit)

    return run


def start_program(
    folder: Path,
    source: str,
    *arguments: str,
    patched: bool = True,
    environment: dict[str, str] | None = None,
    stderr: int = subprocess.PIPE,
) -> subprocess.Popen[str]:
    """Starts a program as the fixture `program` does and returns while it runs."""
    script = folder / "program.py"
    script.write_text(textwrap.dedent(source))
    door = ["-m", "gevent.monkey"] if GENUINE else ["-m", "verdigris", "run"]
    return subprocess.Popen(
        [GENUINE or sys.executable, "-X", "faulthandler", *(door if patched else []), str(script), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        cwd=folder,
        env={**os.environ, **(environment or {})},
    )


def end_program(process: subprocess.Popen[str], limit: float = PROGRAM_LIMIT) -> Ended:
    """Waits for a started program's end, at most `limit` seconds."""
    try:
        stdout, stderr = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # faulthandler prints the tracebacks
        stdout, stderr = process.communicate()
        pytest.fail(f"the program did not end within {limit} s; it printed:\n{stdout}\n{stderr}", pytrace=False)
    return Ended(process.returncode, stdout, stderr)
