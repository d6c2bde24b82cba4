"""The types of `pywsgi.py`, and of its parts, which users know by this name."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from http.client import HTTPMessage
from logging import Logger
from types import TracebackType
from typing import Any, Literal

from _typeshed.wsgi import WSGIApplication

from verdigris._core import GreenletExit as GreenletExit
from verdigris.server import StreamServer as StreamServer
from verdigris.socket import socket as _Socket

__all__ = ["WSGIServer", "WSGIHandler", "LoggingLogAdapter", "Environ", "SecureEnviron", "WSGISecureEnviron"]

MAX_REQUEST_LINE: int

def format_date_time(timestamp: float) -> str: ...

class WSGIServer(StreamServer):
    handler_class: type[WSGIHandler]
    environ_class: type[dict[str, Any]]
    secure_environ_class: type[SecureEnviron]
    # Whatever has `write`.
    log: Any
    error_log: Any
    application: WSGIApplication | None
    base_env: dict[str, Any]
    environ: dict[str, Any]
    def __init__(
        self,
        listener: Any,
        application: WSGIApplication | None = None,
        backlog: int | None = None,
        spawn: Any = "default",
        log: Any = "default",
        error_log: Any = "default",
        handler_class: type[WSGIHandler] | None = None,
        environ: Mapping[str, Any] | None = None,
        **ssl_args: Any,
    ) -> None: ...
    def set_environ(self, environ: Mapping[str, Any] | None = None) -> None: ...
    def set_max_accept(self) -> None: ...
    def get_environ(self) -> dict[str, Any]: ...
    def update_environ(self) -> None: ...
    def handle(self, sock: _Socket, address: Any) -> None: ...

class WSGIHandler:
    protocol_version: str
    ApplicationError: type[Exception]
    ignored_socket_errors: tuple[int, ...]
    close_connection: bool
    connection_upgraded: bool
    requestline: str | None
    command: str | None
    path: str | None
    request_version: str | None
    headers: OldMessage
    content_length: int | None
    environ: dict[str, Any] | None
    application: WSGIApplication | None
    wsgi_input: Input | None
    time_start: float
    time_finish: float
    status: bytes | None
    code: int | None
    response_headers: list[tuple[bytes, bytes]] | None
    provided_content_length: int | None
    provided_date: str | None
    headers_sent: bool
    response_use_chunked: bool
    response_length: int
    result: Iterable[bytes] | None
    socket: _Socket
    client_address: Any
    server: WSGIServer
    rfile: Any
    def __init__(self, sock: _Socket, address: Any, server: WSGIServer, rfile: Any = None) -> None: ...
    def handle(self) -> None: ...
    def handle_one_request(self) -> tuple[str, bytes] | Literal[True] | None: ...
    def read_requestline(self) -> bytes | str: ...
    def read_request(self, raw_requestline: str) -> bool: ...
    def MessageClass(self, *args: Any) -> OldMessage: ...
    def get_environ(self) -> dict[str, Any]: ...
    def start_response(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: tuple[type[BaseException], BaseException, TracebackType] | None = None,
    ) -> Callable[[bytes], None]: ...
    def write(self, data: bytes) -> None: ...
    def finalize_headers(self, length: int = 0) -> None: ...
    def log_error(self, msg: str, *args: Any) -> None: ...
    def log_request(self) -> None: ...
    def format_request(self) -> str: ...
    def run_application(self) -> None: ...
    def process_result(self) -> None: ...
    def handle_one_response(self) -> None: ...
    def handle_error(self, t: type[BaseException], v: BaseException, tb: TracebackType | None) -> None: ...

class Input:
    rfile: Any
    socket: Any
    content_length: int | None
    position: int
    chunked_input: bool
    chunk_length: int
    send_100_continue_enabled: bool
    def __init__(
        self, rfile: Any, content_length: int | None, socket: Any = None, chunked_input: bool = False
    ) -> None: ...
    def read(self, length: int | None = None) -> bytes: ...
    def readline(self, size: int | None = None) -> bytes: ...
    def readlines(self, hint: int | None = None) -> list[bytes]: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def __next__(self) -> bytes: ...
    next = __next__

class OldMessage(HTTPMessage):
    status: str
    def __init__(self, **kwargs: Any) -> None: ...
    def getheader(self, name: str, default: str | None = None) -> str | None: ...
    @property
    def headers(self) -> Iterator[str]: ...
    @property
    def typeheader(self) -> str | None: ...

def headers_factory(fp: Any, *args: Any) -> OldMessage: ...

class Environ(dict[str, Any]):
    def iteritems(self) -> Iterator[tuple[str, Any]]: ...

class SecureEnviron(Environ):
    default_secure_repr: bool
    default_whitelist_keys: tuple[str, ...]
    default_print_masked_keys: bool
    secure_repr: bool
    whitelist_keys: tuple[str, ...]
    print_masked_keys: bool

class WSGISecureEnviron(SecureEnviron): ...

class LoggingLogAdapter:
    def __init__(self, logger: Logger, level: int = 20) -> None: ...
    def write(self, msg: str) -> None: ...
    def flush(self) -> None: ...
    def writelines(self, lines: Iterable[str]) -> None: ...
    def __getattr__(self, name: str) -> Any: ...
    def __setattr__(self, name: str, value: Any) -> None: ...
    def __delattr__(self, name: str) -> None: ...
