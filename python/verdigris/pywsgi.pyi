"""The types of `pywsgi.py`; those of its parts are in `_wsgi`."""

from verdigris._core import GreenletExit as GreenletExit
from verdigris._wsgi.body import MAX_REQUEST_LINE as MAX_REQUEST_LINE
from verdigris._wsgi.body import Input as Input
from verdigris._wsgi.environ import Environ, SecureEnviron, WSGISecureEnviron
from verdigris._wsgi.handler import WSGIHandler
from verdigris._wsgi.log import LoggingLogAdapter
from verdigris._wsgi.request import OldMessage as OldMessage
from verdigris._wsgi.request import headers_factory as headers_factory
from verdigris._wsgi.server import WSGIServer
from verdigris.server import StreamServer as StreamServer

__all__ = ["WSGIServer", "WSGIHandler", "LoggingLogAdapter", "Environ", "SecureEnviron", "WSGISecureEnviron"]

def format_date_time(timestamp: float) -> str: ...
