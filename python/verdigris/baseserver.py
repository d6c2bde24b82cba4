"""What servers have in common: accepting in the loop, handling in greenlets, pausing, stopping."""

from __future__ import annotations

import errno
import sys

from verdigris._incidental import incidental_names

from .event import Event
from .greenlet import Greenlet
from .hub import get_hub, spawn_raw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket as StandardSocket
    from typing import Any, Self

    from .socket import socket as Socket

__all__ = ["BaseServer"]
__getattr__ = incidental_names(__name__)

# Running out of these says nothing about the listener; it gets better when connections close.
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def _handle_and_close_when_done(handle, close, arguments):
    try:
        return handle(*arguments)
    finally:
        close(*arguments)


class BaseServer:
    """A server that accepts something from *listener* and passes it to *handle*.

    *listener* is a socket, or an address to bind to when the server starts. *spawn* says how *handle* runs:

    - ``'default'``: in a new `Greenlet` each time;
    - ``'raw'``: in a new raw greenlet each time, a little cheaper;
    - a pool, or an int (a pool of that size): no more than that many at once, accepting pauses meanwhile;
    - any other callable, which is called with the function to run and its arguments;
    - None: right in the loop, where nothing may block.

    Subclasses say what accepting is (`do_read`) and how to let go of it (`do_close`).
    """

    #: Seconds that accepting pauses after an error: doubled from the first to the second while errors go on.
    min_delay: float = 0.01
    max_delay: float = 1

    #: How many are accepted in one go, before the loop looks after others.
    max_accept: int = 100

    #: Seconds that `stop` waits for handlers, unless told otherwise.
    stop_timeout: float = 1

    #: Errors of accepting that mean that the listener is no longer one.
    fatal_errors = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK)

    _spawn: Any = Greenlet.spawn

    #: The listener, while there is one.
    socket: Socket | StandardSocket
    address: Any
    family: int

    def __init__(self, listener: Any, handle: Callable[..., object] | None = None, spawn: Any = "default") -> None:
        self._stop_event = Event()
        self._stop_event.set()
        self._watcher: Any = None
        self._timer: Any = None
        self._handle: Any = None
        self._exhausted = False
        self.pool: Any = None
        try:
            self.set_listener(listener)
            self.set_spawn(spawn)
            self.set_handle(handle)
            self.delay = self.min_delay
            self.loop = get_hub().loop
            if self.max_accept < 1:
                raise ValueError(f"max_accept must be positive int: {self.max_accept!r}")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.stop()

    def set_listener(self, listener: Any) -> None:
        """Take a socket to accept from, or an address for one to be made."""
        if hasattr(listener, "accept"):
            if hasattr(listener, "do_handshake"):
                raise TypeError(f"Expected a regular socket, not SSLSocket: {listener!r}")
            self.family = listener.family
            self.address = listener.getsockname()
            self.socket = listener
        else:
            self.family, self.address = parse_address(listener)

    def set_spawn(self, spawn: Any) -> None:
        """Say how handlers run; see the class."""
        if spawn == "default":
            self.pool = None
            self._spawn = self._spawn
        elif spawn == "raw":
            self.pool = None
            self._spawn = spawn_raw
        elif hasattr(spawn, "spawn"):
            self.pool = spawn
            self._spawn = spawn.spawn
        elif isinstance(spawn, int):
            from .pool import Pool

            self.pool = Pool(spawn)
            self._spawn = self.pool.spawn
        else:
            self.pool = None
            self._spawn = spawn
        if hasattr(self.pool, "full"):
            self.full = self.pool.full  # type: ignore[method-assign]

    def set_handle(self, handle: Callable[..., object] | None) -> None:
        """Say what handles connections; None keeps the method `handle` of the class."""
        if handle is not None:
            self.handle = handle
        if not hasattr(self, "handle"):
            raise TypeError("'handle' must be provided")
        self._handle = self.handle

    def _start_accepting_if_started(self, _event=None):
        if self.started:
            self.start_accepting()

    def start_accepting(self) -> None:
        """Begin or resume accepting."""
        if self._watcher is None:
            self._watcher = self.loop.io(self.socket.fileno(), 1)
            self._watcher.start(self._do_read)

    def stop_accepting(self) -> None:
        """Pause accepting; what waits in the listener goes on waiting."""
        for name in ("_watcher", "_timer"):
            watcher = getattr(self, name)
            if watcher is not None:
                setattr(self, name, None)
                watcher.stop()
                watcher.close()

    def do_handle(self, *args: Any) -> None:
        """Have what `do_read` returned handled, and closed afterwards."""
        spawn = self._spawn
        try:
            if spawn is None:
                _handle_and_close_when_done(self._handle, self.do_close, args)
            else:
                spawn(_handle_and_close_when_done, self._handle, self.do_close, args)
        except BaseException:
            self.do_close(*args)
            raise

    def do_close(self, *args: Any) -> None:
        """Let go of what `do_read` returned."""

    def do_read(self) -> tuple[Any, ...] | None:
        """Accept something: the arguments for the handler, or None if there is nothing after all."""
        raise NotImplementedError

    def _do_read(self):
        """The listener is ready (called by the loop)."""
        full, do_read, do_handle = self.full, self.do_read, self.do_handle
        for _ in range(self.max_accept):
            if full():
                self._wait_for_pool()
                return
            try:
                accepted = do_read()
            except BaseException as problem:
                self._accepting_failed(problem)
                return
            if self.delay != self.min_delay or self._exhausted:
                self.delay = self.min_delay
                self._exhausted = False
            if not accepted:
                return
            try:
                do_handle(*accepted)
            except BaseException:
                self.loop.handle_error((accepted[1:], self), *sys.exc_info())
                self._pause()
                return

    def _wait_for_pool(self):
        """Accept no more until a handler ends."""
        semaphore = getattr(self.pool, "_semaphore", None)
        if semaphore is None:
            # A pool of another kind, which has to be asked again.
            self._pause()
            return
        self.stop_accepting()
        semaphore.rawlink(self._start_accepting_if_started)

    def _accepting_failed(self, problem):
        exhausted = isinstance(problem, OSError) and problem.errno in _EXHAUSTED
        # One report of being out of descriptors is enough, until one was to be had again.
        if not (exhausted and self._exhausted):
            self.loop.handle_error(self, type(problem), problem, problem.__traceback__)
        self._exhausted = exhausted
        if self.is_fatal_error(problem):
            self.close()
            sys.stderr.write(f"ERROR: {self} failed with {problem!s}\n")
            return
        self._pause()

    def _pause(self):
        if self.delay >= 0:
            self.stop_accepting()
            self._timer = self.loop.timer(self.delay)
            self._timer.start(self._start_accepting_if_started)
            self.delay = min(self.max_delay, self.delay * 2)

    def full(self) -> bool:
        """Whether no more may be handled now. Replaced by the method of the pool, if there is one."""
        return False

    def __repr__(self):
        return f"<{type(self).__name__} at {id(self):#x} {self._format_details()}>"

    def __str__(self):
        return f"<{type(self).__name__} {self._format_details()}>"

    def _format_details(self):
        result = []
        if hasattr(self, "socket"):
            try:
                result.append(f"fileno={self.socket.fileno()}")
            except Exception as problem:
                result.append(f"fileno={problem}")
        try:
            if isinstance(self.address, tuple) and len(self.address) == 2:
                address = "{}:{}".format(*self.address)
            else:
                address = str(self.address)
            result.append(f"address={address}")
        except Exception as problem:
            result.append(str(problem) or "<error>")
        handle = self.__dict__.get("handle")
        if handle is not None:
            if getattr(handle, "__self__", None) is self:
                result.append(f"handle=<bound method {handle.__func__.__qualname__} of self>")
            else:
                result.append(f"handle={handle}")
        return " ".join(result)

    @property
    def server_host(self) -> str | None:
        """The host of the address, None if it has none."""
        return self.address[0] if isinstance(self.address, tuple) else None

    @property
    def server_port(self) -> int | None:
        """The port of the address, None if it has none."""
        return self.address[1] if isinstance(self.address, tuple) else None

    def init_socket(self) -> None:
        """Make the listening socket, if an address was given."""

    @property
    def started(self) -> bool:
        """Whether the server has been started and not stopped."""
        return not self._stop_event.is_set()

    @property
    def closed(self) -> bool:
        """The opposite of `started`."""
        return not self.started

    def start(self) -> None:
        """Start accepting; returns at once."""
        self.init_socket()
        self._stop_event.clear()
        try:
            self.start_accepting()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the listener and accept no more; handlers go on."""
        self._stop_event.set()
        try:
            self.stop_accepting()
        finally:
            listener = self.__dict__.pop("socket", None)
            try:
                if listener is not None:
                    listener.close()
            finally:
                self.__dict__.pop("handle", None)
                self.__dict__.pop("_handle", None)
                self.__dict__.pop("_spawn", None)
                self.__dict__.pop("full", None)
                if hasattr(self.pool, "_semaphore"):
                    self.pool._semaphore.unlink(self._start_accepting_if_started)

    def stop(self, timeout: float | None = None) -> None:
        """Close the listener, wait for handlers in a pool, and kill those that have not ended after *timeout* seconds."""
        self.close()
        if timeout is None:
            timeout = self.stop_timeout
        if self.pool is not None:
            self.pool.join(timeout=timeout)
            self.pool.kill(block=True, timeout=1)

    def serve_forever(self, stop_timeout: float | None = None) -> None:
        """Start if need be, and return once the server is stopped."""
        if not self.started:
            self.start()
        try:
            self._stop_event.wait()
        finally:
            # In a greenlet of its own: this one may be dying of a second KeyboardInterrupt.
            Greenlet.spawn(self.stop, timeout=stop_timeout).join()

    def is_fatal_error(self, ex: BaseException) -> bool:
        """Whether accepting cannot go on after *ex*."""
        return isinstance(ex, OSError) and ex.errno in self.fatal_errors


def _family_of(host):
    from socket import AF_INET, AF_INET6

    return AF_INET6 if ":" in host else AF_INET


def parse_address(address: Any) -> tuple[int, Any]:
    """``(family, (host, port))`` of a tuple, of ``'host:port'``, of ``':port'``, or of a port."""
    if isinstance(address, tuple):
        if address[0] is None:
            return _family_of(""), ("", *address[1:])
        return _family_of(address[0]), address
    if (isinstance(address, str) and ":" not in address) or isinstance(address, int):
        text = f":{address}"
    elif isinstance(address, str):
        text = address
    else:
        raise TypeError(f"Expected tuple or string, got {type(address)}")
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    try:
        return _family_of(host), ("" if host == "*" else host, int(port))
    except ValueError as problem:
        raise ValueError(f"Failed to parse address {address!r}: {problem}") from None
