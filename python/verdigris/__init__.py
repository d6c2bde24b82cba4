"""Green threads on their own stacks: gevent's names, in Rust.

Importing this package imports nothing else. A program that patches itself first must be able to say
`import verdigris` before anything of the standard library is in, so every name below is fetched when it is first
asked for. `verdigris.X` is gevent's module X; `install_as_gevent()` makes `import gevent` mean the same.
"""

__version__ = "0.1.0"

# name -> the module that defines it
_HOMES = {
    "Greenlet": "greenlet",
    "joinall": "greenlet",
    "killall": "greenlet",
    "Timeout": "timeout",
    "with_timeout": "timeout",
    "GreenletExit": "hub",
    "get_hub": "hub",
    "getcurrent": "hub",
    "idle": "hub",
    "iwait": "hub",
    "kill": "hub",
    "reinit": "hub",
    "signal_handler": "hub",
    "sleep": "hub",
    "spawn_raw": "hub",
    "wait": "hub",
    "fork": "os",
    "config": "_config",
    "install_as_gevent": "_doors",
    "get_include": "_greenlet",
}

# where it has another name there
_NAMES = {"signal_handler": "signal"}

__all__ = [
    *_HOMES,
    "getswitchinterval",
    "setswitchinterval",
    "spawn",
    "spawn_later",
]

# Modules that gevent's users reach as attributes after a plain `import gevent`.
_MODULES = frozenset(["event", "exceptions", "greenlet", "hub", "os", "timeout", "_config"])


def __getattr__(name):
    """Fetches a public name from its module, once."""
    if name in _HOMES:
        value = getattr(_submodule(_HOMES[name]), _NAMES.get(name, name))
    elif name in ("spawn", "spawn_later"):
        value = getattr(_submodule("greenlet").Greenlet, name)
    elif name in ("getswitchinterval", "setswitchinterval"):
        import sys

        value = getattr(sys, name)
    elif name in _MODULES:
        return _submodule(name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def _submodule(name):
    import importlib

    return importlib.import_module(f"{__name__}.{name}")


def __dir__():
    return sorted(set(globals()) | set(__all__))
