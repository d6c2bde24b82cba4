"""The types of `greenlet.py`."""

from collections.abc import Callable, Iterable
from typing import Any

from verdigris._core import Greenlet, Timeout, joinall
from verdigris._core import greenlet as RawGreenlet

__all__ = ["Greenlet", "joinall", "killall"]

class CallbackLink:
    callback: Callable[[Any], object]
    def __init__(self, callback: Callable[[Any], object]) -> None: ...
    def __getattr__(self, item: str) -> Any: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

class SpawnedLink(CallbackLink):
    def __call__(self, source: Any) -> None: ...

class SuccessSpawnedLink(SpawnedLink): ...
class FailureSpawnedLink(SpawnedLink): ...

def killall(
    greenlets: Iterable[RawGreenlet],
    exception: BaseException | type[BaseException] = ...,
    block: bool = True,
    timeout: float | Timeout | None = None,
) -> None: ...
def _throw(greenlet: RawGreenlet, exception: BaseException | type[BaseException]) -> None: ...
