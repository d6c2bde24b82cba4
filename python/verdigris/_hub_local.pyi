"""The types of `_hub_local.py`."""

from verdigris._core import HubBase, get_hub, get_hub_if_exists, loop, set_hub
from verdigris.hub import Hub

__all__ = [
    "get_hub",
    "get_hub_class",
    "get_hub_if_exists",
    "get_hub_noargs",
    "get_loop",
    "set_default_hub_class",
    "set_hub",
]

get_hub_noargs = get_hub

def get_hub_class() -> type[HubBase]: ...
def set_default_hub_class(hubtype: type[HubBase]) -> None: ...
def get_loop() -> loop | None: ...
def set_loop(loop: loop) -> None: ...
def goes_on() -> None: ...
