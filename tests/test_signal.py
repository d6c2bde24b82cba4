"""Signals under patching: SIGCHLD, whose handlers may wait, and all others, which are as ever."""

from __future__ import annotations

from conftest import Run


def test_a_handler_of_sigchld_may_wait(program: Run) -> None:
    ended = program(
        """
        import os, signal, sys, time, verdigris
        assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
        called = verdigris.event.Event()
        def handler(number, frame):
            time.sleep(0.001)
            assert number == signal.SIGCHLD
            called.set()
            raise TypeError("printed and forgotten")
        assert signal.signal(signal.SIGCHLD, handler) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGCHLD) is handler
        pid = os.fork()
        if not pid:
            os._exit(0)
        assert called.wait(timeout=30)
        assert os.waitpid(-1, os.WNOHANG)[0] == pid
        assert signal.signal(signal.SIGCHLD, signal.SIG_DFL) is handler
        assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
        """
    )
    assert ended.status == 0
    assert "TypeError: printed and forgotten" in ended.stderr


def test_what_is_no_handler(program: Run) -> None:
    ended = program(
        """
        import signal
        try:
            signal.signal(signal.SIGCHLD, 5)
        except TypeError as error:
            print(error)
        """
    )
    assert "must be signal.SIG_IGN, signal.SIG_DFL, or a callable object" in ended.stdout


def test_the_wakeup_descriptor(program: Run) -> None:
    ended = program(
        """
        import os, signal, subprocess, sys
        from verdigris.os import make_nonblocking, nb_read
        reader, writer = os.pipe()
        make_nonblocking(reader), make_nonblocking(writer)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        assert signal.set_wakeup_fd(writer) == -1
        subprocess.run([sys.executable, "-c", "0"])
        assert nb_read(reader, 10) == bytes([signal.SIGCHLD])
        assert signal.set_wakeup_fd(-1) == writer
        """
    )
    assert (ended.status, ended.stderr) == (0, "")


def test_ignoring_children(program: Run) -> None:
    ended = program(
        """
        import os, signal, subprocess
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        assert subprocess.call(["true"]) == 0
        """
    )
    assert (ended.status, ended.stderr) == (0, "")


def test_other_signals(program: Run) -> None:
    ended = program(
        """
        import os, signal, threading, time
        got = []
        signal.signal(signal.SIGUSR1, lambda number, frame: got.append(number))
        os.kill(os.getpid(), signal.SIGUSR1)
        while not got:
            time.sleep(0.001)
        assert got == [signal.SIGUSR1]
        """
    )
    assert (ended.status, ended.stderr) == (0, "")
