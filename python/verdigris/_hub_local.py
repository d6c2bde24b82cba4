"""The hub of this thread, and the class that new hubs are made of (gevent._hub_local)."""

from __future__ import annotations

from verdigris._core import get_hub, get_hub_if_exists, set_hub

TYPE_CHECKING = False
if TYPE_CHECKING:
    from verdigris._core import HubBase, loop

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

_default_class = None


def get_hub_class() -> type[HubBase]:
    """The class that `get_hub()` makes the next hub of, in any thread; Rust asks for it."""
    if _default_class is None:
        from verdigris.hub import Hub

        return Hub
    return _default_class


def set_default_hub_class(hubtype: type[HubBase]) -> None:
    """Makes the hubs of the future objects of another class."""
    global _default_class
    _default_class = hubtype


def get_loop() -> loop | None:
    """The loop of this thread's hub; None if the thread has no hub."""
    hub = get_hub_if_exists()
    return hub.loop if hub is not None else None


def set_loop(loop):
    """Gives this thread's hub another loop."""
    get_hub().loop = loop


def goes_on():
    """Called by a greenlet whose wait has ended, in a thread with a trace function: that sees a call and a return.

    What waits is compiled, so nothing else would tell that it is another greenlet's lines that come next; coverage.py asks who runs when
    a function is called or returns, and took the lines after a wait for the greenlet's that ran before.
    """
