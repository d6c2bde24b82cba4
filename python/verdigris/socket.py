"""Cooperative sockets: the standard `socket` module whose calls let other greenlets run.

The class is written in Rust (`verdigris._core.Socket`), as everything that happens per call or per
byte; here are the names of the standard module, and methods that are rare or make Python objects.
"""

import _socket
import io
import os
import socket as __socket__
import sys
from _socket import dup as _duplicate
from errno import EAGAIN, EALREADY, EBADF, ECONNREFUSED, EHOSTUNREACH, EINPROGRESS, EINVAL, EISCONN, EWOULDBLOCK

from verdigris._incidental import incidental_names

from . import _core
from ._socketcommon import (
    _as_enum,
    cancel_wait,
    cancel_wait_ex,
    getaddrinfo,
    getfqdn,
    gethostbyaddr,
    gethostbyname,
    gethostbyname_ex,
    getnameinfo,
    timeout_default,
    wait,
    wait_read,
    wait_readwrite,
    wait_write,
)
from .hub import get_hub

__implements__ = [
    "create_connection",
    "create_server",
    "socket",
    "SocketType",
    "fromfd",
    "socketpair",
    "getaddrinfo",
    "gethostbyname",
    "gethostbyname_ex",
    "gethostbyaddr",
    "getnameinfo",
    "getfqdn",
]

__extensions__ = ["cancel_wait", "wait_read", "wait_write", "wait_readwrite"]

__imports__ = [
    name
    for name in dict.fromkeys([*__socket__.__all__, "SocketKind", "AddressFamily", "close", "timeout"])
    if name not in __implements__ and hasattr(__socket__, name)
]

globals().update((name, getattr(__socket__, name)) for name in __imports__)

__all__ = [*__implements__, *__extensions__, *__imports__]
__getattr__ = incidental_names(__name__)

_GLOBAL_DEFAULT_TIMEOUT = __socket__._GLOBAL_DEFAULT_TIMEOUT


class socket(_core.Socket):
    """A socket whose calls let other greenlets run while they wait.

    As the standard class, with these additions: `send` takes a `timeout`; `ref` says whether a
    greenlet that waits here keeps the loop running; closing it wakes who waits for it with
    `cancel_wait_ex`; and two greenlets that wait for the same end of it are told so by
    `ConcurrentObjectUseError`.
    """

    __slots__ = ()

    # No `__getattr__`: a class that has one makes every `sock.recv` several times slower to look up.
    if hasattr(_socket.socket, "sendmsg_afalg"):

        def sendmsg_afalg(self, *args, **kwargs):
            """As the standard method, for sockets of the kernel's cryptography."""
            return self._sock.sendmsg_afalg(*args, **kwargs)

    def __getstate__(self):
        raise TypeError(f"Cannot serialize {self.__class__.__name__} object")

    __reduce__ = __getstate__

    def __reduce_ex__(self, protocol):
        return self.__getstate__()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        if not self._closed:
            self.close()

    def __repr__(self):
        state = " [closed]" if self._closed else ""
        text = (
            f"<{self.__class__.__module__}.{self.__class__.__qualname__}{state} at {id(self):#x} object"
            f", fd={self.fileno()}, family={self._family}, type={self._type}, proto={self.proto}"
        )
        if not self._closed and self.fileno() != -1:
            for label, ask in (("laddr", self.getsockname), ("raddr", self.getpeername)):
                try:
                    address = ask()
                except OSError:
                    continue
                if address:
                    text += f", {label}={address}"
        return text + ">"

    @property
    def family(self):
        """The address family, as a member of `AddressFamily` where there is one."""
        return _as_enum(self._family, __socket__.AddressFamily)

    @property
    def type(self):
        """The type, as a member of `SocketKind` where there is one."""
        return _as_enum(self._type, __socket__.SocketKind)

    @property
    def hub(self):
        """The hub of the current thread: where this socket's waits take place."""
        return get_hub()

    @property
    def _read_event(self):
        return get_hub().loop.io(self.fileno(), 1, ref=self.ref)

    @property
    def _write_event(self):
        return get_hub().loop.io(self.fileno(), 2, ref=self.ref)

    def get_inheritable(self):
        """Whether child processes inherit the descriptor."""
        return os.get_inheritable(self.fileno())

    def set_inheritable(self, inheritable):
        """Say whether child processes inherit the descriptor."""
        os.set_inheritable(self.fileno(), inheritable)

    def dup(self):
        """A new socket on a duplicate of the descriptor, with the same timeout."""
        copy = self.__class__(self.family, self.type, self.proto, fileno=_duplicate(self.fileno()))
        copy.settimeout(self.gettimeout())
        return copy

    makefile = __socket__.socket.makefile

    def sendfile(self, file, offset=0, count=None):
        """Send a file from *offset* to its end, or *count* bytes; returns the number sent.

        The kernel copies where it can (regular files). The file's position is moved by what was sent.
        """
        self._check_sendfile_params(file, offset, count)
        try:
            return self._sendfile_use_sendfile(file, offset, count)
        except __socket__._GiveupOnSendfile:
            return self._sendfile_use_send(file, offset, count)

    _check_sendfile_params = __socket__.socket._check_sendfile_params
    _sendfile_use_send = __socket__.socket._sendfile_use_send

    def _sendfile_use_sendfile(self, file, offset=0, count=None):
        give_up = __socket__._GiveupOnSendfile
        try:
            fileno = file.fileno()
            size = os.fstat(fileno).st_size
        except (AttributeError, io.UnsupportedOperation, OSError) as problem:
            raise give_up(problem) from None
        if not size:
            return 0
        if self.gettimeout() == 0:
            raise ValueError("non-blocking sockets are not supported")
        end = offset + count if count is not None else None
        position = offset
        try:
            while end is None or position < end:
                try:
                    # At most 2 GiB in one call, which is all that the kernel takes.
                    block = min(size if end is None else end - position, 0x7FFFF000)
                    sent = os.sendfile(self.fileno(), fileno, position, block)
                except BlockingIOError:
                    self._wait_write()
                except OSError as problem:
                    if position == offset and problem.errno not in _CONNECTION_ERRORS:
                        raise give_up(problem) from None
                    raise
                else:
                    if sent == 0:
                        break
                    position += sent
            return position - offset
        finally:
            if position > offset and hasattr(file, "seek"):
                file.seek(position)


