"""Greenlets that the hub starts, with results and links (gevent.greenlet).

`Greenlet` is Rust (`crates/python/src/hub/greenlet.rs`); here are the links that run in greenlets of their own, and
the end of several greenlets at once.
"""

from __future__ import annotations

from verdigris._core import Greenlet, GreenletExit, getcurrent, iwait, joinall, wait
from verdigris._core import greenlet as RawGreenlet
from verdigris._incidental import incidental_names
from verdigris.hub import get_hub

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from verdigris._core import Timeout

__all__ = ["Greenlet", "joinall", "killall"]
__getattr__ = incidental_names(__name__)


class CallbackLink:
    """A link that is taken for its `callback`: equal to it, shown as it is, with its attributes."""

    __slots__ = ["callback"]

    def __init__(self, callback: Callable[..., object]) -> None:
        self.callback = callback

    def __hash__(self) -> int:
        return hash(self.callback)

    def __eq__(self, other: object) -> bool:
        return self.callback == getattr(other, "callback", other)

    def __str__(self):
        return str(self.callback)

    def __repr__(self):
        return repr(self.callback)

    def __getattr__(self, item):
        if item == "callback":
            raise AttributeError(item)
        return getattr(self.callback, item)


class SpawnedLink(CallbackLink):
    """A link that calls `callback` in a raw greenlet of its own, so that it may block."""

    __slots__ = []

    def __init__(self, callback: Callable[..., object]) -> None:
        if not callable(callback):
            raise TypeError(f"Expected callable: {callback!r}")
        super().__init__(callback)

    def __call__(self, source):
        # At once, in the hub: the order of the links is the order in which they begin.
        RawGreenlet(self.callback, get_hub()).switch(source)


class SuccessSpawnedLink(SpawnedLink):
    """A link that calls `callback` only if the source was successful."""

    __slots__ = []

    def __call__(self, source):
        if source.successful():
            super().__call__(source)


class FailureSpawnedLink(SpawnedLink):
    """A link that calls `callback` only if the source failed."""

    __slots__ = []

    def __call__(self, source):
        if not source.successful():
            super().__call__(source)


def killall(
    greenlets: Iterable[RawGreenlet],
    exception: BaseException | type[BaseException] = GreenletExit,
    block: bool = True,
    timeout: float | Timeout | None = None,
) -> None:
    """Raises `exception` in every greenlet, in one turn of the hub, and waits until they are dead.

    Greenlets that have not begun never will. With `block` false it returns at once. When `timeout` seconds pass
    before all are dead, Timeout is raised.
    """
    greenlets = list(greenlets)
    waiting = []
    for greenlet in greenlets:
        if isinstance(greenlet, Greenlet):
            greenlet.kill(exception, block=False)
        elif not greenlet.dead:
            get_hub().loop.run_callback(_throw, greenlet, exception)
        if not greenlet.dead:
            waiting.append(greenlet)
    if not block or not waiting:
        return
    from verdigris.timeout import Timeout

    limit = Timeout._start_new_or_dummy(timeout)
    try:
        alive = joinall([greenlet for greenlet in waiting if isinstance(greenlet, Greenlet)])
        while len(alive) < len(waiting) and any(not greenlet.dead for greenlet in waiting):
            from verdigris.hub import sleep

            sleep(0)
    finally:
        limit.cancel()


def _throw(greenlet, exception):
    """Raises `exception` in a raw greenlet, unless it has ended meanwhile; runs in the hub."""
    if not greenlet.dead:
        try:
            greenlet.throw(exception)
        except:  # noqa: E722 - whatever it is, it goes to the hub's error handler
            import sys

            getcurrent().handle_error(greenlet, *sys.exc_info())
