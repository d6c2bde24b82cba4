"""The resolver that blocks: the standard library's functions as they are, for debugging."""

import _socket

__all__ = ["Resolver"]


class Resolver:
    """Name lookups that block the whole thread."""

    def __init__(self, hub: object = None) -> None:
        pass

    def close(self) -> None:
        """Nothing to let go of."""

    for _name in ("gethostbyname", "gethostbyname_ex", "getaddrinfo", "gethostbyaddr", "getnameinfo"):
        locals()[_name] = staticmethod(getattr(_socket, _name))
    method = _name  # gevent's class has such a left-over
    del _name
