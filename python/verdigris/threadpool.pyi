"""The types of `threadpool.py`."""

import concurrent.futures
from collections.abc import Callable
from typing import Any, Generic, type_check_only

from typing_extensions import ParamSpec, TypeVar

from verdigris._core import AsyncResult, HubBase, ThreadPoolBase, async_, fork, greenlet
from verdigris.hub import Hub
from verdigris.pool import GroupMappingMixin

__all__ = ["ThreadPool", "ThreadResult", "ThreadPoolExecutor"]

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_Value = TypeVar("_Value", default=Any)

class ThreadPool(ThreadPoolBase, GroupMappingMixin):
    manager: None
    fork_watcher: fork
    pid: int
    def __init__(self, maxsize: int, hub: HubBase | None = None, idle_task_timeout: float | None = -1) -> None: ...
    @property
    def task_queue(self) -> _TaskQueue: ...
    def kill(self) -> None: ...

class _TaskQueue:
    def __init__(self, pool: ThreadPool) -> None: ...
    def qsize(self) -> int: ...
    def __len__(self) -> int: ...
    @property
    def unfinished_tasks(self) -> int: ...

class ThreadResult(Generic[_Value]):
    receiver: Callable[[ThreadResult[_Value]], object]
    hub: Hub | None
    context: Any
    value: _Value | None
    exc_info: tuple[Any, ...]
    async_watcher: async_
    def __init__(
        self, receiver: Callable[[ThreadResult[_Value]], object], hub: Hub, call_when_ready: Callable[[], object]
    ) -> None: ...
    @property
    def exception(self) -> BaseException | None: ...
    def successful(self) -> bool: ...
    def set(self, value: _Value) -> None: ...
    def handle_error(self, context: Any, exc_info: tuple[Any, ...]) -> None: ...
    def destroy_in_main_thread(self) -> None: ...

class ThreadPoolExecutor(concurrent.futures.ThreadPoolExecutor):
    # Takes the standard class's arguments. What it returns can be given to `wait`.
    def submit(
        self, fn: Callable[_Arguments, _Result], /, *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> _Future[_Result]: ...
    def kill(self, wait: bool = True, *, cancel_futures: bool = False) -> None: ...

@type_check_only
class _Future(concurrent.futures.Future[_Result]):
    asyncresult: AsyncResult[_Result]
    def rawlink(self, fn: Callable[[_Future[_Result]], object]) -> None: ...
    def unlink(self, fn: Callable[[_Future[_Result]], object]) -> None: ...
