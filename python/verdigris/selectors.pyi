"""The types of `selectors.py`: those of the standard module, and the selector that is ours."""

from collections.abc import Mapping
from selectors import SelectorKey as SelectorKey
from selectors import _BaseSelectorImpl
from typing import Any

from _typeshed import FileDescriptorLike

from verdigris._core import HubBase
from verdigris.hub import Hub

__implements__: list[str]
__imports__: list[str]
__all__ = ["DefaultSelector", "GeventSelector"]

class GeventSelector(_BaseSelectorImpl):
    def __init__(self, hub: HubBase | None = None) -> None: ...
    @property
    def hub(self) -> Hub: ...
    def fileno(self) -> int: ...
    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]: ...

DefaultSelector = GeventSelector

# Last, so that it does not take the place of what is above.
from selectors import *  # type: ignore[assignment]  # noqa: E402, F403
