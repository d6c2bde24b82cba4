"""The event loop and its watchers (gevent.core), on verdigris's own loop with libev's numbers and names."""

from verdigris._core import (
    EVENTS,
    _flags_to_list,
    callback,
    embeddable_backends_int,
    loop,
    recommended_backends_int,
    supported_backends_int,
    wall_clock,
    watcher,
)

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
    "embeddable_backends",
    "get_header_version",
    "get_version",
    "loop",
    "recommended_backends",
    "supported_backends",
    "time",
    "watcher",
]


def get_version():
    """The event loop, and the libev release whose behaviour it keeps."""
    return "libev-4.33"


def get_header_version():
    """The same as `get_version`: there is no separate header."""
    return "libev-4.33"


def supported_backends():
    """The names of the backends that can be used here, the preferred one first."""
    return _flags_to_list(supported_backends_int())


def recommended_backends():
    """The names of the backends that are used without being asked for."""
    return _flags_to_list(recommended_backends_int())


def embeddable_backends():
    """The names of the backends whose loops another loop can watch."""
    return _flags_to_list(embeddable_backends_int())


def time():
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
