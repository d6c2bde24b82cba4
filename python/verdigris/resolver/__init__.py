"""Resolvers: how names become addresses. `config.resolver` names the one that a hub makes.

A resolver has the five functions of `socket` that may ask the network, as methods, and `close()`.
"""

from __future__ import annotations

import _socket

from verdigris._incidental import incidental_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ()
__getattr__ = incidental_names(__name__)


class AbstractResolver:
    """A base for resolvers: the interface, answered by the standard library without cooperation."""

    HOSTNAME_ENCODING = "idna"
    EAI_NONAME_MSG = "Name or service not known"
    EAI_FAMILY_MSG = "ai_family not supported"

    @staticmethod
    def fixup_gaierror(func: Any) -> Any:
        """A decorator of gevent's that makes errors those of the standard library; here they are."""
        return func

    def close(self) -> None:
        """Let go of what the resolver holds. It may be used again."""

    def gethostbyname(self, hostname: str, family: int = _socket.AF_INET) -> str:
        """As `socket.gethostbyname`, of any family."""
        if family == _socket.AF_INET:
            return _socket.gethostbyname(hostname)
        return self.gethostbyname_ex(hostname, family)[2][0]

    def gethostbyname_ex(self, hostname: str, family: int = _socket.AF_INET) -> tuple[str, list[str], list[str]]:
        """As `socket.gethostbyname_ex`, of any family."""
        if family == _socket.AF_INET:
            return _socket.gethostbyname_ex(hostname)
        found = self.getaddrinfo(hostname, None, family, _socket.SOCK_STREAM)
        return hostname, [], [entry[4][0] for entry in found]

    def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        family: int = 0,
        socktype: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """As `socket.getaddrinfo`."""
        return _socket.getaddrinfo(host, port, family, socktype, proto, flags)

    def gethostbyaddr(self, ip_address: str) -> tuple[str, list[str], list[str]]:
        """As `socket.gethostbyaddr`."""
        return _socket.gethostbyaddr(ip_address)

    def getnameinfo(self, sockaddr: tuple[Any, ...], flags: int) -> tuple[str, str]:
        """As `socket.getnameinfo`."""
        return _socket.getnameinfo(sockaddr, flags)
