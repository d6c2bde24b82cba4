"""A Python console inside a running program, reached over a socket. Anyone who reaches it can do anything."""

from __future__ import annotations

import sys
from code import InteractiveConsole

from verdigris._incidental import incidental_names

from .greenlet import Greenlet
from .hub import getcurrent
from .server import StreamServer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .socket import socket

__all__ = ["BackdoorServer"]
__getattr__ = incidental_names(__name__)


class BackdoorServer(StreamServer):
    """Gives every connection a console of its own.

    *locals* are the variables that a console begins with, *banner* is what it greets with. While a
    console runs its statements, and in no other greenlet, `sys.stdin`, `stdout` and `stderr` are
    the connection.
    """

    def __init__(
        self, listener: Any, locals: dict[str, Any] | None = None, banner: str | None = None, **server_args: Any
    ) -> None:
        super().__init__(listener, spawn=Greenlet.spawn, **server_args)
        self.locals = {"__doc__": None, "__name__": "__console__", **(locals or {})}
        self.banner = banner
        self.stderr = sys.stderr

    def handle(self, conn: socket, _address: Any) -> None:
        """Run a console on a connection, until it is left."""
        files = _Connection(conn)
        # Its own copy; and `__builtins__` would otherwise be put in, and fill the screen.
        variables = {**self.locals, "__builtins__": __import__("builtins")}
        console = InteractiveConsole(variables)
        with _standard_files.replaced(files):
            try:
                try:
                    console.interact(banner=self.banner, exitmsg="")
                except SystemExit:
                    pass  # leaves the console, not the program
            except OSError:
                pass  # the other side has gone
            finally:
                files.close()

    def do_close(self, sock: socket, *args: Any) -> None:
        super().do_close(sock, *args)


class _Connection:
    """A connection as the standard files of a console."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, conn):
        self._conn = conn
        self._reader = conn.makefile("r", encoding="utf-8", errors="replace", newline=None)

    def readline(self, *args):
        return self._reader.readline(*args)

    def read(self, *args):
        return self._reader.read(*args)

    def __iter__(self):
        return iter(self._reader)

    def write(self, text):
        self._conn.sendall(text.encode("utf-8", "replace"))
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        pass

    def isatty(self):
        return False

    def fileno(self):
        return self._conn.fileno()

    def close(self):
        self._reader.close()


class _Routed:
    """Stands in for a standard file: a console's greenlet gets its connection, all others the original."""

    def __init__(self, original, connections):
        self._original = original
        self._connections = connections

    def __getattr__(self, name):
        return getattr(self._connections.get(getcurrent(), self._original), name)

    def __iter__(self):
        return iter(self._connections.get(getcurrent(), self._original))


class _StandardFiles:
    """The replacement of `sys.stdin`, `stdout` and `stderr` while there are consoles."""

    NAMES = ("stdin", "stdout", "stderr")

    def __init__(self):
        self._connections = {}
        self._routed = {}

    def replaced(self, files):
        """A context in which the standard files of the current greenlet are *files*."""
        return _Replacement(self, files)

    def add(self, greenlet, files):
        if not self._connections:
            for name in self.NAMES:
                routed = self._routed[name] = _Routed(getattr(sys, name), self._connections)
                setattr(sys, name, routed)
        self._connections[greenlet] = files

    def remove(self, greenlet):
        self._connections.pop(greenlet, None)
        if not self._connections:
            for name, routed in self._routed.items():
                # Unless somebody has put something else there meanwhile.
                if getattr(sys, name) is routed:
                    setattr(sys, name, routed._original)
            self._routed = {}


class _Replacement:
    def __init__(self, standard_files, files):
        self._standard_files = standard_files
        self._files = files

    def __enter__(self):
        self._greenlet = getcurrent()
        self._standard_files.add(self._greenlet, self._files)

    def __exit__(self, *args):
        self._standard_files.remove(self._greenlet)


_standard_files = _StandardFiles()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} PORT [banner]")
    BackdoorServer(("127.0.0.1", int(sys.argv[1])), banner=sys.argv[2] if len(sys.argv) > 2 else None).serve_forever()
