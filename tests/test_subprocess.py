"""Processes: waiting for them and talking to them, while others run. Everything here runs in the test's own hub or in a
program; children are small pythons."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading

import pytest
import verdigris
from conftest import Run
from verdigris import subprocess

ECHO = "import sys; data = sys.stdin.buffer.read(); sys.stdout.buffer.write(data); sys.stderr.write(str(len(data)))"
FOREVER = "import sys; print('ready', flush=True); sys.stdin.read()"


def python(source: str) -> list[str]:
    return [sys.executable, "-c", source]


def test_exit_codes() -> None:
    assert subprocess.call(python("raise SystemExit(7)")) == 7
    popen = subprocess.Popen(python("import os, signal; os.kill(os.getpid(), signal.SIGTERM)"))
    assert popen.wait() == -signal.SIGTERM == popen.poll() == popen.result.get()
    with pytest.raises(subprocess.CalledProcessError) as error:
        subprocess.check_output(python("print('x'); raise SystemExit(44)"))
    assert (error.value.returncode, error.value.output) == (44, b"x\n")


def test_waits_run_at_once() -> None:
    """Nobody's child ends before all have been started."""
    reader, writer = os.pipe()
    waits = python(f"import os; os.read({reader}, 1)")

    def run() -> int:
        return subprocess.run(waits, pass_fds=[reader]).returncode

    greenlets = [verdigris.spawn(run) for _ in range(10)]
    verdigris.sleep(0)
    assert not any(greenlet.ready() for greenlet in greenlets)
    os.close(writer)
    verdigris.joinall(greenlets, raise_error=True)
    assert [greenlet.value for greenlet in greenlets] == [0] * 10
    os.close(reader)


def test_communicate() -> None:
    popen = subprocess.Popen(python(ECHO), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    data = bytes(range(256)) * 4000
    assert popen.communicate(data) == (data, b"1024000")
    assert popen.returncode == 0


def test_communicate_as_text() -> None:
    run = subprocess.run(python(ECHO), input="a\r\nö\n", capture_output=True, text=True, encoding="utf-8")
    assert (run.stdout, run.stderr) == ("a\nö\n", "6")
    empty = subprocess.Popen(python("pass"), stdout=subprocess.PIPE, text=True)
    assert empty.communicate() == ("", None)
    with pytest.raises(UnicodeDecodeError):
        subprocess.run(
            python(r"import os; os.write(1, b'\xff')"), capture_output=True, input="", text=True, encoding="utf-8"
        )


def test_communicate_with_a_child_that_does_not_read() -> None:
    popen = subprocess.Popen(python("pass"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert popen.communicate(b"x" * 1_000_000) == (b"", b"")


def test_timeouts() -> None:
    popen = subprocess.Popen(python(FOREVER), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            popen.wait(timeout=0.001)
        assert popen.wait(0.001, _raise_exc=False) is None
        assert popen.stdout.readline() == b"ready\n"
    finally:
        popen.kill()
    assert popen.wait() == -signal.SIGKILL
    popen.__exit__(None, None, None)


def test_communicating_goes_on_after_a_timeout() -> None:
    popen = subprocess.Popen(
        python(
            "import sys; print('early', flush=True); sys.stderr.write('e'); sys.stderr.flush(); input(); print('late')"
        ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    keep_open = os.dup(popen.stdin.fileno())
    try:
        timeout = 0.001
        while True:
            try:
                popen.communicate(timeout=timeout)
            except subprocess.TimeoutExpired as error:
                if error.output == b"early\n" and error.stderr == b"e":
                    break
        os.write(keep_open, b"\n")
    finally:
        os.close(keep_open)
    assert popen.communicate() == (b"early\nlate\n", b"e")


def test_leaving_while_greenlets_read() -> None:
    with subprocess.Popen(
        python(FOREVER), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as popen:
        assert popen.stdout.readline() == b"ready\n"
        keep_open = os.dup(popen.stdin.fileno())
        talker = verdigris.spawn(popen.communicate)
        verdigris.sleep(0)
        talker.kill()
        popen.kill()
    os.close(keep_open)
    assert all(greenlet.dead for greenlet in popen._communicating_greenlets)
    assert popen.stdout.closed and popen.returncode == -signal.SIGKILL


def test_what_cannot_be_started_leaves_nothing_open() -> None:
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(FileNotFoundError):
            subprocess.Popen(
                ["/no/such/program"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
    assert set(os.listdir("/proc/self/fd")) <= before, "threads of other tests may close theirs meanwhile"


def test_links() -> None:
    popen = subprocess.Popen(python("pass"))
    told = []
    popen.rawlink(told.append)
    assert verdigris.wait([popen]) == [popen]
    verdigris.sleep(0)
    assert told == [popen]
    assert repr(popen).startswith("<Popen: returncode: 0 args: [")


def test_asking_again_and_again() -> None:
    popen = subprocess.Popen(python("pass"))
    turns = []

    def others() -> None:
        while popen.returncode is None:
            turns.append(1)
            verdigris.sleep(0)

    other = verdigris.spawn(others)
    while popen.poll() is None:
        pass
    other.join()
    assert turns


def test_a_stream_of_ours_for_a_child() -> None:
    """A child's standard streams block, whatever they were for us."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    popen = subprocess.Popen(python(ECHO), stdin=reader, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    os.close(reader)
    os.write(writer, b"text")
    os.close(writer)
    assert popen.communicate() == (b"text", None)


def test_a_child_nobody_waits_for() -> None:
    popen = subprocess.Popen(python("pass"))
    pid = popen.pid
    with pytest.warns(ResourceWarning, match="still running"):
        del popen
        gc.collect()
    assert os.waitpid(pid, 0)[0] == pid


def test_who_is_told_the_status() -> None:
    """Either the Popen or os.waitpid(), whoever asks first."""
    popen = subprocess.Popen(python("raise SystemExit(3)"))
    popen.wait()
    with pytest.raises(ChildProcessError):
        verdigris.os.waitpid(popen.pid, 0)
    popen = subprocess.Popen(python("raise SystemExit(3)"))
    popen.result.wait()
    assert verdigris.os.waitpid(popen.pid, 0) == (popen.pid, 3 << 8)
    assert popen.wait() == 3


def test_asyncio(program: Run) -> None:
    ended = program(
        """
        import asyncio, sys
        async def main():
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", "print('hi'); raise SystemExit(3)", stdout=asyncio.subprocess.PIPE)
            print(await process.communicate(), process.returncode)
        asyncio.run(main())
        """
    )
    assert (ended.stdout, ended.stderr) == ("(b'hi\\n', None) 3\n", "")


def test_in_a_native_thread() -> None:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(subprocess.call(python("raise SystemExit(5)"))))
    thread.start()
    thread.join()
    assert codes == [5]


def test_patched(program: Run) -> None:
    ended = program(
        """
        import os, subprocess, sys
        print(subprocess.run(["cat"], input="through", capture_output=True, text=True).stdout)
        print(subprocess.getoutput("echo shell"))
        print(os.popen("echo popen").read(), end="")
        print(os.system("exit 3") >> 8)
        """
    )
    assert (ended.stdout, ended.stderr) == ("through\nshell\npopen\n3\n", "")


def test_interrupted_by_the_end_of_the_program(program: Run) -> None:
    ended = program(
        """
        import verdigris, subprocess, sys
        verdigris.spawn(sys.exit, "bye")
        subprocess.Popen([sys.executable, "-c", "0"])
        verdigris.sleep(60)
        """
    )
    assert (ended.status, ended.stderr) == (1, "bye\n")
