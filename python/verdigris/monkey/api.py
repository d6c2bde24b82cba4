"""Replacing names in modules, and remembering what was there (gevent.monkey.api)."""

from __future__ import annotations

import importlib
import sys

from verdigris import events
from verdigris._util import readproperty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType
    from typing import Any

__all__ = ["get_original", "patch_item", "patch_module", "remove_item"]

_MISSING = object()


def _saved():
    """`monkey.saved`: {module name: {name: what was there}}. Looked up each time, because programs may assign it."""
    return sys.modules["verdigris.monkey"].saved


def get_original(mod_name: str, item_name: str | Iterable[str]) -> Any:
    """What a name of a module was before it was patched (and is, if it was not); for a list of names, a list."""
    if isinstance(item_name, str):
        return _get_original(mod_name, item_name)
    return [_get_original(mod_name, name) for name in item_name]


def _get_original(module_name, name):
    originals = _saved().get(module_name, {})
    if name in originals:
        return originals[name]
    return getattr(importlib.import_module(module_name), name)


def patch_item(module: ModuleType, attr: str, newitem: object) -> None:
    """Sets an attribute of a module; what was there first is what `get_original` gives from now on."""
    old = getattr(module, attr, _MISSING)
    if old is not _MISSING:
        _saved().setdefault(module.__name__, {}).setdefault(attr, old)
    setattr(module, attr, newitem)


def remove_item(module: ModuleType, attr: str) -> None:
    """Takes an attribute from a module, if it has it."""
    old = getattr(module, attr, _MISSING)
    if old is not _MISSING:
        _saved().setdefault(module.__name__, {}).setdefault(attr, old)
        delattr(module, attr)


def patch_module(
    target_module: ModuleType,
    source_module: ModuleType,
    items: list[str] | None = None,
    _warnings: list[str] | None = None,
    _patch_kwargs: dict[str, Any] | None = None,
    _notify_will_subscribers: bool = True,
    _notify_did_subscribers: bool = True,
    _call_hooks: bool = True,
) -> bool:
    """Replaces names of the target module by the source module's; returns whether it did.

    Which ones is said by `items`, else by the source's `__implements__`. A source module may have functions

        _gevent_will_monkey_patch(target_module, items, warn, **kwargs)     before; it may change items
        _gevent_do_monkey_patch(request)                                    in place of the plain replacing
        _gevent_did_monkey_patch(target_module, items, warn, **kwargs)      after

    where `warn` takes a text for the user and `request` is a `PatchRequest`. The first of them, and subscribers to
    `events.GeventWillPatchModuleEvent`, prevent it all by raising `events.DoNotPatch`.
    """
    from verdigris import monkey

    items = monkey._implements(source_module) if items is None else items
    kwargs = _patch_kwargs or {}
    warnings = [] if _warnings is None else _warnings

    def hook(name, *arguments, **keywords):
        function = getattr(source_module, name, None) if _call_hooks else None
        return function is not None and (function(*arguments, **keywords), True)[1]

    name = source_module.__name__.rpartition("verdigris.")[2].rpartition("gevent.")[2]
    try:
        hook("_gevent_will_monkey_patch", target_module, items, warnings.append, **kwargs)
        if _notify_will_subscribers:
            events.notify_and_call_entry_points(
                events.GeventWillPatchModuleEvent(target_module.__name__, source_module, target_module, items)
            )
    except events.DoNotPatch:
        return False

    request = PatchRequest(target_module, source_module, items, kwargs)
    if not hook("_gevent_do_monkey_patch", request):
        request.default_patch_items()

    hook("_gevent_did_monkey_patch", target_module, items, warnings.append, **kwargs)
    if _notify_did_subscribers:
        events.notify_and_call_entry_points(events.GeventDidPatchModuleEvent(name, source_module, target_module))
    if _warnings is None:
        monkey._process_warnings(warnings)
    return True


class PatchRequest:
    """What a source module's `_gevent_do_monkey_patch` is given."""

    get_original = staticmethod(get_original)

    def __init__(
        self,
        target_module: ModuleType,
        source_module: ModuleType,
        items: list[str],
        patch_kwargs: dict[str, Any] | None,
    ) -> None:
        self.target_module = target_module
        self.source_module = source_module
        self.items = items
        self.patch_kwargs = patch_kwargs or {}

    @readproperty
    def module_name(self):
        return self.target_module.__name__

    def default_patch_items(self) -> None:
        """Replaces the items."""
        for name in self.items:
            patch_item(self.target_module, name, getattr(self.source_module, name))

    def remove_item(self, target_module: ModuleType | str, *items: str) -> None:
        """Takes names from a module."""
        if isinstance(target_module, str):
            items = (target_module, *items)
            target_module = self.target_module
        for name in items:
            remove_item(target_module, name)
