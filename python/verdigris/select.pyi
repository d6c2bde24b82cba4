"""The types of `select.py`: those of the standard module, save for what is defined here."""

from collections.abc import Iterable
from typing import Any

from _typeshed import FileDescriptorLike

__implements__: list[str]
__imports__: list[str]

class poll:
    def register(self, fd: FileDescriptorLike, eventmask: int = ...) -> None: ...
    def modify(self, fd: FileDescriptorLike, eventmask: int) -> None: ...
    def unregister(self, fd: FileDescriptorLike) -> None: ...
    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]: ...

def select(
    rlist: Iterable[Any], wlist: Iterable[Any], xlist: Iterable[Any], timeout: float | None = None
) -> tuple[list[Any], list[Any], list[Any]]: ...
def get_fileno(fileobj: FileDescriptorLike) -> int: ...

error = OSError

# Last, so that it does not take the place of what is above.
from select import *  # type: ignore[assignment]  # noqa: E402, F403
