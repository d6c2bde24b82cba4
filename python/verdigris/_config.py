"""The settings: `verdigris.config`, one object, gevent's names.

A setting is read from its environment variable at its first use and fixed from then on, unless the program assigns it, which
checks the value. `VERDIGRIS_X` wins over gevent's `GEVENT_X`. All settings are in the table at the end of this file;
`python -m verdigris._config` prints them.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["config"]

_UNSET = object()


def validate_invalid(value):
    raise ValueError(f"Not a valid value: {value!r}")


def validate_anything(value):
    return value


_BOOLEANS = {
    "1": True,
    "on": True,
    "true": True,
    "yes": True,
    "0": False,
    "off": False,
    "false": False,
    "no": False,
    "": False,
}


def validate_bool(value):
    """What may stand for true and false in an environment variable."""
    if isinstance(value, str):
        try:
            return _BOOLEANS[value.strip().lower()]
        except KeyError:
            raise ValueError(
                f"Invalid boolean string: {value!r}; use one of {', '.join(filter(None, _BOOLEANS))}"
            ) from None
    return bool(value)


def _positive(number):
    def validate(value):
        value = number(value)
        if value <= 0:
            raise ValueError(f"Must be positive, not {value!r}")
        return value

    return validate


def _optional(validate):
    return lambda value: None if value is None or value == "" else validate(value)


_SIZES = {"gb": 1024**3, "mb": 1024**2, "kb": 1024, "b": 1}


def _byte_count(value):
    """A number of bytes, or text with one of the units kb, mb, gb."""
    if isinstance(value, str):
        text = value.strip().lower()
        for unit, factor in _SIZES.items():
            if text.endswith(unit):
                return _positive(int)(text[: -len(unit)]) * factor
    return _positive(int)(value)


def _list_of_words(value):
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    return value


class Setting:
    """One setting; its class says what it is, its instance holds the value."""

    name = None
    environment_key = None
    default = None
    validate = staticmethod(validate_invalid)
    value = _UNSET

    def get(self):
        if self.value is _UNSET:
            text = self._from_environment()
            self.value = self._default() if text is None else self.validate(text)
        return self.value

    def set(self, value):
        self.value = self.validate(value)

    def _default(self):
        return self.default

    def _from_environment(self):
        key = self.environment_key
        if not key:
            return None
        keys = [key.replace("GEVENT", "VERDIGRIS", 1), key] if key.startswith("GEVENT") else [key]
        return next((os.environ[key] for key in keys if os.environ.get(key)), None)


class ImportableSetting:
    """A mixin: the value is a class or function; it may be given as that, as 'package.module.name', as one of the short names,
    or as a list of these (separated by commas in the environment), of which the first that can be imported is taken."""

    default = ()
    shortname_map = {}

    def get_options(self):
        """-> {short name: what it stands for, or the error that importing it gives}"""
        options = {}
        for name in self.shortname_map:
            try:
                options[name] = self._import_one(name)
            except ImportError as error:
                options[name] = error
        return options

    def validate(self, value):
        return self._import_one_of(_list_of_words(value)) if isinstance(value, (str, list, tuple)) else value

    def _default(self):
        return self.validate(self.default)

    def _import_one_of(self, candidates):
        if not candidates:
            raise ImportError("Cannot import from empty list")
        for candidate in candidates[:-1]:
            try:
                return self._import_one(candidate)
            except ImportError:
                pass
        return self._import_one(candidates[-1])

    def _import_one(self, path):
        if not isinstance(path, str):
            return path
        module_name, dot, name = self.shortname_map.get(path, path).rpartition(".")
        if not dot or "/" in path:
            raise ImportError(
                f"Cannot import {path!r}. Required format: [package.]module.class."
                f" Or choose from {sorted(self.shortname_map)}"
            )
        if module_name == "gevent" or module_name.startswith("gevent."):
            module_name = "verdigris" + module_name[len("gevent") :]
        import importlib

        module = importlib.import_module(module_name)
        try:
            return getattr(module, name)
        except AttributeError:
            raise ImportError(f"Cannot import {name!r} from {module!r}") from None


class Config:
    """All settings, as attributes."""

    def __init__(self):
        self.settings = {name: kind() for name, kind in SETTINGS.items()}

    def __getattr__(self, name: str) -> Any:
        return self._find(name).get()

    def __setattr__(self, name, value):
        if name != "settings" and name in self.settings:
            self.set(name, value)
        else:
            super().__setattr__(name, value)

    def set(self, name: str, value: Any) -> None:
        self._find(name).set(value)

    def _find(self, name):
        settings = self.__dict__.get("settings", {})
        if name not in settings:
            raise AttributeError(f"No configuration setting for: {name!r}")
        return settings[name]

    def __dir__(self):
        return list(self.settings)

    def print_help(self) -> None:
        """Prints every setting: what it is for, its default and its environment variable."""
        for name, setting in self.settings.items():
            print(name)
            print(f"    {type(setting).__doc__}")
            print(f"    Default: {setting.default!r}")
            print(f"    Environment: {setting.environment_key}\n")


SETTINGS = {}


def _setting(class_name, name, key, default, validate, document, base=Setting, **more):
    attributes = dict(
        name=name, environment_key=key, default=default, validate=staticmethod(validate), __doc__=document, **more
    )
    attributes["__module__"] = __name__
    SETTINGS[name] = type(class_name, (base,), attributes)
    return SETTINGS[name]


def _importable(class_name, name, key, default, shortnames, document):
    SETTINGS[name] = type(
        class_name,
        (ImportableSetting, Setting),
        dict(
            name=name,
            environment_key=key,
            default=default,
            shortname_map=shortnames,
            __doc__=document,
            __module__=__name__,
        ),
    )
    return SETTINGS[name]


Resolver = _importable(
    "Resolver",
    "resolver",
    "GEVENT_RESOLVER",
    ["thread", "dnspython", "ares", "block"],
    {
        "thread": "verdigris.resolver.thread.Resolver",
        "dnspython": "verdigris.resolver.dnspython.Resolver",
        "ares": "verdigris.resolver.ares.Resolver",
        "block": "verdigris.resolver.blocking.Resolver",
    },
    "Looks up names: the class of `hub.resolver`.",
)
Threadpool = _importable(
    "Threadpool",
    "threadpool",
    "GEVENT_THREADPOOL",
    "verdigris.threadpool.ThreadPool",
    {},
    "The class of `hub.threadpool`.",
)
ThreadpoolIdleTaskTimeout = _setting(
    "ThreadpoolIdleTaskTimeout",
    "threadpool_idle_task_timeout",
    "GEVENT_THREADPOOL_IDLE_TASK_TIMEOUT",
    5.0,
    lambda value: -1 if float(value) == -1 else _positive(float)(value),
    "Seconds after which a thread of the hub's pool without work ends; -1: never.",
)
_LOOP = "verdigris.core.loop"
Loop = _importable(
    "Loop",
    "loop",
    "GEVENT_LOOP",
    [_LOOP],
    dict.fromkeys(("libev-cext", "libev-cffi", "libuv-cffi", "libuv"), _LOOP),
    "The class of `hub.loop`. There is one; gevent's names for its three stand for it.",
)
FormatContext = _importable(
    "FormatContext",
    "format_context",
    "GEVENT_FORMAT_CONTEXT",
    "pprint.saferepr",
    {},
    "Turns the object that failed into text, when an error is reported.",
)


def _sweep_interval(value):
    off = ("", "0", "none", "off", "no", "false")
    return None if str(value or "").strip().lower() in off else _positive(float)(value)


class _SweeperSetting(Setting):
    """What the sweeper has to be told: when the program assigns it, and by each new hub, in case the environment says it."""

    def set(self, value):
        super().set(value)
        self.apply()

    def apply(self):
        from verdigris._core import set_stack_sweep_interval

        set_stack_sweep_interval(self.get())


StackSweepInterval = _setting(
    "StackSweepInterval",
    "stack_sweep_interval",
    "GEVENT_STACK_SWEEP_INTERVAL",
    5.0,
    _sweep_interval,
    "Seconds a greenlet is idle at least before the hub gives back the memory that its stack does not need; None (off): never.",
    base=_SweeperSetting,
)
LibevBackend = _setting(
    "LibevBackend",
    "libev_backend",
    "GEVENT_BACKEND",
    None,
    _optional(_list_of_words),
    "How the loop asks the system: epoll, poll, select, ...; None: the best there is.",
)
FileObject = _importable(
    "FileObject",
    "fileobject",
    "GEVENT_FILE",
    ["posix", "thread"],
    {
        "posix": "verdigris.fileobject.FileObjectPosix",
        "thread": "verdigris.fileobject.FileObjectThread",
        "block": "verdigris.fileobject.FileObjectBlock",
    },
    "The class behind `FileObject`.",
)
WatchChildren = _setting(
    "WatchChildren",
    "disable_watch_children",
    "GEVENT_NOWAITPID",
    False,
    validate_bool,
    "Leaves os.fork() and os.waitpid() alone: children are not watched by the loop.",
)
TraceMalloc = _setting(
    "TraceMalloc",
    "trace_malloc",
    "PYTHONTRACEMALLOC",
    False,
    validate_bool,
    "Whether Python traces allocations; not used here.",
)
TrackGreenletTree = _setting(
    "TrackGreenletTree",
    "track_greenlet_tree",
    "GEVENT_TRACK_GREENLET_TREE",
    True,
    validate_bool,
    "Whether a Greenlet knows who spawned it, from where, and its tree's locals. Spawning is cheaper without.",
)
MonitorThread = _setting(
    "MonitorThread",
    "monitor_thread",
    "GEVENT_MONITOR_THREAD_ENABLE",
    False,
    validate_bool,
    "Whether each hub starts a thread that watches it.",
)
MaxBlockingTime = _setting(
    "MaxBlockingTime",
    "max_blocking_time",
    "GEVENT_MAX_BLOCKING_TIME",
    0.1,
    _optional(_positive(float)),
    "Seconds a greenlet may run without a switch before the monitor thread reports it; None: any.",
)
PrintBlockingReports = _setting(
    "PrintBlockingReports",
    "print_blocking_reports",
    "GEVENT_MONITOR_PRINT_BLOCKING_REPORTS",
    True,
    validate_bool,
    "Whether the monitor thread prints what it finds.",
)
MonitorMemoryPeriod = _setting(
    "MonitorMemoryPeriod",
    "memory_monitor_period",
    "GEVENT_MONITOR_MEMORY_PERIOD",
    5,
    _optional(_positive(float)),
    "Seconds between two looks at the memory used.",
)
MonitorMemoryMaxUsage = _setting(
    "MonitorMemoryMaxUsage",
    "max_memory_usage",
    "GEVENT_MONITOR_MEMORY_MAX",
    None,
    _optional(_byte_count),
    "Bytes (or a number with kb, mb, gb) of memory above which the monitor thread raises an event; None: never.",
)


def _ares(class_name, name, validate):
    return _setting(
        class_name,
        "ares_" + name,
        "GEVENTARES_" + name.upper(),
        None,
        _optional(validate),
        f"c-ares' {name}; accepted for compatibility.",
    )


AresFlags = _ares("AresFlags", "flags", int)
AresTimeout = _ares("AresTimeout", "timeout", validate_anything)
AresTries = _ares("AresTries", "tries", _positive(int))
AresNdots = _ares("AresNdots", "ndots", _positive(int))
AresUDPPort = _ares("AresUDPPort", "udp_port", _positive(int))
AresTCPPort = _ares("AresTCPPort", "tcp_port", _positive(int))
AresServers = _ares("AresServers", "servers", _list_of_words)
ResolverNameservers = _setting(
    "ResolverNameservers",
    "resolver_nameservers",
    "GEVENT_RESOLVER_NAMESERVERS",
    None,
    _optional(_list_of_words),
    "Addresses of the name servers to ask (separated by commas); None: the system's.",
)
ResolverTimeout = _setting(
    "ResolverTimeout",
    "resolver_timeout",
    "GEVENT_RESOLVER_TIMEOUT",
    None,
    _optional(_positive(float)),
    "Seconds a name server has to answer; None: the resolver's own.",
)

config = Config()

if __name__ == "__main__":
    config.print_help()
