"""TCP, TLS and UDP servers."""

from __future__ import annotations

import os

from verdigris._incidental import incidental_names

from . import _core
from .baseserver import BaseServer, parse_address
from .lock import Semaphore
from .socket import AF_INET, MSG_DONTWAIT, SO_BROADCAST, SO_REUSEADDR, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET
from .socket import socket as GeventSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["StreamServer", "DatagramServer"]
__getattr__ = incidental_names(__name__)

DEFAULT_REUSE_ADDR = 1


class StreamServer(BaseServer):
    """A TCP server: *handle* is called with a connected socket and the address of its other end.

    Keyword arguments beyond those of `BaseServer` make it a TLS server; they are those of
    `ssl.wrap_socket` (``keyfile``, ``certfile``, ...), or an ``ssl_context`` and those of its
    `wrap_socket`. The handshake happens in the greenlet of the handler.
    """

    #: The length of the queue of connections not yet accepted, of a listener made here.
    backlog: int = 128

    #: The SO_REUSEADDR of a listener made here.
    reuse_addr = DEFAULT_REUSE_ADDR

    def __init__(
        self,
        listener: Any,
        handle: Callable[[Any, Any], object] | None = None,
        backlog: int | None = None,
        spawn: Any = "default",
        **ssl_args: Any,
    ) -> None:
        self.ssl_args: dict[str, Any] | None = None
        if ssl_args:
            ssl_args.setdefault("server_side", True)
            if "ssl_context" in ssl_args:
                self.wrap_socket = ssl_args.pop("ssl_context").wrap_socket
            else:
                from .ssl import wrap_socket

                self.wrap_socket = wrap_socket
            self.ssl_args = ssl_args
        if backlog is not None:
            if hasattr(listener, "accept"):
                raise TypeError("backlog must be None when a socket instance is passed")
            self.backlog = backlog
        super().__init__(listener, handle=handle, spawn=spawn)

    @property
    def ssl_enabled(self) -> bool:
        """Whether connections are TLS."""
        return self.ssl_args is not None

    def set_handle(self, handle: Callable[..., object] | None) -> None:
        super().set_handle(handle)
        if self.ssl_enabled:
            self._handle = self.wrap_socket_and_handle

    def init_socket(self) -> None:
        if not hasattr(self, "socket"):
            self.socket = self.get_listener(self.address, self.backlog, self.family)
            self.address = self.socket.getsockname()
        if self.ssl_args:
            self._handle = self.wrap_socket_and_handle
        elif hasattr(self, "handle"):
            self._handle = self.handle

    def start_accepting(self) -> None:
        if not isinstance(self.socket, _core.Socket):
            os.set_blocking(self.socket.fileno(), False)
        super().start_accepting()

    @classmethod
    def get_listener(cls, address: Any, backlog: int | None = None, family: int | None = None) -> GeventSocket:
        """A socket that listens on *address*."""
        return _tcp_listener(address, cls.backlog if backlog is None else backlog, cls.reuse_addr, family)

    def do_read(self) -> tuple[GeventSocket, Any] | None:
        """Accept a connection: its socket and address, or None."""
        listener = self.socket
        if isinstance(listener, _core.Socket):
            return listener._accept_nowait()
        # A standard socket, whose descriptor `start_accepting` has made non-blocking.
        try:
            descriptor, address = listener._accept()  # type: ignore[attr-defined]
        except BlockingIOError:
            return None
        return GeventSocket(listener.family, listener.type, listener.proto, fileno=descriptor), address

    def do_close(self, sock: GeventSocket, *args: Any) -> None:
        sock.close()

    def wrap_socket_and_handle(self, client_socket: GeventSocket, address: Any) -> Any:
        """Make the connection TLS, handle it and close it."""
        with self.wrap_socket(client_socket, **(self.ssl_args or {})) as tls_socket:
            return self.handle(tls_socket, address)


class DatagramServer(BaseServer):
    """A UDP server: *handle* is called with a message and the address it came from."""

    #: The SO_REUSEADDR of a socket made here.
    reuse_addr = DEFAULT_REUSE_ADDR

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Answers of several handlers take turns.
        self._writelock = Semaphore()
        super().__init__(*args, **kwargs)

    def init_socket(self) -> None:
        if not hasattr(self, "socket"):
            self.socket = self.get_listener(self.address, self.family)
            self.address = self.socket.getsockname()
        self._socket = self.socket

    @classmethod
    def get_listener(cls, address: Any, family: int | None = None) -> GeventSocket:
        """A socket bound to *address*."""
        return _udp_socket(address, reuse_addr=cls.reuse_addr, family=family)

    def do_read(self) -> tuple[bytes, Any] | None:
        """Receive a message: it and its sender, or None."""
        sock = self.socket
        if isinstance(sock, _core.Socket):
            return sock._recvfrom_nowait(65536)
        try:
            return sock.recvfrom(65536, MSG_DONTWAIT)
        except BlockingIOError:
            return None

    def sendto(self, *args: Any) -> None:
        """As `socket.sendto`, on the server's socket."""
        with self._writelock:
            self.socket.sendto(*args)

    def close(self) -> None:
        self.__dict__.pop("_socket", None)
        super().close()


def _tcp_listener(address, backlog=50, reuse_addr=None, family=AF_INET):
    """A socket that listens on *address*; an error of binding names the address."""
    sock = GeventSocket(AF_INET if family is None else family, SOCK_STREAM)
    if reuse_addr is not None:
        sock.setsockopt(SOL_SOCKET, SO_REUSEADDR, reuse_addr)
    _bind(sock, address)
    sock.listen(backlog)
    return sock


def _udp_socket(address, backlog=50, reuse_addr=None, family=AF_INET):
    """A socket bound to *address*, which may send to broadcast addresses."""
    sock = GeventSocket(AF_INET if family is None else family, SOCK_DGRAM)
    if reuse_addr is not None:
        sock.setsockopt(SOL_SOCKET, SO_REUSEADDR, reuse_addr)
    sock.setsockopt(SOL_SOCKET, SO_BROADCAST, 1)
    _bind(sock, address)
    return sock


def _bind(sock, address):
    try:
        sock.bind(address)
    except OSError as problem:
        sock.close()
        problem.strerror = f"{problem.strerror}: {address!r}"
        raise


_parse_address = parse_address
