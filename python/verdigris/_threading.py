"""What threads need from below their own layer.

`ThreadHandle` is the object that Python 3.13 and later ask to start and to join a thread; earlier ones have a lock for
it that the interpreter releases when the thread is gone, here `sentinel()`.

`Lock` and `Queue` are native ones, for code that works with threads of the operating system however much is patched.
"""

import _thread
from weakref import WeakSet, ref

from verdigris._core import getcurrent
from verdigris.event import Event
from verdigris.greenlet import Greenlet

__all__ = ["EmptyTimeout", "Lock", "Queue", "ThreadHandle", "join_all_threads", "sentinel"]

# Handles of the running threads that the end of the program waits for.
_joined_at_exit = set()
# Handles of all that run, as threads or as what was there before; a fork ends them, all but one.
_running = set()
_adopted = WeakSet()


class ThreadHandle:
    """A thread to be: given to `start_joinable_thread`, later joined by anybody."""

    def __init__(self):
        self._ident = 0
        self._done = Event()
        self._greenlet = None

    def _start(self, function, daemon):
        if self._ident:
            raise RuntimeError("thread already started")
        greenlet = self._greenlet = Greenlet(function)
        self._ident = id(greenlet)
        _running.add(self)
        if not daemon:
            _joined_at_exit.add(self)
        greenlet.rawlink(self._finished)
        greenlet.start()

    def _adopt(self, ident):
        self._ident = ident
        _adopted.add(self)
        current = getcurrent()
        if id(current) == ident:
            # A weak reference: for the main thread and for greenlets that are not threads
            self._greenlet = ref(current)

    def _finished(self, _greenlet):
        self._set_done()

    def _set_done(self):
        if not self._ident:
            raise RuntimeError("thread not started")
        self._greenlet = None
        self._done.set()
        _running.discard(self)
        _joined_at_exit.discard(self)

    @property
    def ident(self):
        return self._ident

    def is_done(self):
        return self._done.is_set()

    def join(self, timeout=None):
        """Waits for the end of the thread, for at most so many seconds if a timeout is given that is not negative."""
        if not self._ident:
            raise RuntimeError("thread not started")
        if self._greenlet is getcurrent():
            raise RuntimeError("Cannot join current thread")
        self._done.wait(None if timeout is None or timeout < 0 else timeout)

    def __repr__(self):
        return f"<_ThreadHandle object: ident={self._ident}>"


def after_fork_in_child():
    """Only the thread that forked goes on, as far as the standard library is concerned."""
    current = id(getcurrent())
    for handle in [*_running, *_adopted]:
        if handle._ident != current:
            handle._set_done()


def join_all_threads():
    """Waits for all threads that are not daemons, as the end of a program does."""
    while _joined_at_exit:
        next(iter(_joined_at_exit)).join()


def sentinel(lock_type):
    """A lock that is released when the current greenlet has ended, if somebody holds it then."""
    lock = lock_type()
    current = getcurrent()

    def release(_greenlet):
        if lock.locked():
            lock.release()

    if hasattr(current, "rawlink"):
        current.rawlink(release)
    return lock


class EmptyTimeout(Exception):
    """Raised by Queue.get() when nothing came in time."""


Lock = _thread.allocate_lock


class Queue:
    """An unbounded queue between native threads; it never switches greenlets."""

    def __init__(self):
        from _queue import SimpleQueue

        self._items = SimpleQueue()

    def put(self, item):
        self._items.put(item)

    def get(self, cookie=-1, timeout=-1):
        from _queue import Empty

        try:
            return self._items.get(timeout=None if timeout is None or timeout < 0 else timeout)
        except Empty:
            raise EmptyTimeout from None

    def allocate_cookie(self):
        return None

    def qsize(self):
        return self._items.qsize()

    def empty(self):
        return not self.qsize()

    def full(self):
        return False

    @property
    def unfinished_tasks(self):
        return self.qsize()

    def task_done(self):
        pass

    def kill(self):
        pass
