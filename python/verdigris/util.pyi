"""The types of `util.py`."""

from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, ClassVar, Generic, Self, TextIO, TypeVar

from typing_extensions import ParamSpec

from verdigris._core import greenlet as _RawGreenlet
from verdigris.hub import Hub

__all__ = ["format_run_info", "print_run_info", "GreenletTree", "wrap_errors", "assert_switches"]

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_Error = TypeVar("_Error", bound=BaseException)

class wrap_errors(Generic[_Error, _Arguments, _Result]):
    def __init__(
        self, errors: type[_Error] | tuple[type[_Error], ...], func: Callable[_Arguments, _Result]
    ) -> None: ...
    def __call__(self, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result | _Error: ...
    def __getattr__(self, name: str) -> Any: ...

def print_run_info(
    thread_stacks: bool = True, greenlet_stacks: bool = True, limit: int | None = None, file: TextIO | None = None
) -> None: ...
def format_run_info(
    thread_stacks: bool = True,
    greenlet_stacks: bool = True,
    limit: int | None = None,
    current_thread_ident: int | None = None,
) -> list[str]: ...

dump_stacks = format_run_info

def is_idle_threadpool_worker(frame: FrameType) -> bool: ...

class GreenletTree:
    DEFAULT_DETAILS: ClassVar[dict[str, Any]]
    greenlet: _RawGreenlet
    child_trees: list[GreenletTree]
    is_current_tree: bool
    root: bool
    def __init__(self, greenlet: _RawGreenlet) -> None: ...
    def __getattr__(self, name: str) -> Any: ...
    def add_child(self, tree: GreenletTree) -> None: ...
    @classmethod
    def forest(cls) -> list[Self]: ...
    @classmethod
    def current_tree(cls) -> Self: ...
    def format(self, details: bool | dict[str, Any] = True) -> str: ...
    def format_lines(self, details: bool | dict[str, Any] = True) -> list[str]: ...

class assert_switches:
    hub: Hub | None
    tracer: Any
    max_blocking_time: float | None
    hub_only: bool
    def __init__(self, max_blocking_time: float | None = None, hub_only: bool = False) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, t: type[BaseException] | None, v: BaseException | None, tb: TracebackType | None) -> None: ...

def clear_stack_frames(frame: FrameType | None) -> None: ...
