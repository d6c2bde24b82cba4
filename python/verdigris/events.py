"""What programs may listen to: patching, and what the monitor thread finds (gevent.events).

    subscribers.append(function)         function(event) for every event, in order
    an entry point in a group of the     the same for events that name a group (`ENTRY_POINT_NAME`), after the subscribers
    name that the event's class gives

`subscribers` and `notify` are those of zope.event where it is installed, so that whoever listens there hears us.
"""

from __future__ import annotations

from verdigris._interfaces import Attribute, Interface, implementer

try:
    from zope.event import notify, subscribers
except ImportError:
    subscribers: list[Callable[[Any], object]] = []

    def notify(event: Any) -> None:
        """Calls every subscriber with the event."""
        for subscriber in subscribers:
            subscriber(event)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from verdigris._core import greenlet as RawGreenlet
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


def notify_and_call_entry_points(event: Any) -> None:
    """Tells the subscribers, then what installed distributions have registered for this kind of event."""
    notify(event)
    for function in _entry_points(event.ENTRY_POINT_NAME):
        function(event)


_entry_points_found = {}


def _entry_points(group):
    """The functions of a group of entry points; distributions are looked through once."""
    if group not in _entry_points_found:
        found = _entry_points_found[group] = []
        if _anything_registered():
            from importlib.metadata import entry_points

            found.extend(point.load() for point in entry_points(group=group) if not point.value.startswith("gevent."))
    return _entry_points_found[group]


def _anything_registered():
    """Whether any distribution has an entry point for us. importlib.metadata costs more to import than everything else
    here, and nearly nobody has one; so the files are looked at first."""
    import os
    import sys

    if "importlib.metadata" in sys.modules:
        return True
    for folder in sys.path:
        try:
            with os.scandir(folder or ".") as entries:
                candidates = [entry.path for entry in entries if entry.name.endswith((".dist-info", ".egg-info"))]
        except OSError:
            if os.path.isfile(folder):
                return True  # a zip file: leave it to those who can read it
            continue
        for candidate in candidates:
            try:
                with open(os.path.join(candidate, "entry_points.txt"), "rb") as file:
                    if b"gevent.plugins." in file.read():
                        return True
            except OSError:
                pass
    return False


class IPeriodicMonitorThread(Interface):
    """The thread that watches a hub."""

    def add_monitoring_function(function, period):
        """Has function(hub) called every so many seconds by that thread; a period of None ends it."""


class IPeriodicMonitorThreadStartedEvent(Interface):
    """The monitor thread of a hub has started."""

    monitor = Attribute("The IPeriodicMonitorThread.")


@implementer(IPeriodicMonitorThreadStartedEvent)
class PeriodicMonitorThreadStartedEvent:
    """Sent when a hub's monitor thread has started: the time to add functions to it."""

    ENTRY_POINT_NAME = "gevent.plugins.hub.periodic_monitor_thread_started"

    def __init__(self, monitor: PeriodicMonitoringThread) -> None:
        self.monitor = monitor


class IEventLoopBlocked(Interface):
    """The loop did not get its turn for longer than allowed."""

    greenlet = Attribute("The greenlet that did not switch.")
    blocking_time = Attribute("For how long, in seconds, about.")
    info = Attribute("Lines of text about it.")
    hub = Attribute("The hub of the loop; may be None.")


@implementer(IEventLoopBlocked)
class EventLoopBlocked:
    """Sent by the monitor thread (in that thread) when a greenlet runs for too long."""

    def __init__(self, greenlet: RawGreenlet, blocking_time: float, info: list[str], *, hub: Hub | None = None) -> None:
        self.greenlet = greenlet
        self.blocking_time = blocking_time
        self.info = info
        self.hub = hub


class IMemoryUsageThresholdExceeded(Interface):
    """The process uses more memory than allowed."""

    mem_usage = Attribute("What it uses, in bytes.")
    max_allowed = Attribute("What it may use, in bytes.")
    memory_info = Attribute("What psutil says about it.")


class _MemoryEvent:
    def __init__(self, mem_usage: int, max_allowed: int, memory_info: Any) -> None:
        self.mem_usage = mem_usage
        self.max_allowed = max_allowed
        self.memory_info = memory_info

    def __repr__(self):
        return f"<{type(self).__name__} used={self.mem_usage} max={self.max_allowed} details={self.memory_info}>"


@implementer(IMemoryUsageThresholdExceeded)
class MemoryUsageThresholdExceeded(_MemoryEvent):
    """Sent by the monitor thread when the limit is passed."""


class IMemoryUsageUnderThreshold(Interface):
    """The process uses less memory than allowed, after it has used more."""

    mem_usage = Attribute("What it uses, in bytes.")
    max_allowed = Attribute("What it may use, in bytes.")
    max_memory_usage = Attribute("The most it has used in between, in bytes.")
    memory_info = Attribute("What psutil says about it.")


