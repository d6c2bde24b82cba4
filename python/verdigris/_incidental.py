"""Names that gevent's modules show without meaning to: what they have imported for themselves, and leftovers.

They are in no `__all__` and in no documentation, but programs import them. A module finds those of its own here when they are asked
for; nothing is imported before.

    __getattr__ = incidental_names(__name__)
"""

import errno
import operator
import os
import sys
from importlib import import_module

__all__ = ["incidental_names"]

# Module: {name: where it is}, as `module` if it has the same name there, or as `module:name`.
_NAMES = {
    "backdoor": {"Pool": "pool"},
    "baseserver": {"integer_types": "", "string_types": ""},
    "contextvars": {"local": "local"},
    "core": {"config": "_config"},
    "greenlet": {
        "Gevent_PyFrame_GetBack": "",
        "Gevent_PyFrame_GetCode": "",
        "Gevent_PyFrame_GetLineNumber": "",
        "Waiter": "hub",
        "get_generic_parent": "",
        "get_hub_noargs": "_hub_local",
        "get_my_hub": "",
        "greenlet_init": "",
        "readproperty": "_util",
    },
    "hub": {
        "GEVENT_CONFIG": "_config:config",
        "GreenletError": "_core:error",
        "Lazy": "_util",
        "WaitOperationsGreenlet": "hub:Hub",
        "get_loop": "_hub_local",
        "gmctime": "_util",
        "linkproxy": "subprocess",
        "readproperty": "_util",
        "reraise": "_compat",
        "set_loop": "_hub_local",
        "thread_mod_name": "_compat",
    },
    "local": {"greenlet_init": ""},
    "pool": {"Event": "event"},
    "queue": {
        "ItemWaiter": "_item_waiter",
        "Waiter": "hub",
        "get_hub_noargs": "_hub_local",
        "getcurrent": "_core",
        "greenlet_init": "",
    },
    "resolver": {
        "AF_INET": "socket",
        "AF_UNSPEC": "socket",
        "AI_CANONNAME": "socket",
        "AI_NUMERICHOST": "socket",
        "AI_PASSIVE": "socket",
        "EAI_NONAME": "socket",
        "EAI_SERVICE": "socket",
        "MAC": "_compat",
        "PYPY": "_compat",
        "SOCK_DGRAM": "socket",
        "SOCK_STREAM": "socket",
        "SOL_TCP": "socket",
        "hostname_types": "",
        "integer_types": "",
        "is_ipv6_addr": "resolver._addresses",
        "string_types": "",
    },
    "selectors": {"Event": "event", "Lazy": "_util"},
    "select": {"PollResult": "select:_Watch", "SelectResult": "select:_Watch"},
    "server": {"EWOULDBLOCK": ""},
    "socket": {
        "GSENDAGAIN": "",
        "PY311": "_compat",
        "PYPY": "_compat",
        "Timeout": "timeout",
        "exc_clear": "",
        "integer_types": "",
        "is_macos": "",
        "is_windows": "",
        "string_types": "",
    },
    "ssl": {"AF_INET": "socket"},
    "subprocess": {"MAXFD": "", "integer_types": "", "name": "", "place": "", "string_types": "", "value": ""},
    "thread": {"getcurrent": "_core", "start_joinable_thread": "threading"},
    "threadpool": {
        "AsyncResult": "event",
        "EmptyTimeout": "_threading",
        "GTimeout": "timeout:Timeout",
        "Greenlet": "greenlet",
        "InvalidThreadUseError": "exceptions",
        "Lazy": "_util",
        "Queue": "_threading",
        "RawGreenlet": "_core:greenlet",
        "Semaphore": "lock",
        "clear_stack_frames": "util",
        "getcurrent": "_core",
        "integer_types": "",
        "sleep": "hub",
    },
    "timeout": {"get_hub": "_hub_local", "getcurrent": "_core", "string_types": ""},
}


def incidental_names(module):
    """The `__getattr__` of a module that shows some of these names."""
    names = _NAMES[module.partition(".")[2]]

    def __getattr__(name):
        where = names.get(name)
        if where is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        if not where:
            value = _VALUES[name]
        else:
            home, _, other = where.partition(":")
            value = getattr(import_module(f"verdigris.{home}"), other or name)
        setattr(sys.modules[module], name, value)
        return value

    return __getattr__


def _get_my_hub(s):
    """The hub among a greenlet's parents; None if there is none."""
    from verdigris.hub import Hub

    parent = s.parent
    while parent is not None and not isinstance(parent, Hub):
        parent = parent.parent
    return parent


_VALUES = {
    "EWOULDBLOCK": errno.EWOULDBLOCK,
    "GSENDAGAIN": (errno.EWOULDBLOCK,),
    "Gevent_PyFrame_GetBack": operator.attrgetter("f_back"),
    "Gevent_PyFrame_GetCode": operator.attrgetter("f_code"),
    "Gevent_PyFrame_GetLineNumber": operator.attrgetter("f_lineno"),
    "MAXFD": os.sysconf("SC_OPEN_MAX"),
    "exc_clear": lambda: None,
    "get_generic_parent": operator.attrgetter("parent"),
    "get_my_hub": _get_my_hub,
    "greenlet_init": lambda greenlet: None,
    "hostname_types": (bytearray, bytes, str),
    "integer_types": (int,),
    "is_macos": sys.platform == "darwin",
    "is_windows": sys.platform == "win32",
    "name": "SW_HIDE",
    "place": None,
    "string_types": (str,),
    "value": None,
}
