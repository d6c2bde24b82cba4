"""Locks between greenlets and threads (gevent.lock); the real ones are Rust (`crates/python/src/primitives`)."""

from __future__ import annotations

from verdigris._compat import PURE_PYTHON
from verdigris._core import BoundedSemaphore, RLock, Semaphore, getcurrent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from verdigris._core import Timeout

__all__ = ["Semaphore", "BoundedSemaphore", "DummySemaphore", "RLock"]


class DummySemaphore:
    """Looks like a semaphore of boundless value: nobody ever waits for it."""

    def __init__(self, value: int | None = None) -> None:
        """`value` is of no consequence."""

    def __str__(self) -> str:
        return f"<{type(self).__name__}>"

    def locked(self) -> bool:
        """Always False."""
        return False

    def ready(self) -> bool:
        """Always True."""
        return True

    def release(self) -> None:
        """Does nothing."""

    def rawlink(self, callback: Callable[..., object]) -> None:
        """Does nothing: there is nothing to be told."""

    def unlink(self, callback: Callable[..., object]) -> None:
        """Does nothing."""

    def wait(self, timeout: float | Timeout | None = None) -> int:
        """Returns 1 at once."""
        return 1

    def acquire(self, blocking: bool = True, timeout: float | Timeout | None = None) -> bool:
        """Returns True at once."""
        return True

    def __enter__(self) -> None:
        pass

    def __exit__(self, typ: object, val: object, tb: object) -> None:
        pass


def atomic(meth: Any) -> Any:
    """The method itself: nothing that happens inside a lock here can be interrupted by another greenlet."""
    return meth
