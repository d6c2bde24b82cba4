"""The types of `backdoor.py`."""

from typing import Any

from verdigris.server import StreamServer
from verdigris.socket import socket

__all__ = ["BackdoorServer"]

class BackdoorServer(StreamServer):
    locals: dict[str, Any]
    banner: str | None
    stderr: Any
    def __init__(
        self, listener: Any, locals: dict[str, Any] | None = None, banner: str | None = None, **server_args: Any
    ) -> None: ...
    def handle(self, conn: socket, _address: Any) -> None: ...
