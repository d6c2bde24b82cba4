"""The types of `api.py`."""

from collections.abc import Iterable
from types import ModuleType
from typing import Any, overload

__all__ = ["get_original", "patch_item", "patch_module", "remove_item"]

# What another module has by a name: of any type.
@overload
def get_original(mod_name: str, item_name: str) -> Any: ...
@overload
def get_original(mod_name: str, item_name: Iterable[str]) -> list[Any]: ...
def patch_item(module: ModuleType, attr: str, newitem: object) -> None: ...
def remove_item(module: ModuleType, attr: str) -> None: ...
def patch_module(
    target_module: ModuleType,
    source_module: ModuleType,
    items: Iterable[str] | None = None,
    _warnings: list[str] | None = None,
    _patch_kwargs: dict[str, Any] | None = None,
    _notify_will_subscribers: bool = True,
    _notify_did_subscribers: bool = True,
    _call_hooks: bool = True,
) -> bool: ...

class PatchRequest:
    target_module: ModuleType
    source_module: ModuleType
    items: Iterable[str]
    patch_kwargs: dict[str, Any]
    @overload
    @staticmethod
    def get_original(mod_name: str, item_name: str) -> Any: ...
    @overload
    @staticmethod
    def get_original(mod_name: str, item_name: Iterable[str]) -> list[Any]: ...
    def __init__(
        self,
        target_module: ModuleType,
        source_module: ModuleType,
        items: Iterable[str],
        patch_kwargs: dict[str, Any] | None,
    ) -> None: ...
    @property
    def module_name(self) -> str: ...
    def default_patch_items(self) -> None: ...
    def remove_item(self, target_module: ModuleType | str, *items: str) -> None: ...
