"""The types of `core.py`."""

from collections.abc import Callable
from typing import Any

from verdigris._core import (
    EVENTS,
    async_,
    callback,
    check,
    child,
    fork,
    idle,
    io,
    loop,
    prepare,
    signal,
    stat,
    timer,
    watcher,
)
from verdigris._core import (
    _flags_to_list as _flags_to_list,
)
from verdigris._core import (
    embeddable_backends_int as embeddable_backends_int,
)
from verdigris._core import (
    recommended_backends_int as recommended_backends_int,
)
from verdigris._core import (
    supported_backends_int as supported_backends_int,
)
from verdigris._interfaces import ICallback, ILoop
from verdigris.exceptions import HubDestroyed

__all__ = [
    "EVENTS",
    "HubDestroyed",
    "ICallback",
    "ILoop",
    "async_",
    "callback",
    "check",
    "child",
    "embeddable_backends",
    "fork",
    "get_header_version",
    "get_version",
    "idle",
    "io",
    "loop",
    "prepare",
    "recommended_backends",
    "set_syserr_cb",
    "signal",
    "stat",
    "supported_backends",
    "time",
    "timer",
    "watcher",
]

NONE: int
READ: int
WRITE: int
TIMER: int
PERIODIC: int
SIGNAL: int
CHILD: int
STAT: int
IDLE: int
PREPARE: int
CHECK: int
EMBED: int
FORK: int
CLEANUP: int
ASYNC: int
CUSTOM: int
ERROR: int
UNDEF: int
READWRITE: int
MINPRI: int
MAXPRI: int
BACKEND_SELECT: int
BACKEND_POLL: int
BACKEND_EPOLL: int
BACKEND_KQUEUE: int
BACKEND_DEVPOLL: int
BACKEND_PORT: int
BACKEND_LINUXAIO: int
BACKEND_IOURING: int
FORKCHECK: int
NOINOTIFY: int
SIGNALFD: int
NOSIGMASK: int
LIBEV_EMBED: bool
EV_USE_EVENTFD: int
EV_USE_FLOOR: int
EV_USE_INOTIFY: int
EV_USE_MONOTONIC: int
EV_USE_NANOSLEEP: int
EV_USE_REALTIME: int
EV_USE_4HEAP: int
EV_USE_CLOCK_SYSCALL: int
EV_USE_SIGNALFD: int
EVBREAK_CANCEL: int
EVBREAK_ONE: int
EVBREAK_ALL: int

def get_version() -> str: ...
def get_header_version() -> str: ...
def supported_backends() -> list[str]: ...
def recommended_backends() -> list[str]: ...
def embeddable_backends() -> list[str]: ...
def set_syserr_cb(callback: Callable[..., object] | None) -> None: ...
def time() -> float: ...
