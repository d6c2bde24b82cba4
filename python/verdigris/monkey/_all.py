"""patch_all: what, in which order, and who is told."""

from __future__ import annotations

from verdigris import events
from verdigris.monkey import _modules, _threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SETTINGS = "_gevent_saved_patch_all_module_settings"


def patch_all(
    socket: bool = True,
    dns: bool = True,
    time: bool = True,
    select: bool = True,
    thread: bool = True,
    os: bool = True,
    ssl: bool = True,
    subprocess: bool = True,
    sys: bool = False,
    aggressive: bool = True,
    Event: bool = True,
    builtins: bool = True,
    signal: bool = True,
    queue: bool = True,
    contextvars: bool = True,
    **kwargs: Any,
) -> bool | None:
    """Patches all of the standard library that blocks, apart from what is switched off by name.

    `kwargs` reach the subscribers of `verdigris.events`. Calling it again with the same arguments does nothing; with
    others, it warns and patches what is new.

    Returns True, None if there was nothing to do, False if a subscriber prevented it.
    """
    settings = dict(locals())
    del settings["kwargs"]
    from verdigris import monkey

    warnings = []
    first_time, settings = _check_repatching(settings, warnings)
    if not settings:
        monkey._process_warnings(warnings)
        return None

    event = events.GeventWillPatchAllEvent(settings, kwargs)
    try:
        _subscribe_signal_os(event, warnings)
        events.notify_and_call_entry_points(event)
    except events.DoNotPatch:
        monkey._process_warnings(warnings)
        return False

    if settings["os"]:
        _modules.patch_os()
    if settings["thread"]:
        _threading.patch_thread(Event=settings["Event"], _warnings=warnings)
    if settings["time"]:
        _modules.patch_time()
    if settings["sys"]:
        _modules.patch_sys()
    if settings["socket"]:
        _modules.patch_socket(dns=settings["dns"], aggressive=settings["aggressive"])
    if settings["select"]:
        _modules.patch_select(aggressive=settings["aggressive"])
    if settings["ssl"]:
        _modules.patch_ssl(_warnings=warnings, _first_time=first_time)
    if settings["subprocess"]:
        _modules.patch_subprocess()
    if settings["builtins"]:
        _modules.patch_builtins()
    if settings["signal"]:
        _modules.patch_signal()
    if settings["queue"]:
        _modules.patch_queue()
    if settings["contextvars"]:
        _modules.patch_contextvars()

    for kind in (events.GeventDidPatchBuiltinModulesEvent, events.GeventDidPatchAllEvent):
        events.notify_and_call_entry_points(kind(settings, kwargs))
    monkey._process_warnings(warnings)
    return True


def _check_repatching(settings, warnings):
    """-> (whether this is the first time, the settings to patch by: what was asked for now and before; None if nothing
    is new)"""
    from verdigris import monkey

    before = monkey.saved.get(_SETTINGS)
    if before is None:
        monkey.saved[_SETTINGS] = settings
        return True, settings
    union = {name: value or before.get(name, False) for name, value in settings.items()}
    if settings != before:
        warnings.append(
            "patch_all() called more than once with different arguments: what is patched is the union of them all"
        )
    if union == before:
        return False, None
    monkey.saved[_SETTINGS] = union
    return False, union


def _subscribe_signal_os(will_patch_all, warnings=None):
    """Patching signal without os leaves handlers of SIGCHLD that are never called."""
    if will_patch_all.will_patch_module("signal") and not will_patch_all.will_patch_module("os"):
        warnings = [] if warnings is None else warnings
        warnings.append(
            "Patching signal but not os will result in SIGCHLD handlers that are not called, because it is os.fork and"
            " os.waitpid that know when a child ends"
        )
