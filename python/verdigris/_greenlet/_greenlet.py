"""The module that answers to the name `greenlet._greenlet`: what the genuine one has in its extension module.

Most of it exists for genuine greenlet's own tests. What concerns stack slices and deferred clean-up has nothing to report here: stacks stay
where they are, and what a dead thread leaves behind is freed at once.
"""

from verdigris._core import (
    _C_API,
    GreenletExit,
    error,
    get_total_main_greenlets,
    get_tstate_trash_delete_nesting,
    getcurrent,
    gettrace,
    greenlet,
    settrace,
)

CLOCKS_PER_SEC = 1_000_000
GREENLET_USE_CONTEXT_VARS = True
GREENLET_USE_GC = True
GREENLET_USE_STANDARD_THREADING = True
GREENLET_USE_TRACING = True

_optional_cleanup = True


def enable_optional_cleanup(enabled, /):
    """Accepts whether frames of greenlets whose thread has ended are searched for; there is nothing to search."""
    global _optional_cleanup
    _optional_cleanup = bool(enabled)


def get_clocks_used_doing_optional_cleanup():
    """The clock ticks spent on it: none."""
    return 0


def get_pending_cleanup_count():
    """How many ended threads still have to be cleaned up after: none, that is done when they end."""
    return 0
