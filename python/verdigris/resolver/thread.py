"""The resolver that runs the system's in the hub's thread pool. The default."""

from __future__ import annotations

import _socket

from ..hub import get_hub
from ._addresses import is_ipv4_addr, is_ipv6_addr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..hub import Hub
    from ..threadpool import ThreadPool

__all__ = ["Resolver"]

# Python would import the codec at the first name that is not ASCII: better here than in a thread.
"ä".encode("idna")


class Resolver:
    """Name lookups by the system, in the thread pool of *hub*: other greenlets run meanwhile."""

    def __init__(self, hub: Hub | None = None) -> None:
        self._hub = hub if hub is not None else get_hub()

    @property
    def pool(self) -> ThreadPool:
        """The hub's thread pool, which is made when the first name is looked up."""
        return self._hub.threadpool

    def __repr__(self):
        return f"<{type(self).__module__}.{type(self).__name__} at {id(self):#x} pool={self._hub._threadpool!r}>"

    def close(self) -> None:
        """Nothing to let go of: the pool is the hub's."""

    def gethostbyname(self, *args: Any) -> Any:
        """As `socket.gethostbyname`."""
        return self._look_up(_socket.gethostbyname, args)

    def gethostbyname_ex(self, *args: Any) -> Any:
        """As `socket.gethostbyname_ex`."""
        return self._look_up(_socket.gethostbyname_ex, args)

    def getaddrinfo(self, *args: Any, **kwargs: Any) -> Any:
        """As `socket.getaddrinfo`."""
        if not kwargs and len(args) >= 2 and isinstance(args[1], (int, type(None))) and _is_address(args[0]):
            # Nobody has to be asked what a number means.
            return _socket.getaddrinfo(*args)
        return self._look_up(_socket.getaddrinfo, args, kwargs)

    def gethostbyaddr(self, *args: Any, **kwargs: Any) -> Any:
        """As `socket.gethostbyaddr`."""
        return self._look_up(_socket.gethostbyaddr, args, kwargs)

    def getnameinfo(self, *args: Any, **kwargs: Any) -> Any:
        """As `socket.getnameinfo`."""
        return self._look_up(_socket.getnameinfo, args, kwargs)

    def _look_up(self, function, args, kwargs=None):
        result, error = self.pool.apply(_result_or_error, (function, args, kwargs or {}))
        if error is not None:
            try:
                raise error
            finally:
                del error  # breaks the cycle through the traceback
        return result


def _is_address(host):
    return isinstance(host, str) and (is_ipv4_addr(host) or ("%" not in host and is_ipv6_addr(host)))


def _result_or_error(function, args, kwargs):
    # A name that does not exist is the caller's affair, not an error in the thread pool.
    try:
        return function(*args, **kwargs), None
    except Exception as error:
        return None, error.with_traceback(None)
