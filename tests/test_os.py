"""verdigris.os: descriptors and children."""

from __future__ import annotations

import os
import signal

import pytest
import verdigris
from conftest import Run
from verdigris import os as green_os


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    for end in (reader, writer):
        try:
            os.close(end)
        except OSError:
            pass


@pytest.mark.parametrize("kind", ["nb", "tp"])
def test_reading_and_writing_more_than_fits(pipe, kind: str) -> None:
    reader, writer = pipe
    read, write = getattr(green_os, f"{kind}_read"), getattr(green_os, f"{kind}_write")
    if kind == "nb":
        assert green_os.make_nonblocking(reader) is True and green_os.make_nonblocking(reader) is None
        green_os.make_nonblocking(writer)
    data = bytes(1_000_000)

    def produce() -> None:
        view = memoryview(data)
        while view:
            view = view[write(writer, view[:4096]) :]
        os.close(writer)

    producer = verdigris.spawn(produce)
    received = 0
    while chunk := read(reader, 4096):
        received += len(chunk)
    producer.get()
    assert received == len(data)


def test_errors(pipe) -> None:
    os.close(pipe[1])
    with pytest.raises(BrokenPipeError):
        os.close(pipe[0])
        reader, writer = os.pipe()
        os.close(reader)
        try:
            green_os.make_nonblocking(writer)
            green_os.nb_write(writer, b"x")
        finally:
            os.close(writer)
    with pytest.raises(OSError):
        green_os.nb_read(-1, 1)


def child(code: int) -> int:
    """A child that ends at once."""
    pid = green_os.fork_and_watch()
    if not pid:
        os._exit(code)
    return pid


def test_waitpid_of_one() -> None:
    reader, writer = os.pipe()
    pid = green_os.fork_and_watch()
    if not pid:
        os.read(reader, 1)
        os._exit(3)
    # it ends when another greenlet has had its turn
    verdigris.spawn(os.write, writer, b"x")
    assert green_os.waitpid(pid, 0) == (pid, 3 << 8)
    with pytest.raises(ChildProcessError):
        green_os.waitpid(pid, 0)


def test_waitpid_without_waiting() -> None:
    reader, writer = os.pipe()
    pid = green_os.fork_and_watch()
    if not pid:
        os.close(writer)
        os.read(reader, 1)
        os._exit(4)
    assert green_os.waitpid(pid, os.WNOHANG) == (0, 0)
    os.close(writer)
    while (result := green_os.waitpid(pid, os.WNOHANG)) == (0, 0):
        pass
    assert result == (pid, 4 << 8)
    os.close(reader)


def test_waitpid_of_any() -> None:
    green_os._reap_children(0)  # what other tests have left
    pids = {child(code) for code in (1, 2, 3)}
    assert {green_os.waitpid(-1, 0)[0] for _ in pids} == pids
    with pytest.raises(ChildProcessError):
        green_os.waitpid(-1, 0)
    with pytest.raises(ChildProcessError):
        green_os.waitpid(1, 0)


def test_two_wait_for_one() -> None:
    pid = child(0)

    def wait() -> bool:
        try:
            return green_os.waitpid(pid, 0)[0] == pid
        except ChildProcessError:
            return False

    results = [verdigris.spawn(wait) for _ in range(2)]
    verdigris.joinall(results, raise_error=True)
    assert sorted(result.value for result in results) == [False, True]


def test_callbacks() -> None:
    done = verdigris.event.Event()
    told = []

    def ended(watcher) -> None:
        told.append((watcher.pid, watcher.rstatus))
        done.set()

    pid = green_os.fork_and_watch(ended, ref=True)
    if not pid:
        os._exit(9)
    done.wait()
    assert told == [(pid, 9 << 8)]
    assert green_os.waitpid(pid, 0) == (pid, 9 << 8)


def test_a_child_of_the_plain_fork_stays_waitable() -> None:
    pid = os.fork()
    if not pid:
        os._exit(6)
    subprocess_pid = child(0)
    green_os.waitpid(subprocess_pid, 0)
    assert os.waitpid(pid, 0) == (pid, 6 << 8)


def test_posix_spawn() -> None:
    pid = green_os.posix_spawn("/bin/sh", ["sh", "-c", "exit 8"], os.environ)
    assert green_os.waitpid(pid, 0) == (pid, 8 << 8)


def test_forkpty() -> None:
    pid, terminal = green_os.forkpty()
    if not pid:
        os.write(1, b"from the terminal")
        os._exit(0)
    assert os.read(terminal, 100) == b"from the terminal"
    assert green_os.waitpid(pid, 0) == (pid, 0)
    os.close(terminal)


def test_the_hub_goes_on_in_the_child(program: Run) -> None:
    ended = program(
        """
        import os, sys, verdigris
        reader, writer = os.pipe()
        verdigris.sleep(0.001)
        pid = os.fork()
        if not pid:
            greenlet = verdigris.spawn(lambda: verdigris.sleep(0.001))
            greenlet.join()
            os.write(writer, b"child")
            os._exit(0)
        verdigris.sleep(0.001)
        assert os.waitpid(pid, 0) == (pid, 0)
        print(os.read(reader, 10))
        """
    )
    assert (ended.stdout, ended.stderr) == ("b'child'\n", "")


def test_children_not_watched(program: Run) -> None:
    ended = program(
        """
        import os
        from verdigris import _children
        pid = os.fork()
        if not pid:
            os._exit(5)
        assert not _children.watched
        assert os.waitpid(pid, 0) == (pid, 5 << 8)
        """,
        environment={"GEVENT_NOWAITPID": "1"},
    )
    assert (ended.status, ended.stderr) == (0, "")


def test_killed(program: Run) -> None:
    pid = green_os.fork_and_watch()
    if not pid:
        signal.pause()
        os._exit(0)
    os.kill(pid, signal.SIGKILL)
    assert os.WTERMSIG(green_os.waitpid(pid, 0)[1]) == signal.SIGKILL
