"""The types of `blocking.py`."""

import _socket

from verdigris._core import HubBase

__all__ = ["Resolver"]

class Resolver:
    def __init__(self, hub: HubBase | None = None) -> None: ...
    def close(self) -> None: ...
    gethostbyname = staticmethod(_socket.gethostbyname)
    gethostbyname_ex = staticmethod(_socket.gethostbyname_ex)
    getaddrinfo = staticmethod(_socket.getaddrinfo)
    gethostbyaddr = staticmethod(_socket.gethostbyaddr)
    getnameinfo = staticmethod(_socket.getnameinfo)
