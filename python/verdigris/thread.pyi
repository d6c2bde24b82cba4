"""The types of `thread.py`."""

import sys
from collections.abc import Callable
from typing import Any, NoReturn

from verdigris._core import LockType
from verdigris._core import get_ident as get_ident
from verdigris.local import local as _local

__implements__: list[str]
__imports__: list[str]
__target__: str

error = RuntimeError
TIMEOUT_MAX: float
allocate_lock = LockType
lock = LockType

def start_new_thread(
    function: Callable[..., object], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
) -> int: ...
def exit() -> NoReturn: ...
def stack_size(size: int | None = None) -> int: ...

if sys.version_info >= (3, 13):
    from verdigris._threading import ThreadHandle as _ThreadHandle
    def start_joinable_thread(
        function: Callable[[], object], handle: _ThreadHandle | None = None, daemon: bool = True
    ) -> _ThreadHandle: ...
    def _make_thread_handle(ident: int) -> _ThreadHandle: ...

# Last, so that it does not take the place of what is above.
from _thread import *  # type: ignore[assignment]  # noqa: E402, F403
