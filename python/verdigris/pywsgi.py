"""A WSGI server: `WSGIServer` accepts connections, a `WSGIHandler` each speaks HTTP/1.1 on them.

    WSGIServer(("127.0.0.1", 8080), application).serve_forever()

As a program it serves an application that it is given by name:

    verdigris run -m verdigris.pywsgi --bind 127.0.0.1:8080 package.module:application

The names, signatures and hooks are gevent.pywsgi's. The parts are in `_wsgi`, a file each.
"""

from ._core import GreenletExit
from ._wsgi.body import MAX_REQUEST_LINE, Input
from ._wsgi.environ import Environ, SecureEnviron, WSGISecureEnviron
from ._wsgi.errors import InvalidClientInput as _InvalidClientInput
from ._wsgi.errors import InvalidClientRequest as _InvalidClientRequest
from ._wsgi.handler import WSGIHandler
from ._wsgi.log import LoggingLogAdapter
from ._wsgi.log import NoopLog as _NoopLog
from ._wsgi.request import OldMessage, headers_factory
from ._wsgi.server import WSGIServer
from .server import StreamServer

__all__ = ["WSGIServer", "WSGIHandler", "LoggingLogAdapter", "Environ", "SecureEnviron", "WSGISecureEnviron"]
__extra__ = [
    "MAX_REQUEST_LINE", "GreenletExit", "Input", "OldMessage", "StreamServer", "headers_factory",
    "_InvalidClientInput", "_InvalidClientRequest", "_NoopLog",
]  # fmt: skip


def format_date_time(timestamp):
    """The date of a time in seconds, as HTTP writes it."""
    from email.utils import formatdate

    return formatdate(timestamp, usegmt=True)


def _main():
    import argparse

    parser = argparse.ArgumentParser(prog="verdigris.pywsgi", description="Serves a WSGI application over HTTP.")
    parser.add_argument(
        "application", metavar="MODULE:NAME", help="the application, for example wsgiref.simple_server:demo_app"
    )
    parser.add_argument(
        "--bind", "-b", default="127.0.0.1:8080", metavar="HOST:PORT", help="where to listen (default: %(default)s)"
    )
    options = parser.parse_args()
    module, _, name = options.application.partition(":")
    host, _, port = options.bind.rpartition(":")
    from importlib import import_module

    application = getattr(import_module(module), name or "application")
    WSGIServer((host.strip("[]"), int(port)), application).serve_forever()


if __name__ == "__main__":
    _main()