SocketMixin = socket


_CONNECTION_ERRORS = {32, 104, 107, 110}  # EPIPE, ECONNRESET, ENOTCONN, ETIMEDOUT
SocketType = socket
_core._set_socket_class(socket)


def fromfd(fd, family, type, proto=0):
    """A socket on a duplicate of the descriptor *fd*."""
    return socket(family, type, proto, _duplicate(fd))


def socketpair(family=None, type=__socket__.SOCK_STREAM, proto=0):
    """Two connected sockets, of the family AF_UNIX unless told otherwise."""
    if family is None:
        family = getattr(__socket__, "AF_UNIX", __socket__.AF_INET)
    return tuple(socket(family, type, proto, end.detach()) for end in _socket.socketpair(family, type, proto))


def create_connection(address, timeout=_GLOBAL_DEFAULT_TIMEOUT, source_address=None, *, all_errors=False):
    """Connect to *address* ``(host, port)``, trying each of the addresses that the host has.

    The last error is raised if none works, or with *all_errors* a group of all of them.
    """
    host, port = address
    problems = []
    for family, kind, proto, _, target in getaddrinfo(host, port, 0, __socket__.SOCK_STREAM):
        connection = None
        try:
            connection = socket(family, kind, proto)
            if timeout is not _GLOBAL_DEFAULT_TIMEOUT:
                connection.settimeout(timeout)
            if source_address:
                connection.bind(source_address)
            connection.connect(target)
        except BaseException as problem:
            if connection is not None:
                connection.close()
            if not isinstance(problem, OSError):
                raise
            if not all_errors:
                problems.clear()
            problems.append(problem)
        else:
            return connection
    try:
        if not problems:
            raise OSError("getaddrinfo returns an empty list")
        if all_errors:
            raise ExceptionGroup("create_connection failed", problems)
        raise problems[0]
    finally:
        problems.clear()  # breaks the cycle through the traceback


def _with_our_sockets(function):
    """The standard function, as it would be had the standard module defined `socket` as this one does."""
    namespace = {**vars(__socket__), "socket": socket, "getaddrinfo": getaddrinfo}
    copy = type(function)(function.__code__, namespace, function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__doc__ = function.__doc__
    copy.__module__ = __name__
    return copy


create_server = _with_our_sockets(__socket__.create_server)
