"""Locks between greenlets and threads (gevent.lock); the real ones are Rust (`crates/python/src/primitives`)."""

from verdigris._compat import PURE_PYTHON
from verdigris._core import BoundedSemaphore, RLock, Semaphore, getcurrent

__all__ = ["Semaphore", "BoundedSemaphore", "DummySemaphore", "RLock"]


class DummySemaphore:
    """Looks like a semaphore of boundless value: nobody ever waits for it."""

    def __init__(self, value=None):
        """`value` is of no consequence."""

    def __str__(self):
        return f"<{type(self).__name__}>"

    def locked(self):
        """Always False."""
        return False

    def ready(self):
        """Always True."""
        return True

    def release(self):
        """Does nothing."""

    def rawlink(self, callback):
        """Does nothing: there is nothing to be told."""

    def unlink(self, callback):
        """Does nothing."""

    def wait(self, timeout=None):
        """Returns 1 at once."""
        return 1

    def acquire(self, blocking=True, timeout=None):
        """Returns True at once."""
        return True

    def __enter__(self):
        pass

    def __exit__(self, typ, val, tb):
        pass


def atomic(meth):
    """The method itself: nothing that happens inside a lock here can be interrupted by another greenlet."""
    return meth
