"""The three suites: where they come from, which files they have, how each file is run.

    greenlet   greenlet's own tests, those of its C interface included
    gevent     gevent's own tests
    stdlib     CPython's own tests of what gets patched, everything patched first

The first two are in the wheels of gevent and greenlet. Only their packages of tests are unpacked, so that nothing else of gevent
or greenlet can be imported by mistake.
"""

from __future__ import annotations

import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from runner import Job

HERE = Path(__file__).parent
RELEASES = {"gevent": "26.9.0", "greenlet": "3.5.6"}
PACKAGES = ("gevent/tests/", "gevent/testing/", "greenlet/tests/")

# Starts CPython's tests from a checkout of its source: the suite "stdlib" stands for it.
NOT_A_TEST = "test___monkey_patching"

STDLIB = (
    "asynchat asyncore context ftplib httplib httpservers imaplib interpreters nntplib poplib queue sched select selectors signal "
    "smtpd smtplib socket socketserver ssl subprocess telnetlib thread threading threading_local timeout urllib urllib2 "
    "urllib2_localnet wsgiref xmlrpc"
)

# Asks for the resource "network", though localhost is enough for it.
LOCAL_NETWORK = "socketserver"

PRESENT = "import importlib.util, sys; print(*(m for m in sys.argv[1:] if importlib.util.find_spec('test.test_' + m)))"


def fetch(python: Path, folder: Path) -> None:
    """Unpacks the packages of tests from the wheels of the registry, once."""
    done = folder / ".done"
    if done.exists() and done.read_text() == str(RELEASES):
        return
    wanted = [f"{name}=={release}" for name, release in RELEASES.items()]
    command = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", *wanted, "--dest"]
    with tempfile.TemporaryDirectory() as downloads:
        subprocess.run([*command, downloads], check=True)
        for wheel in Path(downloads).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder, [member for member in archive.namelist() if member.startswith(PACKAGES)])
    done.write_text(str(RELEASES))


def jobs(python: Path, folder: Path, suites: list[str]) -> Iterator[Job]:
    """All files of the suites named."""
    if "greenlet" in suites:
        for file in test_files(folder / "greenlet" / "tests"):
            module = f"greenlet.tests.{file}"
            yield Job("greenlet", file, ["-m", "unittest", "-v", module], module)
    if "gevent" in suites:
        for file in test_files(folder / "gevent" / "tests"):
            module = f"gevent.tests.{file}"
            if file != NOT_A_TEST:
                yield Job("gevent", file, ["-m", module], module)
    if "stdlib" in suites:
        found = subprocess.run([python, "-c", PRESENT, *STDLIB.split()], capture_output=True, text=True, check=True)
        for name in found.stdout.split():
            environment = {"GEVENT_DEBUG": "error"}
            if name == LOCAL_NETWORK:
                environment["GEVENTTEST_USE_RESOURCES"] = "all"
            arguments = ["-W", "ignore", str(HERE / "patched_child.py"), f"test_{name}"]
            yield Job("stdlib", f"test_{name}", arguments, f"test.test_{name}", environment)


def test_files(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("test_*.py"))


def environment(folder: Path, genuine: bool) -> dict[str, str]:
    """What every process of a suite has in its environment; like gevent's own runner, Python's development mode."""
    return {
        # The folder of tests, too: some import their neighbours.
        "PYTHONPATH": f"{HERE / 'shim'}:{folder / 'gevent' / 'tests'}",
        "PYTHONDEVMODE": "1",
        "PYTHONFAULTHANDLER": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "GEVENTTEST_USE_RESOURCES": "-network",
        "GEVENTTEST_QUIET": "1",
        "DO_NOT_SETPGRP": "1",
        "CONFORMANCE_SUITE": str(folder),
        "CONFORMANCE_GENUINE": "1" if genuine else "0",
    }
