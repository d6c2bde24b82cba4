"""The types of `server.py`."""

from collections.abc import Callable
from typing import Any

from _typeshed import ReadableBuffer

from verdigris.baseserver import BaseServer, _Spawn
from verdigris.socket import socket as GeventSocket
from verdigris.ssl import SSLSocket

__all__ = ["StreamServer", "DatagramServer"]

DEFAULT_REUSE_ADDR: int

class StreamServer(BaseServer):
    backlog: int
    reuse_addr: int | None
    ssl_args: dict[str, Any] | None
    wrap_socket: Callable[..., SSLSocket]
    def __init__(
        self,
        listener: Any,
        handle: Callable[[Any, Any], object] | None = None,
        backlog: int | None = None,
        spawn: _Spawn = "default",
        **ssl_args: Any,
    ) -> None: ...
    @property
    def ssl_enabled(self) -> bool: ...
    @classmethod
    def get_listener(cls, address: Any, backlog: int | None = None, family: int | None = None) -> GeventSocket: ...
    def do_read(self) -> tuple[GeventSocket, Any] | None: ...
    def do_close(self, sock: GeventSocket, *args: Any) -> None: ...
    def wrap_socket_and_handle(self, client_socket: GeventSocket, address: Any) -> Any: ...

class DatagramServer(BaseServer):
    reuse_addr: int | None
    def __init__(
        self, listener: Any, handle: Callable[[bytes, Any], object] | None = None, spawn: _Spawn = "default"
    ) -> None: ...
    @classmethod
    def get_listener(cls, address: Any, family: int | None = None) -> GeventSocket: ...
    def do_read(self) -> tuple[bytes, Any] | None: ...
    def sendto(self, *args: Any) -> None: ...
