"""The types of `__init__.py`."""

from collections.abc import Iterable
from types import ModuleType
from typing import Any, overload

from verdigris.monkey.api import get_original, patch_module
from verdigris.monkey.api import patch_item as patch_item
from verdigris.monkey.api import remove_item as remove_item

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

WIN: bool
PY314: bool
saved: dict[str, dict[str, Any]]

class MonkeyPatchWarning(RuntimeWarning): ...

def is_module_patched(mod_name: str) -> bool: ...
def is_object_patched(mod_name: str, item_name: str) -> bool: ...
def is_anything_patched() -> bool: ...
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
) -> bool | None: ...
def patch_builtins() -> None: ...
def patch_contextvars() -> None: ...
def patch_dns() -> None: ...
def patch_os() -> None: ...
def patch_queue() -> None: ...
def patch_select(aggressive: bool = True) -> None: ...
def patch_selectors(aggressive: bool = True) -> None: ...
def patch_signal() -> None: ...
def patch_socket(dns: bool = True, aggressive: bool = True) -> None: ...
def patch_ssl(_warnings: list[str] | None = None, _first_time: bool = True) -> None: ...
def patch_subprocess() -> None: ...
def patch_sys(stdin: bool = True, stdout: bool = True, stderr: bool = True) -> None: ...
def patch_thread(
    threading: bool = True,
    _threading_local: bool = True,
    Event: bool = True,
    logging: bool = True,
    existing_locks: bool = True,
    _warnings: list[str] | None = None,
) -> None: ...
def patch_time() -> None: ...
def main() -> Any: ...
def _implements(source_module: ModuleType) -> list[str]: ...
def _process_warnings(warnings: list[str]) -> None: ...
