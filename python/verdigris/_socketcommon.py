"""What the socket module and its Rust half share: waiting, resolving, the errors of both.

The Rust class reaches up to a few names here (`_NativeSocket`, `_resolve_addr`, `_peer_address`);
the rest are functions that `verdigris.socket` shows as its own.
"""

import _socket
import errno
import os
import socket as __socket__
from _socket import AF_INET, AF_INET6
from socket import error, gaierror, herror, timeout

from .exceptions import ConcurrentObjectUseError
from .hub import get_hub
from .timeout import Timeout

is_windows = os.name == "nt"
is_macos = os.uname().sysname == "Darwin" if hasattr(os, "uname") else False

timeout_default = object()

_READ = 1
_WRITE = 2
_ABSENT = object()


class cancel_wait_ex(error):
    """Raised in a greenlet whose wait was cancelled because the socket is being closed."""

    def __init__(self):
        super().__init__(errno.EBADF, "File descriptor was closed in another greenlet")

    def __reduce__(self):
        return type(self), ()


class _NativeSocket(_socket.socket):
    """The standard socket, weakly referenceable, and copied by nobody."""

    __slots__ = ("__weakref__",)


def cancel_wait(watcher, error=cancel_wait_ex):
    """Raise *error* in the greenlet that waits for *watcher*, if one does."""
    get_hub().cancel_wait(watcher, error)


def wait(watcher, timeout=None, timeout_exc=_ABSENT, hub=None):
    """Block the current greenlet until *watcher* is ready.

    After *timeout* seconds (None: never) *timeout_exc* is raised, by default ``timeout('timed out')``.
    """
    callback = watcher.callback
    if callback is not None:
        raise _already_used(callback)
    if hub is None:
        hub = get_hub()
    if timeout is None:
        hub.wait(watcher)
        return
    with Timeout(timeout, _timed_out() if timeout_exc is _ABSENT else timeout_exc):
        hub.wait(watcher)


def wait_read(fileno, timeout=None, timeout_exc=_ABSENT):
    """Block the current greenlet until *fileno* is ready to read; *timeout* as for `wait`."""
    _wait_for_events(fileno, _READ, timeout, timeout_exc)


def wait_write(fileno, timeout=None, timeout_exc=_ABSENT, event=_ABSENT):
    """Block the current greenlet until *fileno* is ready to write; *timeout* as for `wait`.

    *event* is accepted for old programs and ignored.
    """
    _wait_for_events(fileno, _WRITE, timeout, timeout_exc)


def wait_readwrite(fileno, timeout=None, timeout_exc=_ABSENT, event=_ABSENT):
    """Block the current greenlet until *fileno* is ready to read or to write."""
    _wait_for_events(fileno, _READ | _WRITE, timeout, timeout_exc)


def getaddrinfo(host, port, family=0, type=0, proto=0, flags=0):
    """As `socket.getaddrinfo`, by the hub's resolver: other greenlets run meanwhile."""
    found = get_hub().resolver.getaddrinfo(host, port, family, type, proto, flags)
    return [
        (_as_enum(family, __socket__.AddressFamily), _as_enum(kind, __socket__.SocketKind), protocol, name, address)
        for family, kind, protocol, name, address in found
    ]


def gethostbyname(hostname):
    """As `socket.gethostbyname`, by the hub's resolver."""
    return get_hub().resolver.gethostbyname(hostname)


def gethostbyname_ex(hostname):
    """As `socket.gethostbyname_ex`, by the hub's resolver."""
    return get_hub().resolver.gethostbyname_ex(hostname)


def gethostbyaddr(ip_address):
    """As `socket.gethostbyaddr`, by the hub's resolver."""
    return get_hub().resolver.gethostbyaddr(ip_address)


def getnameinfo(sockaddr, flags):
    """As `socket.getnameinfo`, by the hub's resolver."""
    return get_hub().resolver.getnameinfo(sockaddr, flags)


def getfqdn(name=""):
    """The fully qualified name of *name*, or of this host if it is empty."""
    name = name.strip()
    if not name or name in ("0.0.0.0", "::"):
        name = __socket__.gethostname()
    try:
        hostname, aliases, _ = gethostbyaddr(name)
    except OSError:
        return name
    return next((candidate for candidate in (hostname, *aliases) if "." in candidate), hostname)


def _timed_out():
    return TimeoutError("timed out")


def _already_used(callback):
    return ConcurrentObjectUseError(f"This socket is already used by another greenlet: {callback!r}")


def _wait_for_events(fileno, events, timeout, timeout_exc):
    hub = get_hub()
    watcher = hub.loop.io(fileno, events)
    try:
        wait(watcher, timeout, timeout_exc, hub)
    finally:
        watcher.close()


def _as_enum(value, enumeration):
    try:
        return enumeration(value)
    except ValueError:
        return value


def _resolve_addr(sock, address):
    """*address* with its host name resolved, if it is one of a family that has host names."""
    family = getattr(sock, "_family", None)
    if family is None:
        family = sock.family
    if family not in (AF_INET, AF_INET6) or not isinstance(address, tuple):
        return address
    host, port = address[:2]
    if family == AF_INET6 and len(address) == 4 and _is_numeric(AF_INET6, host):
        return address
    if not isinstance(host, (str, bytes, bytearray)) or not isinstance(port, int) or not 0 <= port <= 65535:
        return address  # let the standard socket say what is wrong with it
    if host in ("", b"", "<broadcast>") or _is_numeric(family, host):
        return address
    kind = getattr(sock, "_type", 0) & ~(__socket__.SOCK_NONBLOCK | __socket__.SOCK_CLOEXEC)
    found = getaddrinfo(host, port, family, kind, sock.proto)
    resolved = found[0][4]
    if family == AF_INET6:
        # What the caller gave beyond host and port is the caller's wish.
        resolved = resolved[:2] + tuple(address[2:]) + resolved[len(address) :]
    return resolved


def _is_numeric(family, host):
    try:
        __socket__.inet_pton(family, host)
    except (OSError, TypeError, ValueError):
        return False
    return True


def _peer_address(fileno, family):
    """The address of the other end of a connection of a family that Rust leaves alone."""
    probe = _socket.socket(family, fileno=os.dup(fileno))
    try:
        return probe.getpeername()
    except OSError:
        return None
    finally:
        probe.close()
