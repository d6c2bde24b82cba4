"""The module that answers to the name `greenlet`.

Two stack switchers cannot share a thread, and much imports `greenlet` without gevent (SQLAlchemy, Playwright, debuggers): so
verdigris is that module, too. The greenlets themselves are in `verdigris._core`.
"""

import os

from verdigris._core import GreenletExit, error, getcurrent, gettrace, greenlet, settrace

# Names that genuine greenlet has without listing them.
from verdigris._greenlet import _greenlet
from verdigris._greenlet._greenlet import (
    _C_API,
    CLOCKS_PER_SEC,
    GREENLET_USE_CONTEXT_VARS,
    GREENLET_USE_GC,
    GREENLET_USE_STANDARD_THREADING,
    GREENLET_USE_TRACING,
    enable_optional_cleanup,
    get_clocks_used_doing_optional_cleanup,
)

__all__ = [
    "__version__",
    "_C_API",
    "GreenletExit",
    "error",
    "getcurrent",
    "greenlet",
    "gettrace",
    "settrace",
]

#: The release of genuine greenlet whose behaviour this is.
__version__ = "3.5.6"


def get_include() -> str:
    """The folder to give a C compiler (`-I`) for `#include <greenlet/greenlet.h>`."""
    return os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "include")
