"""The types of `ssl.py`: those of the standard module, save for what is defined here."""

import ssl as _standard
import sys
from _socket import _Address
from collections.abc import Callable
from typing import Any, overload

from _typeshed import ReadableBuffer, WriteableBuffer

from verdigris.socket import socket

__implements__: list[str]
__extensions__: list[str]
__imports__: list[str]

orig_SSLContext = _standard.SSLContext

class _Wraps(type): ...

# The standard class on our sockets: made at import, function by function.
class SSLSocket(socket, metaclass=_Wraps):
    context: SSLContext
    server_side: bool
    server_hostname: str | None
    session: _standard.SSLSession | None
    @property
    def session_reused(self) -> bool | None: ...
    def __init__(
        self,
        sock: socket | None = None,
        keyfile: str | None = None,
        certfile: str | None = None,
        server_side: bool = False,
        cert_reqs: int = ...,
        ssl_version: int = ...,
        ca_certs: str | None = None,
        do_handshake_on_connect: bool = True,
        family: int = ...,
        type: int = ...,
        proto: int = 0,
        fileno: int | None = None,
        suppress_ragged_eofs: bool = True,
        npn_protocols: None = None,
        ciphers: str | None = None,
        server_hostname: str | None = None,
        _session: _standard.SSLSession | None = None,
        _context: SSLContext | None = None,
    ) -> None: ...
    def read(self, len: int = 1024, buffer: bytearray | None = None) -> Any: ...
    def write(self, data: ReadableBuffer) -> int: ...
    def do_handshake(self, block: bool = False) -> None: ...
    def getpeercert(self, binary_form: bool = False) -> Any: ...
    def cipher(self) -> tuple[str, str, int] | None: ...
    def shared_ciphers(self) -> list[tuple[str, str, int]] | None: ...
    def compression(self) -> str | None: ...
    def get_channel_binding(self, cb_type: str = "tls-unique") -> bytes | None: ...
    def selected_alpn_protocol(self) -> str | None: ...
    def selected_npn_protocol(self) -> str | None: ...
    def unwrap(self) -> socket: ...
    def version(self) -> str | None: ...
    def pending(self) -> int: ...
    def verify_client_post_handshake(self) -> None: ...
    if sys.version_info >= (3, 13):
        def get_verified_chain(self) -> list[bytes]: ...
        def get_unverified_chain(self) -> list[bytes]: ...

    def accept(self) -> tuple[SSLSocket, Any]: ...
    def connect(self, addr: _Address) -> None: ...  # type: ignore[override]
    def connect_ex(self, addr: _Address) -> int: ...  # type: ignore[override]
    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes: ...
    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int: ...
    def recvfrom(self, buflen: int = 1024, flags: int = 0) -> tuple[bytes, Any]: ...
    def recvfrom_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> tuple[int, Any]: ...
    @overload
    def sendto(self, data: ReadableBuffer, flags_or_addr: _Address, addr: None = None) -> int: ...
    @overload
    def sendto(self, data: ReadableBuffer, flags_or_addr: int, addr: _Address) -> int: ...

class SSLContext(_standard.SSLContext):
    sslsocket_class: type[SSLSocket]  # type: ignore[assignment]
    def wrap_socket(  # type: ignore[override]
        self,
        sock: socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,
        session: _standard.SSLSession | None = None,
    ) -> SSLSocket: ...

def wrap_socket(
    sock: socket,
    keyfile: str | None = None,
    certfile: str | None = None,
    server_side: bool = False,
    cert_reqs: int = ...,
    ssl_version: int = ...,
    ca_certs: str | None = None,
    do_handshake_on_connect: bool = True,
    suppress_ragged_eofs: bool = True,
    ciphers: str | None = None,
) -> SSLSocket: ...
def create_default_context(
    purpose: _standard.Purpose = ...,
    *,
    cafile: str | None = None,
    capath: str | None = None,
    cadata: str | ReadableBuffer | None = None,
) -> SSLContext: ...
def _create_unverified_context(
    protocol: int | None = None,
    *,
    cert_reqs: int = ...,
    check_hostname: bool = False,
    purpose: _standard.Purpose = ...,
    certfile: str | None = None,
    keyfile: str | None = None,
    cafile: str | None = None,
    capath: str | None = None,
    cadata: str | ReadableBuffer | None = None,
) -> SSLContext: ...

_create_default_https_context: Callable[..., SSLContext]
_create_stdlib_context: Callable[..., SSLContext]

def get_server_certificate(
    addr: tuple[str, int], ssl_version: int = ..., ca_certs: str | None = None, timeout: float = ...
) -> str: ...

# Last, so that it does not take the place of what is above.
from ssl import *  # type: ignore[assignment]  # noqa: E402, F403
