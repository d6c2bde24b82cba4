"""The types of `events.py`. The interfaces are zope's where that is installed: of any type here."""

from collections.abc import Callable
from types import ModuleType
from typing import Any, ClassVar

from verdigris._core import greenlet as _RawGreenlet
from verdigris._monitor import PeriodicMonitoringThread
from verdigris.hub import Hub

__all__ = [
    "subscribers",
    "IEventLoopBlocked",
    "EventLoopBlocked",
    "IMemoryUsageThresholdExceeded",
    "MemoryUsageThresholdExceeded",
    "IMemoryUsageUnderThreshold",
    "MemoryUsageUnderThreshold",
    "IPeriodicMonitorThread",
    "IPeriodicMonitorThreadStartedEvent",
    "PeriodicMonitorThreadStartedEvent",
    "IGeventPatchEvent",
    "GeventPatchEvent",
    "IGeventWillPatchEvent",
    "DoNotPatch",
    "GeventWillPatchEvent",
    "IGeventDidPatchEvent",
    "IGeventWillPatchModuleEvent",
    "GeventWillPatchModuleEvent",
    "IGeventDidPatchModuleEvent",
    "GeventDidPatchModuleEvent",
    "IGeventWillPatchAllEvent",
    "GeventWillPatchAllEvent",
    "IGeventDidPatchBuiltinModulesEvent",
    "GeventDidPatchBuiltinModulesEvent",
    "IGeventDidPatchAllEvent",
    "GeventDidPatchAllEvent",
]

subscribers: list[Callable[[Any], object]]

def notify(event: Any) -> None: ...
def notify_and_call_entry_points(event: Any) -> None: ...

IPeriodicMonitorThread: Any
IPeriodicMonitorThreadStartedEvent: Any
IEventLoopBlocked: Any
IMemoryUsageThresholdExceeded: Any
IMemoryUsageUnderThreshold: Any
IGeventPatchEvent: Any
IGeventWillPatchEvent: Any
IGeventDidPatchEvent: Any
IGeventWillPatchModuleEvent: Any
IGeventDidPatchModuleEvent: Any
IGeventWillPatchAllEvent: Any
IGeventDidPatchBuiltinModulesEvent: Any
IGeventDidPatchAllEvent: Any

class DoNotPatch(BaseException): ...

class PeriodicMonitorThreadStartedEvent:
    ENTRY_POINT_NAME: ClassVar[str]
    monitor: PeriodicMonitoringThread
    def __init__(self, monitor: PeriodicMonitoringThread) -> None: ...

class EventLoopBlocked:
    greenlet: _RawGreenlet
    blocking_time: float
    info: list[str]
    hub: Hub | None
    def __init__(
        self, greenlet: _RawGreenlet, blocking_time: float, info: list[str], *, hub: Hub | None = None
    ) -> None: ...

class _MemoryEvent:
    mem_usage: int
    max_allowed: int
    # What psutil says.
    memory_info: Any
    def __init__(self, mem_usage: int, max_allowed: int, memory_info: Any) -> None: ...

class MemoryUsageThresholdExceeded(_MemoryEvent): ...

class MemoryUsageUnderThreshold(_MemoryEvent):
    max_memory_usage: int
    def __init__(self, mem_usage: int, max_allowed: int, memory_info: Any, max_usage: int) -> None: ...

class GeventPatchEvent:
    source: Any
    target: Any
    def __init__(self, source: Any, target: Any) -> None: ...

class GeventWillPatchEvent(GeventPatchEvent): ...
class GeventDidPatchEvent(GeventPatchEvent): ...

class GeventWillPatchModuleEvent(GeventWillPatchEvent):
    ENTRY_POINT_NAME: ClassVar[str]
    module_name: str
    target_item_names: list[str]
    def __init__(self, module_name: str, source: ModuleType, target: ModuleType, items: list[str]) -> None: ...

class GeventDidPatchModuleEvent(GeventDidPatchEvent):
    ENTRY_POINT_NAME: ClassVar[str]
    module_name: str
    def __init__(self, module_name: str, source: ModuleType, target: ModuleType) -> None: ...

class _PatchAll:
    def __init__(self, patch_all_arguments: dict[str, bool], patch_all_kwargs: dict[str, Any]) -> None: ...
    @property
    def patch_all_arguments(self) -> dict[str, bool]: ...
    @property
    def patch_all_kwargs(self) -> dict[str, Any]: ...

class GeventWillPatchAllEvent(_PatchAll, GeventWillPatchEvent):
    ENTRY_POINT_NAME: ClassVar[str]
    def will_patch_module(self, module_name: str) -> bool | None: ...

class GeventDidPatchBuiltinModulesEvent(_PatchAll, GeventDidPatchEvent):
    ENTRY_POINT_NAME: ClassVar[str]

class GeventDidPatchAllEvent(_PatchAll, GeventDidPatchEvent):
    ENTRY_POINT_NAME: ClassVar[str]
