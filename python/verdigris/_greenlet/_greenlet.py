"""The module that answers to the name `greenlet._greenlet`: what the genuine one has in its extension module.

Most of it exists for programs that look into genuine greenlet, its own tests first. What concerns stack slices and deferred
clean-up has nothing to report: stacks stay where they are, and what an ended thread leaves behind is freed at once.
"""

import os

from verdigris import _core
from verdigris._core import (
    _C_API,
    GreenletExit,
    error,
    get_total_main_greenlets,
    get_tstate_trash_delete_nesting,
    getcurrent,
    gettrace,
    greenlet,
    set_thread_local,
    settrace,
)

CLOCKS_PER_SEC = 1_000_000
GREENLET_USE_CONTEXT_VARS = True
GREENLET_USE_GC = True
GREENLET_USE_STANDARD_THREADING = True
GREENLET_USE_TRACING = True

_optional_cleanup = True


def enable_optional_cleanup(enabled, /):
    """Whether what suspended greenlets hold is dropped when their thread ends, where it can be found (CPython 3.15 and later)."""
    global _optional_cleanup
    _optional_cleanup = bool(enabled)
    _core.enable_optional_cleanup(_optional_cleanup)


def get_clocks_used_doing_optional_cleanup():
    """The clock ticks spent on it: none. None while it is disabled."""
    return 0 if _optional_cleanup else None


def get_pending_cleanup_count():
    """How many ended threads still have to be cleaned up after: none, that is done when they end."""
    return 0


class UnswitchableGreenlet(greenlet):
    """A greenlet whose switch can be made to fail, for testing how a program takes it."""

    force_switch_error = False
    force_slp_switch_error = False

    def switch(self, *args, **kwargs):
        if self.force_slp_switch_error:
            os.abort()
        if self.force_switch_error:
            where = "a running greenlet." if self else "a greenlet for the first time."
            raise SystemError(f"Failed to switch stacks into {where}")
        return super().switch(*args, **kwargs)
