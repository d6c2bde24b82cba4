"""The types of `__init__.py`, which fetches these names when they are first asked for."""

from sys import getswitchinterval, setswitchinterval

from verdigris import _config as _config
from verdigris import event as event
from verdigris import exceptions as exceptions
from verdigris import greenlet as greenlet
from verdigris import hub as hub
from verdigris import os as os
from verdigris import timeout as timeout
from verdigris._config import config
from verdigris._core import spawn
from verdigris._doors import install_as_gevent
from verdigris._greenlet import get_include
from verdigris.greenlet import Greenlet, joinall, killall
from verdigris.hub import GreenletExit, get_hub, getcurrent, idle, iwait, kill, reinit, sleep, spawn_raw, wait
from verdigris.hub import signal as signal_handler
from verdigris.os import fork
from verdigris.timeout import Timeout, with_timeout

__all__ = [
    "Greenlet",
    "joinall",
    "killall",
    "Timeout",
    "with_timeout",
    "GreenletExit",
    "get_hub",
    "getcurrent",
    "idle",
    "iwait",
    "kill",
    "reinit",
    "signal_handler",
    "sleep",
    "spawn_raw",
    "wait",
    "fork",
    "config",
    "install_as_gevent",
    "get_include",
    "getswitchinterval",
    "setswitchinterval",
    "spawn",
    "spawn_later",
]

__version__: str

spawn_later = Greenlet.spawn_later