@implementer(IMemoryUsageUnderThreshold)
class MemoryUsageUnderThreshold(_MemoryEvent):
    """Sent by the monitor thread when the limit is kept again."""

    def __init__(self, mem_usage: int, max_allowed: int, memory_info: Any, max_usage: int) -> None:
        super().__init__(mem_usage, max_allowed, memory_info)
        self.max_memory_usage = max_usage


class IGeventPatchEvent(Interface):
    """Patching: something of target is replaced by something of source."""

    source = Attribute("The module that has the replacements; may be None.")
    target = Attribute("The module that is changed; may be None.")


@implementer(IGeventPatchEvent)
class GeventPatchEvent:
    """The base of all patch events."""

    def __init__(self, source: ModuleType | None, target: ModuleType | None) -> None:
        self.source = source
        self.target = target

    def __repr__(self):
        return f"<{type(self).__name__} source={self.source!r} target={self.target!r} at {id(self):x}>"


class IGeventWillPatchEvent(IGeventPatchEvent):
    """Sent before. A subscriber that raises DoNotPatch prevents it."""


class DoNotPatch(BaseException):
    """Raised by a subscriber to an IGeventWillPatchEvent: do not."""


@implementer(IGeventWillPatchEvent)
class GeventWillPatchEvent(GeventPatchEvent):
    """Sent before."""


class IGeventDidPatchEvent(IGeventPatchEvent):
    """Sent after."""


@implementer(IGeventDidPatchEvent)
class GeventDidPatchEvent(GeventPatchEvent):
    """Sent after."""


class IGeventWillPatchModuleEvent(IGeventWillPatchEvent):
    """Sent before a module is patched."""

    module_name = Attribute("Its name.")
    target_item_names = Attribute("The names that will be replaced: a list that subscribers may change.")


@implementer(IGeventWillPatchModuleEvent)
class GeventWillPatchModuleEvent(GeventWillPatchEvent):
    """Sent before a module is patched."""

    ENTRY_POINT_NAME = "gevent.plugins.monkey.will_patch_module"

    def __init__(self, module_name: str, source: ModuleType, target: ModuleType, items: list[str]) -> None:
        super().__init__(source, target)
        self.module_name = module_name
        self.target_item_names = items


class IGeventDidPatchModuleEvent(IGeventDidPatchEvent):
    """Sent after a module was patched."""

    module_name = Attribute("Its name.")


@implementer(IGeventDidPatchModuleEvent)
class GeventDidPatchModuleEvent(GeventDidPatchEvent):
    """Sent after a module was patched."""

    ENTRY_POINT_NAME = "gevent.plugins.monkey.did_patch_module"

    def __init__(self, module_name: str, source: ModuleType, target: ModuleType) -> None:
        super().__init__(source, target)
        self.module_name = module_name


class IGeventWillPatchAllEvent(IGeventWillPatchEvent):
    """Sent before patch_all() does anything."""

    patch_all_arguments = Attribute("What patch_all() was told, by name: a copy.")
    patch_all_kwargs = Attribute("What it was told beyond its own arguments: a copy.")

    def will_patch_module(module_name):
        """Whether that module is among those to be patched."""


class _PatchAll:
    def __init__(self, patch_all_arguments, patch_all_kwargs):
        super().__init__(None, None)
        self._patch_all_arguments = patch_all_arguments
        self._patch_all_kwargs = patch_all_kwargs

    @property
    def patch_all_arguments(self) -> dict[str, bool]:
        return self._patch_all_arguments.copy()

    @property
    def patch_all_kwargs(self) -> dict[str, Any]:
        return self._patch_all_kwargs.copy()

    def __repr__(self):
        return f"<{type(self).__name__} {self._patch_all_arguments!r} at {id(self):x}>"


@implementer(IGeventWillPatchAllEvent)
class GeventWillPatchAllEvent(_PatchAll, GeventWillPatchEvent):
    """Sent before patch_all() does anything."""

    ENTRY_POINT_NAME = "gevent.plugins.monkey.will_patch_all"

    def will_patch_module(self, module_name: str) -> bool | None:
        return self._patch_all_arguments.get(module_name)


class IGeventDidPatchBuiltinModulesEvent(IGeventDidPatchEvent):
    """Sent when patch_all() is through with the standard library: the time to patch more."""

    patch_all_arguments = Attribute("What patch_all() was told, by name: a copy.")
    patch_all_kwargs = Attribute("What it was told beyond its own arguments: a copy.")


@implementer(IGeventDidPatchBuiltinModulesEvent)
class GeventDidPatchBuiltinModulesEvent(_PatchAll, GeventDidPatchEvent):
    """Sent when patch_all() is through with the standard library."""

    ENTRY_POINT_NAME = "gevent.plugins.monkey.did_patch_builtins"


class IGeventDidPatchAllEvent(IGeventDidPatchEvent):
    """Sent when patch_all() is through, subscribers to the event before included."""


@implementer(IGeventDidPatchAllEvent)
class GeventDidPatchAllEvent(_PatchAll, GeventDidPatchEvent):
    """Sent when patch_all() is through."""

    ENTRY_POINT_NAME = "gevent.plugins.monkey.did_patch_all"
