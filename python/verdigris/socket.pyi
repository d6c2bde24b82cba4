"""The types of `socket.py`: those of the standard module, save for what is defined here."""

import socket as _standard
from _socket import _Address, _RetAddress
from collections.abc import Iterable
from io import BufferedReader, BufferedRWPair, BufferedWriter, IOBase, RawIOBase, TextIOWrapper
from socket import AddressFamily, SocketKind, close, timeout
from types import TracebackType
from typing import Any, Literal, NoReturn, Protocol, Self, SupportsIndex, overload, type_check_only

from _typeshed import ReadableBuffer

from verdigris._core import HubBase, Socket, watcher
from verdigris.hub import Hub

__implements__: list[str]
__extensions__: list[str]
__imports__: list[str]
__all__ = [
    "create_connection",
    "create_server",
    "socket",
    "SocketType",
    "fromfd",
    "socketpair",
    "getaddrinfo",
    "gethostbyname",
    "gethostbyname_ex",
    "gethostbyaddr",
    "getnameinfo",
    "getfqdn",
    "cancel_wait",
    "wait_read",
    "wait_write",
    "wait_readwrite",
    "SocketKind",
    "AddressFamily",
    "close",
    "timeout",
]
__all__ += _standard.__all__

@type_check_only
class _SendableFile(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def seek(self, offset: int, /) -> object: ...

class cancel_wait_ex(OSError):
    def __init__(self) -> None: ...

timeout_default: object

class socket(Socket):
    @property
    def family(self) -> AddressFamily: ...
    @property
    def type(self) -> SocketKind: ...
    @property
    def hub(self) -> Hub: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *args: object) -> None: ...
    def __getstate__(self) -> NoReturn: ...
    def __reduce__(self) -> NoReturn: ...
    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn: ...
    def get_inheritable(self) -> bool: ...
    def set_inheritable(self, inheritable: bool) -> None: ...
    def dup(self) -> Self: ...
    @overload
    def makefile(
        self,
        mode: Literal["b", "rb", "br", "wb", "bw", "rwb", "rbw", "wrb", "wbr", "brw", "bwr"],
        buffering: Literal[0],
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> _standard.SocketIO: ...
    @overload
    def makefile(
        self,
        mode: Literal["rwb", "rbw", "wrb", "wbr", "brw", "bwr"],
        buffering: Literal[-1, 1] | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> BufferedRWPair: ...
    @overload
    def makefile(
        self,
        mode: Literal["rb", "br"],
        buffering: Literal[-1, 1] | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> BufferedReader: ...
    @overload
    def makefile(
        self,
        mode: Literal["wb", "bw"],
        buffering: Literal[-1, 1] | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> BufferedWriter: ...
    @overload
    def makefile(
        self,
        mode: Literal["b", "rb", "br", "wb", "bw", "rwb", "rbw", "wrb", "wbr", "brw", "bwr"],
        buffering: int,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IOBase: ...
    @overload
    def makefile(
        self,
        mode: Literal["r", "w", "rw", "wr", ""] = "r",
        buffering: int | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> TextIOWrapper: ...
    def sendfile(self, file: _SendableFile, offset: int = 0, count: int | None = None) -> int: ...
    def sendmsg_afalg(self, *args: Any, **kwargs: Any) -> int: ...

SocketType = socket

def fromfd(fd: int, family: int, type: int, proto: int = 0) -> socket: ...
def socketpair(family: int | None = None, type: int = ..., proto: int = 0) -> tuple[socket, socket]: ...
def create_connection(
    address: tuple[str | None, bytes | str | int | None],
    timeout: float | None = ...,
    source_address: _Address | None = None,
    *,
    all_errors: bool = False,
) -> socket: ...
def create_server(
    address: _Address,
    *,
    family: int = ...,
    backlog: int | None = None,
    reuse_port: bool = False,
    dualstack_ipv6: bool = False,
) -> socket: ...
def getaddrinfo(
    host: bytes | str | None,
    port: bytes | str | int | None,
    family: int = 0,
    type: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> list[tuple[AddressFamily, SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int]]]: ...
def gethostbyname(hostname: str) -> str: ...
def gethostbyname_ex(hostname: str) -> tuple[str, list[str], list[str]]: ...
def gethostbyaddr(ip_address: str) -> tuple[str, list[str], list[str]]: ...
def getnameinfo(sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int) -> tuple[str, str]: ...
def getfqdn(name: str = "") -> str: ...
def wait(
    watcher: watcher,
    timeout: float | None = None,
    timeout_exc: BaseException | type[BaseException] = ...,
    hub: HubBase | None = None,
) -> None: ...
def wait_read(
    fileno: int, timeout: float | None = None, timeout_exc: BaseException | type[BaseException] = ...
) -> None: ...
def wait_write(
    fileno: int,
    timeout: float | None = None,
    timeout_exc: BaseException | type[BaseException] = ...,
    event: object = ...,
) -> None: ...
def wait_readwrite(
    fileno: int,
    timeout: float | None = None,
    timeout_exc: BaseException | type[BaseException] = ...,
    event: object = ...,
) -> None: ...
def cancel_wait(watcher: watcher, error: BaseException | type[BaseException] = ...) -> None: ...

# Last, so that it does not take the place of what is above.
from socket import *  # type: ignore[assignment]  # noqa: E402, F403
