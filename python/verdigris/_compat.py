"""Small names that gevent's private module `gevent._compat` has and programs import.

Nothing here varies any more: there is one kind of Python 3.11 or newer.
"""

import sys
from io import StringIO as NativeStrIO
from os import PathLike, fsdecode, fsencode, fspath
from time import get_clock_info, monotonic, perf_counter

PY3 = True
PY311 = True
PY312 = sys.version_info >= (3, 12)
PY313 = sys.version_info >= (3, 13)
PY314 = sys.version_info >= (3, 14)
PYPY = False
WIN = sys.platform.startswith("win")
LINUX = sys.platform.startswith("linux")
OSX = MAC = sys.platform == "darwin"
# There is no second implementation in Python to choose.
PURE_PYTHON = False

string_types = (str,)
integer_types = (int,)
text_type = str
native_path_types = (str, PathLike)
hostname_types = (str, bytes, bytearray)
thread_mod_name = "_thread"

__all__ = [
    "LINUX",
    "MAC",
    "NativeStrIO",
    "OSX",
    "PURE_PYTHON",
    "PY3",
    "PYPY",
    "WIN",
    "PathLike",
    "fsdecode",
    "fsencode",
    "fspath",
    "get_clock_info",
    "get_this_psutil_process",
    "monotonic",
    "perf_counter",
    "reraise",
    "thread_mod_name",
]


def reraise(t, value, tb=None):
    """Raises an exception with a traceback of another time."""
    if value.__traceback__ is not tb and tb is not None:
        raise value.with_traceback(tb)
    raise value


def get_this_psutil_process():
    """psutil's object of this process; None if psutil is not installed."""
    try:
        from psutil import Process
    except ImportError:
        return None
    return Process()
