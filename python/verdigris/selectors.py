"""The standard `selectors`, with a selector that lets other greenlets run.

It is an epoll instance of its own that the hub waits for, as for any other descriptor: one watcher
however many files are registered, and exactly the kernel's answers.
"""

import selectors as __selectors__
from errno import EBADF, EINVAL, ENOENT
from selectors import EVENT_READ, EVENT_WRITE, _BaseSelectorImpl

from verdigris._incidental import incidental_names

from . import select as _select
from ._socketcommon import timeout as _timeout_error
from ._socketcommon import wait_read
from .hub import get_hub, sleep

__implements__ = ["DefaultSelector"]
__imports__ = [name for name in vars(__selectors__) if not name.startswith("__") and name not in __implements__]
globals().update((name, getattr(__selectors__, name)) for name in __imports__)
__all__ = ["DefaultSelector", "GeventSelector"]
__getattr__ = incidental_names(__name__)


class GeventSelector(_BaseSelectorImpl):
    """A selector on the hub of the thread that uses it."""

    def __init__(self, hub=None):
        self._hub = hub
        super().__init__()
        self._epoll = _select._original_epoll()

    @property
    def hub(self):
        """The hub that waits."""
        return self._hub if self._hub is not None else get_hub()

    def fileno(self):
        """The descriptor that is readable when one of those registered is ready."""
        return self._epoll.fileno()

    def register(self, fileobj, events, data=None):
        """Watch *fileobj* for *events*; ValueError if its descriptor is not open."""
        key = super().register(fileobj, events, data)
        try:
            self._epoll.register(key.fd, _mask(events))
        except BaseException as problem:
            super().unregister(fileobj)
            # EINVAL: it was closed, and its number is the selector's own by now.
            if isinstance(problem, OSError) and problem.errno in (EBADF, EINVAL):
                raise ValueError(f"Invalid file descriptor: {key.fd}") from None
            raise
        return key

    def unregister(self, fileobj):
        """Stop watching *fileobj*, which may be closed already."""
        key = super().unregister(fileobj)
        try:
            self._epoll.unregister(key.fd)
        except OSError as problem:
            if problem.errno not in (EBADF, ENOENT):
                raise
        return key

    def modify(self, fileobj, events, data=None):
        """Change what *fileobj* is watched for, or its data."""
        key = self.get_key(fileobj)
        if events != key.events:
            self.unregister(fileobj)
            return self.register(fileobj, events, data)
        if data != key.data:
            key = key._replace(data=data)
            self._fd_to_key[key.fd] = key
        return key

    def select(self, timeout=None):
        """The keys that are ready, with their events, after *timeout* seconds at most (None: any time)."""
        if timeout is not None and timeout <= 0:
            sleep(0)
        else:
            try:
                wait_read(self._epoll.fileno(), timeout)
            except _timeout_error:
                return []
        ready = []
        for fileno, events in self._epoll.poll(0, max(len(self._fd_to_key), 1)):
            key = self._fd_to_key.get(fileno)
            if key is not None:
                found = (EVENT_WRITE if events & ~_select.EPOLLIN else 0) | (
                    EVENT_READ if events & ~_select.EPOLLOUT else 0
                )
                ready.append((key, found & key.events))
        return ready

    def close(self):
        """Stop watching everything."""
        self._epoll.close()
        super().close()


def _mask(events):
    return (_select.EPOLLIN if events & EVENT_READ else 0) | (_select.EPOLLOUT if events & EVENT_WRITE else 0)


DefaultSelector = GeventSelector
