"""Cooperative TLS: the standard `ssl` module over our sockets.

Nothing of TLS is written anew. The standard module's own `SSLSocket` is taken as it is in the
running Python, function by function, and put on top of `verdigris.socket.socket` instead of the
standard socket. That works because a TLS socket does everything through its `_sslobj`:

    SSLSocket  (standard code, our base class)
      `_sslobj`  TlsChannel: calls OpenSSL; on "want read" and "want write" lets other greenlets run
        |
      `_ssl._SSLSocket` on the standard socket inside ours, which never blocks

so that object is the only place where anything waits.
"""

import _socket
import _ssl
import ssl as __ssl__
import types

from verdigris._incidental import incidental_names

from . import _core
from .socket import create_connection, socket, timeout_default

__implements__ = ["SSLContext", "SSLSocket", "get_server_certificate"]
__extensions__: list[str] = []
# Went from the standard module with Python 3.12.
(__implements__ if hasattr(__ssl__, "wrap_socket") else __extensions__).append("wrap_socket")

# Standard functions that make contexts: ours make ours.
_MAKERS = [
    "create_default_context",
    "_create_unverified_context",
    "_create_default_https_context",
    "_create_stdlib_context",
]

__implements__ += [name for name in _MAKERS if hasattr(__ssl__, name)]

# Not everything there: what it has imported for itself from `socket` is ours here.
__imports__ = [
    name
    for name in vars(__ssl__)
    if not name.startswith("__") and name not in [*__implements__, "socket", "create_connection"]
]

globals().update((name, getattr(__ssl__, name)) for name in __imports__)

__all__ = [*__implements__, *__extensions__, *__imports__]
__getattr__ = incidental_names(__name__)

orig_SSLContext = __ssl__.SSLContext


def _rebound(function, namespace, class_cell=None):
    """A copy of a standard function that finds its global names in *namespace*."""
    closure = function.__closure__
    if closure and class_cell is not None:
        names = function.__code__.co_freevars
        closure = tuple(class_cell if name == "__class__" else cell for name, cell in zip(names, closure, strict=True))
    copy = types.FunctionType(function.__code__, namespace, function.__name__, function.__defaults__, closure)
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__doc__ = function.__doc__
    copy.__module__ = __name__
    copy.__qualname__ = function.__qualname__
    copy.__dict__.update(function.__dict__)
    return copy


def _rebound_member(member, namespace, class_cell):
    """`_rebound` for whatever a class may contain."""
    if isinstance(member, types.FunctionType):
        return _rebound(member, namespace, class_cell)
    if isinstance(member, (classmethod, staticmethod)):
        return type(member)(_rebound_member(member.__func__, namespace, class_cell))
    if isinstance(member, property):
        parts = [
            part and _rebound_member(part, namespace, class_cell) for part in (member.fget, member.fset, member.fdel)
        ]
        return property(*parts, member.__doc__)
    return member


# What the standard module's functions see as their globals: its own names, but our classes.
_namespace = {**vars(__ssl__), "socket": socket, "create_connection": create_connection}

# The same with the standard classes, whatever `ssl.SSLContext` may be replaced by later: the
# standard setters name it, as in `super(SSLContext, SSLContext).options.__set__(self, value)`,
# and call themselves for ever once that name means a subclass.
_standard_namespace = dict(vars(__ssl__))


class SSLContext(orig_SSLContext):
    """The standard context, whose sockets are cooperative."""

    __slots__ = ()

    def _wrap_socket(self, sock, server_side, server_hostname=None, *, owner=None, session=None):
        native = sock._sock if isinstance(sock, _core.Socket) else sock
        channel = _ssl._SSLContext._wrap_socket(
            self, native, server_side, server_hostname, owner=owner, session=session
        )
        return channel if native is sock else _core.TlsChannel(channel, sock)


_setters = {
    name: _rebound_member(member, _standard_namespace, None)
    for name, member in vars(orig_SSLContext).items()
    if isinstance(member, property) and member.fset is not None
}
for _name, _member in _setters.items():
    setattr(SSLContext, _name, _member)


def _gevent_did_monkey_patch(*_args, **_kwargs):
    """Contexts made before the module was patched, and subclasses of the standard class, become cooperative, too."""
    for name, member in _setters.items():
        setattr(orig_SSLContext, name, member)
    orig_SSLContext._wrap_socket = SSLContext._wrap_socket
    orig_SSLContext.sslsocket_class = SSLSocket


