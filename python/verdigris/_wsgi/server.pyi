"""The types of `server.py`."""

from collections.abc import Mapping
from typing import Any

from _typeshed.wsgi import WSGIApplication

from verdigris._wsgi.environ import SecureEnviron
from verdigris._wsgi.handler import WSGIHandler
from verdigris.baseserver import _Spawn
from verdigris.server import StreamServer
from verdigris.socket import socket as _Socket

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
        spawn: _Spawn = "default",
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
