"""A server whose connections speak HTTP with a WSGI application."""

import logging
import socket
import sys

from ..server import StreamServer
from . import log as logs
from .environ import WSGISecureEnviron
from .handler import WSGIHandler


class WSGIServer(StreamServer):
    """An HTTP server for a WSGI *application*; with the arguments of TLS that `StreamServer` takes, an HTTPS server.

    *log* gets a line a request, *error_log* what clients did wrong: files, loggers, "default" for stderr, or None.
    *handler_class* handles the connections (default `WSGIHandler`), *environ* has values for every environment.
    """

    handler_class = WSGIHandler

    #: The class of the environments, and of those that errors are reported with.
    environ_class = dict
    secure_environ_class = WSGISecureEnviron

    log = None
    error_log = None
    application = None

    base_env = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": f"verdigris Python/{sys.version_info.major}.{sys.version_info.minor}",
        "SCRIPT_NAME": "",
        "wsgi.version": (1, 0),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }

    def __init__(
        self,
        listener,
        application=None,
        backlog=None,
        spawn="default",
        log="default",
        error_log="default",
        handler_class=None,
        environ=None,
        **ssl_args,
    ):
        StreamServer.__init__(self, listener, backlog=backlog, spawn=spawn, **ssl_args)
        if application is not None:
            self.application = application
        if handler_class is not None:
            self.handler_class = handler_class
        self.log = logs.make(log, logging.INFO)
        self.error_log = logs.make(error_log, logging.ERROR)
        self.set_environ(environ)
        self.set_max_accept()

    def set_environ(self, environ=None):
        """Makes the environment that those of the requests are copies of."""
        added = getattr(self, "environ", None) if environ is None else environ
        self.environ = self.environ_class(self.base_env)
        self.environ["wsgi.url_scheme"] = "https" if self.ssl_enabled else "http"
        if added is not None:
            self.environ.update(added)
        if self.environ.get("wsgi.errors") is None:
            self.environ["wsgi.errors"] = sys.stderr

    def set_max_accept(self):
        """One of several processes takes one connection at a time, so that all get some."""
        if self.environ.get("wsgi.multiprocess"):
            self.max_accept = 1

    def get_environ(self):
        """A new environment, before anything is known of its request."""
        return self.environ_class(self.environ)

    def init_socket(self):
        StreamServer.init_socket(self)
        self.update_environ()

    def update_environ(self):
        """Says in the environment where the server listens; called when it starts."""
        address = self.address
        if isinstance(address, tuple):
            self.environ.setdefault("SERVER_NAME", _name(str(address[0])))
            self.environ.setdefault("SERVER_PORT", str(address[1]))
        else:
            self.environ.setdefault("SERVER_NAME", "")
            self.environ.setdefault("SERVER_PORT", "")

    def handle(self, sock, address):
        """Handles a connection with a handler of its own."""
        self.handler_class(sock, address, self).handle()


def _name(host):
    """The name of the host that listens there: this one's, for an address that stands for all."""
    try:
        return socket.getfqdn(host if host not in ("", "::", "0.0.0.0") else "")
    except OSError:
        return host
