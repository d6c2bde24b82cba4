"""The types of `_executor.py`."""

import concurrent.futures
from collections.abc import Callable
from typing import TypeVar

from typing_extensions import ParamSpec

from verdigris._core import AsyncResult

__all__ = ["ThreadPoolExecutor"]

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

class ThreadPoolExecutor(concurrent.futures.ThreadPoolExecutor):
    # Takes the standard class's arguments.
    def submit(
        self, fn: Callable[_Arguments, _Result], /, *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> _Future[_Result]: ...
    def kill(self, wait: bool = True, *, cancel_futures: bool = False) -> None: ...

class _Future(concurrent.futures.Future[_Result]):
    asyncresult: AsyncResult[_Result]
    def __init__(self, asyncresult: AsyncResult[_Result]) -> None: ...
    def rawlink(self, fn: Callable[[_Future[_Result]], object]) -> None: ...
    def unlink(self, fn: Callable[[_Future[_Result]], object]) -> None: ...
