"""The types of `__init__.py`."""

from collections.abc import Callable
from typing import Any, TypeVar

__all__: tuple[()]

_Function = TypeVar("_Function", bound=Callable[..., Any])

# The functions are those of `_socket`: addresses and families are numbers and tuples there.
class AbstractResolver:
    HOSTNAME_ENCODING: str
    EAI_NONAME_MSG: str
    EAI_FAMILY_MSG: str
    @staticmethod
    def fixup_gaierror(func: _Function) -> _Function: ...
    def close(self) -> None: ...
    def gethostbyname(self, hostname: str, family: int = ...) -> str: ...
    def gethostbyname_ex(self, hostname: str, family: int = ...) -> tuple[str, list[str], list[str]]: ...
    def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        family: int = 0,
        socktype: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]]: ...
    def gethostbyaddr(self, ip_address: str) -> tuple[str, list[str], list[str]]: ...
    def getnameinfo(self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int) -> tuple[str, str]: ...