class _Wraps(type):
    """Lets `SSLSocket` be called, as gevent's can: the standard class has no public constructor since Python 3.7."""

    def __call__(
        cls,
        sock=None,
        keyfile=None,
        certfile=None,
        server_side=False,
        cert_reqs=__ssl__.CERT_NONE,
        ssl_version=__ssl__.PROTOCOL_TLS,
        ca_certs=None,
        do_handshake_on_connect=True,
        family=_socket.AF_INET,
        type=_socket.SOCK_STREAM,
        proto=0,
        fileno=None,
        suppress_ragged_eofs=True,
        npn_protocols=None,
        ciphers=None,
        server_hostname=None,
        _session=None,
        _context=None,
    ):
        if npn_protocols:
            raise NotImplementedError("NPN is not spoken any more; SSLContext.set_alpn_protocols() is its successor")
        if _context is None:
            _context = _context_of(server_side, keyfile, certfile, cert_reqs, ssl_version, ca_certs, ciphers)
        return cls._create(
            sock=socket(family, type, proto, fileno) if sock is None else sock,
            server_side=server_side,
            do_handshake_on_connect=do_handshake_on_connect,
            suppress_ragged_eofs=suppress_ragged_eofs,
            server_hostname=server_hostname,
            context=_context,
            session=_session,
        )


def _transplanted(source, base):
    """The standard class *source* with *base* in place of the class it inherits from."""
    cell = types.CellType()
    members = {
        name: _rebound_member(member, _namespace, cell)
        for name, member in vars(source).items()
        if name not in ("__dict__", "__weakref__", "__module__")
    }
    transplanted = _Wraps(source.__name__, (base,), {**members, "__module__": __name__})
    cell.cell_contents = transplanted
    return transplanted


SSLSocket = _transplanted(__ssl__.SSLSocket, socket)


def _send(self, data, flags=0, timeout=timeout_default):
    """As the standard `send`; *timeout* takes the place of the socket's own."""
    if timeout is timeout_default:
        return _standard_send(self, data, flags)
    usual = self.gettimeout()
    self.settimeout(timeout)
    try:
        return _standard_send(self, data, flags)
    finally:
        self.settimeout(usual)


_standard_send, SSLSocket.send = SSLSocket.send, _send

SSLContext.sslsocket_class = SSLSocket
_namespace.update(SSLContext=SSLContext, SSLSocket=SSLSocket)

for _name in [*_MAKERS, "get_server_certificate"]:
    if hasattr(__ssl__, _name):
        _function = _rebound(getattr(__ssl__, _name), _namespace)
        globals()[_name] = _namespace[_name] = _function
# It is another name of one of the above, which programs compare.
if __ssl__._create_default_https_context is __ssl__.create_default_context:
    _create_default_https_context = _namespace["_create_default_https_context"] = globals()["create_default_context"]

del _name, _member, _function


def wrap_socket(
    sock,
    keyfile=None,
    certfile=None,
    server_side=False,
    cert_reqs=__ssl__.CERT_NONE,
    ssl_version=__ssl__.PROTOCOL_TLS,
    ca_certs=None,
    do_handshake_on_connect=True,
    suppress_ragged_eofs=True,
    ciphers=None,
):
    """Wrap a socket in a context made from the arguments (the standard function of Python < 3.12)."""
    context = _context_of(server_side, keyfile, certfile, cert_reqs, ssl_version, ca_certs, ciphers)
    return context.wrap_socket(
        sock,
        server_side=server_side,
        do_handshake_on_connect=do_handshake_on_connect,
        suppress_ragged_eofs=suppress_ragged_eofs,
    )


def _context_of(server_side, keyfile, certfile, cert_reqs, ssl_version, ca_certs, ciphers):
    """A context made from what `wrap_socket` took before there were contexts."""
    if server_side and not certfile:
        raise ValueError("certfile must be specified for server-side operations")
    if keyfile and not certfile:
        raise ValueError("certfile must be specified")
    if ssl_version == __ssl__.PROTOCOL_TLS:
        # Not deprecated, and as undemanding once the checks are off.
        ssl_version = __ssl__.PROTOCOL_TLS_SERVER if server_side else __ssl__.PROTOCOL_TLS_CLIENT
    context = SSLContext(ssl_version)
    context.check_hostname = False
    context.verify_mode = cert_reqs
    if ca_certs:
        context.load_verify_locations(ca_certs)
    if certfile:
        context.load_cert_chain(certfile, keyfile)
    if ciphers:
        context.set_ciphers(ciphers)
    return context
