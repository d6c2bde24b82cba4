"""The event loop and its watchers (gevent.core), on verdigris's own loop with libev's numbers and names."""

from __future__ import annotations

from verdigris._core import (
    EVENTS,
    _flags_to_list,
    async_,
    callback,
    check,
    child,
    embeddable_backends_int,
    fork,
    idle,
    io,
    loop,
    prepare,
    recommended_backends_int,
    signal,
    stat,
    supported_backends_int,
    timer,
    wall_clock,
    watcher,
)
from verdigris._incidental import incidental_names
from verdigris._interfaces import ICallback, ILoop
from verdigris.exceptions import HubDestroyed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# gevent's names for them from before `async` was a keyword; getattr() reaches them.
globals()["async"] = async_
setattr(loop, "async", loop.async_)

NONE = 0
READ = 0x01
WRITE = 0x02
TIMER = 0x100
PERIODIC = 0x200
SIGNAL = 0x400
CHILD = 0x800
STAT = 0x1000
IDLE = 0x2000
PREPARE = 0x4000
CHECK = 0x8000
EMBED = 0x10000
FORK = 0x20000
CLEANUP = 0x40000
ASYNC = 0x80000
CUSTOM = 0x1000000
ERROR = 0x80000000
UNDEF = 0xFFFFFFFF

READWRITE = READ | WRITE
MINPRI = -2
MAXPRI = 2

BACKEND_SELECT = 1
BACKEND_POLL = 2
BACKEND_EPOLL = 4
BACKEND_KQUEUE = 8
BACKEND_DEVPOLL = 16
BACKEND_PORT = 32
BACKEND_LINUXAIO = 64
BACKEND_IOURING = 128

FORKCHECK = 0x02000000
NOINOTIFY = 0x00100000
SIGNALFD = 0x00200000
NOSIGMASK = 0x00400000

LIBEV_EMBED = True
"""The loop comes with the package."""
EV_USE_EVENTFD = EV_USE_FLOOR = EV_USE_INOTIFY = EV_USE_MONOTONIC = EV_USE_NANOSLEEP = EV_USE_REALTIME = (
    EV_USE_4HEAP
) = 1
EV_USE_CLOCK_SYSCALL = EV_USE_SIGNALFD = 0

EVBREAK_CANCEL = 0
EVBREAK_ONE = 1
EVBREAK_ALL = 2

_EVENT_NAMES = [
    (READ, "READ"),
    (WRITE, "WRITE"),
    (0x80, "_IOFDSET"),
    (PERIODIC, "PERIODIC"),
    (SIGNAL, "SIGNAL"),
    (CHILD, "CHILD"),
    (STAT, "STAT"),
    (IDLE, "IDLE"),
    (PREPARE, "PREPARE"),
    (CHECK, "CHECK"),
    (EMBED, "EMBED"),
    (FORK, "FORK"),
    (CLEANUP, "CLEANUP"),
    (ASYNC, "ASYNC"),
    (CUSTOM, "CUSTOM"),
    (ERROR, "ERROR"),
]

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
__getattr__ = incidental_names(__name__)


def get_version() -> str:
    """The event loop, and the libev release whose behaviour it keeps."""
    return "libev-4.33"


def get_header_version() -> str:
    """The same as `get_version`: there is no separate header."""
    return "libev-4.33"


def supported_backends() -> list[str]:
    """The names of the backends that can be used here, the preferred one first."""
    return _flags_to_list(supported_backends_int())


def recommended_backends() -> list[str]:
    """The names of the backends that are used without being asked for."""
    return _flags_to_list(recommended_backends_int())


def embeddable_backends() -> list[str]:
    """The names of the backends whose loops another loop can watch."""
    return _flags_to_list(embeddable_backends_int())


def _sigfd(_loop):
    """The descriptor of signals, which gevent's loop has only if it was told to use one."""
    raise AttributeError("sigfd")


loop.sigfd = property(_sigfd)  # type: ignore[attr-defined]


def set_syserr_cb(callback: Callable[..., object] | None) -> None:
    """Takes a function (or None) to be told of system errors of the loop; they are exceptions here, so it is never called."""
    if callback is not None and not callable(callback):
        raise TypeError(f"Expected callable or None, got {callback!r}")


def time() -> float:
    """The wall clock, in seconds since 1970."""
    return wall_clock()


def _events_to_str(events):
    """The names of event bits, joined by '|'; bits without a name in hexadecimal."""
    names = []
    for bit, name in _EVENT_NAMES:
        if events & bit:
            names.append(name)
            events &= ~bit
    if events:
        names.append(hex(events))
    return "|".join(names)
