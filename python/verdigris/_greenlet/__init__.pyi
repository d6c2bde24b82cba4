"""The types of `__init__.py`: what `import greenlet` gives while the door is open."""

from verdigris._core import _C_API, GreenletExit, error, getcurrent, gettrace, greenlet, settrace
from verdigris._greenlet import _greenlet as _greenlet

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

__version__: str
CLOCKS_PER_SEC: int
GREENLET_USE_CONTEXT_VARS: bool
GREENLET_USE_GC: bool
GREENLET_USE_STANDARD_THREADING: bool
GREENLET_USE_TRACING: bool

def get_include() -> str: ...
def enable_optional_cleanup(enabled: object, /) -> None: ...
def get_clocks_used_doing_optional_cleanup() -> int: ...
