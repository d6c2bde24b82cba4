"""What answers to `import gevent` once the door is open (see `_doors`).

It is a module object of its own, because two things have to differ from `verdigris`: the version, which libraries compare with
gevent releases, and the name. Everything else is fetched from `verdigris` when it is first asked for.
"""

from collections import namedtuple as _namedtuple

import verdigris as _verdigris

__version__ = "26.9.0"

_version_info = _namedtuple("version_info", ("major", "minor", "micro", "releaselevel", "serial"))
#: A constant since gevent 20: programs compare `__version__` instead.
version_info = _version_info(20, 0, 0, "dev", 0)

__all__ = [name for name in _verdigris.__all__ if name != "install_as_gevent"]


def __getattr__(name):
    if name in __all__:
        value = globals()[name] = getattr(_verdigris, name)
        return value
    if name in _verdigris._MODULES:
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(set(globals()) | set(__all__))
