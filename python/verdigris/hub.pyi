"""The types of `hub.py`."""

from collections.abc import Callable
from signal import Signals
from types import TracebackType
from typing import Any, Generic, Protocol, TextIO, TypeAlias, TypeVar

from typing_extensions import ParamSpec

from verdigris._core import (
    GreenletExit,
    HubBase,
    Timeout,
    Waiter,
    callback,
    get_hub,
    get_hub_if_exists,
    getcurrent,
    greenlet,
    iwait,
    loop,
    sleep,
    wait,
    watcher,
)
from verdigris._core import (
    set_hub as set_hub,
)
from verdigris._core import signal as _SignalWatcher
from verdigris._hub_local import get_hub_class as get_hub_class
from verdigris._hub_local import set_default_hub_class as set_default_hub_class
from verdigris._ident import IdentRegistry
from verdigris._monitor import PeriodicMonitoringThread
from verdigris.greenlet import Greenlet
from verdigris.resolver import AbstractResolver
from verdigris.threadpool import ThreadPool

__all__ = [
    "Hub",
    "Waiter",
    "get_hub",
    "getcurrent",
    "GreenletExit",
    "idle",
    "iwait",
    "kill",
    "reinit",
    "signal",
    "sleep",
    "spawn_raw",
    "wait",
]

RawGreenlet: TypeAlias = greenlet

_Arguments = ParamSpec("_Arguments")

MAIN_THREAD_IDENT: int
hub_ident_registry: IdentRegistry
_get_hub = get_hub_if_exists

class TrackedRawGreenlet(RawGreenlet):
    spawning_greenlet: Any
    spawn_tree_locals: dict[str, Any]
    def __init__(self, function: Callable[..., object], parent: RawGreenlet) -> None: ...

def spawn_raw(
    function: Callable[_Arguments, object], *args: _Arguments.args, **kwargs: _Arguments.kwargs
) -> RawGreenlet: ...
def idle(priority: int = 0) -> None: ...
def kill(greenlet: RawGreenlet, exception: BaseException | type[BaseException] = ...) -> None: ...
def reinit(hub: Hub | None = None) -> None: ...

class signal(Generic[_Arguments]):
    greenlet_class: type[Greenlet[..., Any]] | None
    hub: Hub | None
    watcher: _SignalWatcher | None
    handler: Callable[_Arguments, object] | None
    args: tuple[Any, ...] | None
    kwargs: dict[str, Any] | None
    ref: bool
    def __init__(
        self,
        signalnum: int,
        handler: Callable[_Arguments, object],
        *args: _Arguments.args,
        **kwargs: _Arguments.kwargs,
    ) -> None: ...
    def cancel(self) -> None: ...
    def handle(self) -> None: ...

class Hub(HubBase):
    SYSTEM_ERROR: tuple[type[BaseException], ...]
    NOT_ERROR: tuple[type[BaseException], ...]
    threadpool_size: int
    periodic_monitoring_thread: PeriodicMonitoringThread | None
    thread_ident: int
    minimal_ident: int
    name: str
    resolver: AbstractResolver
    threadpool: ThreadPool
    format_context: Callable[[Any], str]
    exception_stream: TextIO | None
    _threadpool: ThreadPool | None
    def __init__(self, loop: loop | str | int | None = None, default: bool | None = None) -> None: ...
    @property
    def ident_registry(self) -> IdentRegistry: ...
    @property
    def loop_class(self) -> Callable[..., loop]: ...
    @property
    def backend(self) -> Any: ...
    @property
    def resolver_class(self) -> Callable[..., AbstractResolver]: ...
    @property
    def threadpool_class(self) -> Callable[..., ThreadPool]: ...
    @property
    def main_hub(self) -> bool: ...
    def handle_error(
        self, context: Any, type: type[BaseException], value: BaseException | None, tb: TracebackType | None
    ) -> None: ...
    def handle_system_error(
        self, type: type[BaseException], value: BaseException | None, tb: TracebackType | None = None
    ) -> None: ...
    def print_exception(
        self, context: Any, t: type[BaseException], v: BaseException | None, tb: TracebackType | None
    ) -> None: ...
    def run(self) -> None: ...
    def start_periodic_monitoring_thread(self) -> PeriodicMonitoringThread | None: ...
    def join(self, timeout: float | None = None) -> bool: ...
    def destroy(self, destroy_loop: bool | None = None) -> None: ...
    def cancel_wait(
        self,
        watcher: watcher | None,
        error: BaseException | type[BaseException],
        close_watcher: bool = False,
    ) -> None: ...
    def cancel_waits_close_and_then(
        self,
        watchers: Any,
        exc_kind: BaseException | type[BaseException],
        then: Callable[..., object],
        *then_args: Any,
    ) -> None: ...
