"""Exceptions that belong to no one module (gevent.exceptions); Rust raises them through `names.rs`."""

from __future__ import annotations

from verdigris._core import GreenletExit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from verdigris.hub import Hub

__all__ = ["LoopExit"]


class LoopExit(Exception):
    """The hub has nothing left to wait for, while a greenlet waits for it: nothing could ever wake that greenlet.

    `args` are the message, the hub and its handles.
    """

    @property
    def hub(self) -> Hub | None:
        """The hub that gave up; None if it is not known."""
        return self.args[1] if len(self.args) == 3 else None

    def __repr__(self) -> str:
        if len(self.args) != 3:
            return super().__repr__()
        from pprint import pformat

        message, hub, handles = self.args
        return f"{message}\n\tHub: {hub}\n\tHandles:\n{pformat(handles)}"

    def __str__(self) -> str:
        return repr(self)


class BlockingSwitchOutError(AssertionError):
    """A callback of the loop called something that waits: only greenlets can wait, callbacks run in the hub."""


class InvalidSwitchError(AssertionError):
    """The hub was made to switch to something that is not waiting for it."""


class ConcurrentObjectUseError(AssertionError):
    """An object that serves one greenlet at a time was used by a second one."""


class InvalidThreadUseError(RuntimeError):
    """An object was used by another thread than the one it belongs to."""


class HubDestroyed(GreenletExit):
    """Thrown into the hub to end it; `destroy_loop` says whether the loop goes, too."""

    def __init__(self, destroy_loop: bool | None) -> None:
        super().__init__(destroy_loop)
        self.destroy_loop = destroy_loop
