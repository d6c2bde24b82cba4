"""Waiting on several descriptors at once: the standard `select` and `poll`, cooperative.

Both ask the kernel in the end, so that what they report is what it reports; the loop is only what
lets other greenlets run until there is something to report.
"""

import math
import select as __select__
from errno import EBADF

from ._incidental import incidental_names
from .event import Event
from .hub import get_hub, sleep

__implements__ = ["select"]
__all__ = ["error", "select"]
__getattr__ = incidental_names(__name__)

error = __select__.error

if hasattr(__select__, "poll"):
    __implements__.append("poll")
    __all__.append("poll")
    _original_poll = __select__.poll

if hasattr(__select__, "epoll"):
    _original_epoll = __select__.epoll

_original_select = __select__.select

__imports__ = [
    name
    for name in dir(__select__)
    if not name.startswith("_") and name not in ("error", "kqueue", "kevent", "epoll", *__implements__)
]
globals().update((name, getattr(__select__, name)) for name in __imports__)
if hasattr(__select__, "epoll"):
    epoll = __select__.epoll
    __imports__.append("epoll")

_READ = 1
_WRITE = 2

# FD_SETSIZE
_MOST_DESCRIPTORS = 1024


def get_fileno(fileobj):
    """The descriptor of *fileobj*: an int, or an object with a `fileno()` method that returns one."""
    if isinstance(fileobj, int):
        fileno = fileobj
    else:
        try:
            fileno = fileobj.fileno()
        except AttributeError:
            raise TypeError("argument must be an int, or have a fileno() method.") from None
        if not isinstance(fileno, int):
            raise TypeError("fileno() returned a non-integer")
    if fileno < 0:
        raise ValueError(f"file descriptor cannot be a negative integer ({fileno})")
    return fileno


class _Watch:
    """Some descriptors being watched: `wait` ends when one is ready, and `ready` maps it to its events."""

    def __init__(self, interests):
        self.ready = {}
        self._event = Event()
        self._watchers = []
        loop = get_hub().loop
        try:
            for fileno, events in interests.items():
                for event in (_READ, _WRITE):
                    if events & event:
                        self._start(loop, fileno, event)
        except BaseException:
            self.close()
            raise

    def _start(self, loop, fileno, event):
        watcher = loop.io(fileno, event)
        self._watchers.append(watcher)
        watcher.priority = loop.MAXPRI
        try:
            watcher.start(self._fired, fileno, event)
        except OSError as problem:
            if problem.errno != EBADF:
                raise
            # Closed meanwhile: as if it had been while this waits. Whoever uses it will be told.
            self._fired(fileno, event)

    def _fired(self, fileno, event):
        self.ready[fileno] = self.ready.get(fileno, 0) | event
        self._event.set()

    def wait(self, timeout):
        """Wait for the first descriptor that is ready, *timeout* seconds at most."""
        return self._event.wait(timeout)

    def close(self):
        """Stop watching."""
        for watcher in self._watchers:
            watcher.stop()
            watcher.close()
        self._watchers.clear()


def select(rlist, wlist, xlist, timeout=None):
    """As the standard `select`; other greenlets run while it waits.

    Exceptional conditions (*xlist*) are reported if they are there at once, and not waited for.
    """
    if timeout is not None:
        if not isinstance(timeout, (int, float)):
            raise TypeError("timeout must be a float or None")
        if math.isnan(timeout) or timeout < 0:
            raise ValueError("timeout must be non-negative")
    # Asked for once and now: an object may be closed, or say something else, while this waits.
    readers, writers, others = (_with_filenos(objects) for objects in (rlist, wlist, xlist))
    found = _select_now(*([fileno for _, fileno in pairs] for pairs in (readers, writers, others)))
    if any(found) or timeout == 0:
        # Others get their turn all the same: who selects in a circle may find something each time.
        sleep(0)
        return tuple(
            [item for item, fileno in pairs if fileno in ready]
            for pairs, ready in zip((readers, writers, others), found, strict=True)
        )
    interests = {}
    for pairs, event in ((readers, _READ), (writers, _WRITE)):
        for _, fileno in pairs:
            interests[fileno] = interests.get(fileno, 0) | event
    watch = _Watch(interests)
    try:
        watch.wait(timeout)
    finally:
        watch.close()
    ready = watch.ready
    return (
        [item for item, fileno in readers if ready.get(fileno, 0) & _READ],
        [item for item, fileno in writers if ready.get(fileno, 0) & _WRITE],
        [],
    )


def _with_filenos(objects):
    """Pairs of an object and its descriptor. A list may change while it is gone through."""
    pairs = []
    for item in objects:
        pairs.append((item, get_fileno(item)))
    return pairs


def _select_now(readers, writers, others):
    """What is ready without waiting, of three lists of descriptors."""
    filenos = {*readers, *writers, *others}
    if not filenos or max(filenos) < _MOST_DESCRIPTORS:
        return _original_select(readers, writers, others, 0)
    # Beyond what the kernel's select() can take, which is no reason to fail.
    masks = (
        (readers, __select__.POLLIN, __select__.POLLIN | __select__.POLLHUP | __select__.POLLERR),
        (writers, __select__.POLLOUT, __select__.POLLOUT | __select__.POLLERR),
        (others, __select__.POLLPRI, __select__.POLLPRI),
    )
    interests = {}
    for wanted_of, wanted, _ in masks:
        for fileno in wanted_of:
            interests[fileno] = interests.get(fileno, 0) | wanted
    native = _original_poll()
    for fileno, events in interests.items():
        native.register(fileno, events)
    found = dict(native.poll(0))
    if any(events & __select__.POLLNVAL for events in found.values()):
        raise OSError(EBADF, "Bad file descriptor")
    return tuple([fileno for fileno in wanted_of if found.get(fileno, 0) & mask] for wanted_of, _, mask in masks)


if "poll" in __implements__:

    class poll:
        """As the standard `poll` object; other greenlets run while it waits."""

        def __init__(self):
            self._native = _original_poll()
            self._events = {}

        def register(self, fd, eventmask=POLLIN | POLLPRI | POLLOUT):  # noqa: F821
            """Watch *fd*, or change what it is watched for."""
            fileno = get_fileno(fd)
            self._native.register(fileno, eventmask)
            self._events[fileno] = eventmask

        def modify(self, fd, eventmask):
            """Change what *fd* is watched for; FileNotFoundError if it is not registered."""
            self._native.modify(fd, eventmask)
            self._events[get_fileno(fd)] = eventmask

        def unregister(self, fd):
            """Stop watching *fd*; KeyError if it is not registered."""
            fileno = get_fileno(fd)
            self._native.unregister(fileno)
            del self._events[fileno]

        def poll(self, timeout=None):
            """The descriptors that are ready, with their events; *timeout* is in milliseconds, negative for ever."""
            if timeout is not None:
                if not isinstance(timeout, (int, float)):
                    raise TypeError("timeout must be an integer or None")
                timeout = None if timeout < 0 else timeout / 1000
            if timeout == 0:
                return self._native.poll(0)
            interests = {}
            for fileno, mask in self._events.items():
                events = _READ if mask & (POLLIN | POLLPRI | _READ_HANGUP) else 0  # noqa: F821
                events |= _WRITE if mask & POLLOUT else 0  # noqa: F821
                # The kernel reports hang-ups and errors even of what is watched for nothing.
                interests[fileno] = events or _READ
            watch = _Watch(interests)
            try:
                watch.wait(timeout)
            finally:
                watch.close()
            return self._native.poll(0)

    _READ_HANGUP = getattr(__select__, "POLLRDHUP", 0)
