"""The types of `handler.py`."""

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Literal

from _typeshed.wsgi import WSGIApplication

from verdigris._wsgi.body import Input
from verdigris._wsgi.request import OldMessage
from verdigris._wsgi.server import WSGIServer
from verdigris.socket import socket as _Socket

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
