"""Makes the blocking functions of the standard library cooperative, in place (gevent.monkey).

    from verdigris import monkey
    monkey.patch_all()          as early as possible: what has been imported `from` a module keeps the blocking one

Or without touching a program: `verdigris run`, or `python -m verdigris.monkey` (gevent's way, see `_main.py`).

    api.py          replace a name, remember what was there
    _modules.py     one function for each module of the standard library
    _threading.py   what threads need beyond replaced names: objects that exist already
    _all.py         patch_all: what, in which order, who is told
"""

from __future__ import annotations

import sys as _sys

from verdigris.monkey import api

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "get_original",
    "is_module_patched",
    "is_object_patched",
    "main",
    "patch_all",
    "patch_builtins",
    "patch_dns",
    "patch_os",
    "patch_queue",
    "patch_select",
    "patch_signal",
    "patch_socket",
    "patch_ssl",
    "patch_subprocess",
    "patch_sys",
    "patch_thread",
    "patch_time",
    "patch_module",
    "MonkeyPatchWarning",
]

WIN = _sys.platform.startswith("win")
PY314 = _sys.version_info >= (3, 14)


class MonkeyPatchWarning(RuntimeWarning):
    """Patching came too late for something, or was asked for twice in different ways."""


class _BadImplements(AttributeError):
    """A module that is to patch another does not say what."""

    def __init__(self, module):
        super().__init__(f"Module {module!r} has a bad or missing value for __implements__")


# module name -> {name: what was there before}
saved: dict[str, dict[str, Any]] = {}


def is_module_patched(mod_name: str) -> bool:
    """Whether anything of a module has been replaced."""
    return mod_name in saved


def is_object_patched(mod_name: str, item_name: str) -> bool:
    """Whether a name of a module has been replaced."""
    return is_module_patched(mod_name) and item_name in saved[mod_name]


def is_anything_patched() -> bool:
    """Whether anything has been replaced anywhere."""
    return bool(saved)


def _implements(source_module):
    items = getattr(source_module, "__implements__", None)
    if items is None:
        raise _BadImplements(source_module)
    return list(items)


def _process_warnings(warnings):
    """Issues what has come up while patching, all at once: warning imports modules that may not be patched yet."""
    if warnings:
        from warnings import warn

        level = 2
        frame = _sys._getframe(1)
        while frame is not None and frame.f_globals.get("__package__") == __package__:
            level += 1
            frame = frame.f_back
        for text in warnings:
            warn(text, MonkeyPatchWarning, stacklevel=level)


get_original = api.get_original
patch_module = api.patch_module
patch_item = api.patch_item
remove_item = api.remove_item

from verdigris.monkey._all import _check_repatching, _subscribe_signal_os, patch_all  # noqa: E402
from verdigris.monkey._modules import (  # noqa: E402
    patch_builtins,
    patch_contextvars,
    patch_dns,
    patch_os,
    patch_queue,
    patch_select,
    patch_selectors,
    patch_signal,
    patch_socket,
    patch_ssl,
    patch_subprocess,
    patch_sys,
    patch_time,
)
from verdigris.monkey._threading import patch_thread  # noqa: E402


def main() -> Any:
    """The command line `python -m verdigris.monkey`."""
    from verdigris.monkey._main import main

    return main()
