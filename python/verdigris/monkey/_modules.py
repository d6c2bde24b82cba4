"""One function for each module of the standard library that is patched."""

from __future__ import annotations

import importlib
import os as _os
import sys as _sys

from verdigris import events
from verdigris.monkey import api

# What does not work with greenlets and has no replacement: programs fall back to what they find instead.
_BLOCKING_SELECT = ("epoll", "kqueue", "kevent", "devpoll")
_BLOCKING_SELECTORS = ("EpollSelector", "KqueueSelector", "DevpollSelector")


def _patch(name, items=None, **more):
    """Replaces names of a module of the standard library by those of ours; returns the two, or None if vetoed."""
    source = importlib.import_module(f"verdigris.{name}")
    target = importlib.import_module(getattr(source, "__target__", name))
    if not api.patch_module(target, source, items=items, **more):
        return None
    return source, target


def patch_os() -> None:
    """os.fork, os.waitpid and relatives know the hub: a child may go on, its end may be waited for."""
    _patch("os")


def patch_time() -> None:
    """time.sleep lets others run."""
    _patch("time")


def patch_contextvars() -> None:
    """Nothing to do: every greenlet has a context of its own."""


def patch_queue() -> None:
    """Queues between greenlets. With GEVENT_MONKEY_DISABLE_QUEUE_QUEUE set, `queue.Queue` and its relatives stay as they are
    (they are cooperative by the locks they are made of, only slower); SimpleQueue is replaced in any case."""
    from verdigris import queue

    keep = _os.environ.get("GEVENT_MONKEY_DISABLE_QUEUE_QUEUE")
    _patch("queue", items=["SimpleQueue"] if keep else list(queue.__implements__))


def patch_sys(stdin: bool = True, stdout: bool = True, stderr: bool = True) -> None:
    """Nothing to do: the interpreter flushes the standard streams when everything that could wait is gone, so they stay
    what they are. The arguments are accepted for compatibility."""


# What `socket` has for names and addresses, unless our module says it itself.
_DNS = ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo", "getfqdn")


def patch_socket(dns: bool = True, aggressive: bool = True) -> None:
    """Sockets, and looking up names unless `dns` is false. `aggressive` is accepted for compatibility."""
    from verdigris import socket

    look_ups = getattr(socket, "__dns__", _DNS)
    _patch("socket", items=[name for name in socket.__implements__ if dns or name not in look_ups])


def patch_dns() -> None:
    """Looking up names, and nothing else of `socket`."""
    from verdigris import socket

    look_ups = getattr(socket, "__dns__", _DNS)
    _patch("socket", items=[name for name in look_ups if name in socket.__implements__])


def patch_select(aggressive: bool = True) -> None:
    """select.select and select.poll; `aggressive` takes away what would block (epoll, kqueue). `selectors` likewise."""
    patched = _patch("select", _patch_kwargs={"aggressive": aggressive})
    if patched is not None:
        if aggressive and not hasattr(patched[0], "_gevent_do_monkey_patch"):
            for name in _BLOCKING_SELECT:
                api.remove_item(patched[1], name)
        patch_selectors(aggressive)


def patch_selectors(aggressive: bool = True) -> None:
    """The selectors of the standard library wait by our select; the default one is ours."""
    patched = _patch("selectors", _patch_kwargs={"aggressive": aggressive})
    if patched is None or hasattr(patched[0], "_gevent_do_monkey_patch"):
        return
    selectors = patched[1]
    if aggressive:
        for name in _BLOCKING_SELECTORS:
            api.remove_item(selectors, name)
    # These classes keep what they found in `select` when they were made.
    from verdigris.select import select

    def _select(self, r, w, _x, timeout=None):
        return select(r, w, _x, timeout)

    _select._gevent_monkey = True  # type: ignore[attr-defined]
    selectors.SelectSelector._select = _select
    if hasattr(selectors, "PollSelector"):
        selectors.PollSelector._selector_cls = importlib.import_module("select").poll


def patch_ssl(_warnings: list[str] | None = None, _first_time: bool = True) -> None:
    """TLS. What has been made of `ssl.SSLContext` before is what it was; there is a warning about it."""
    was_imported = _first_time and "ssl" in _sys.modules
    import ssl

    original = ssl.SSLContext
    patched = _patch("ssl", _warnings=_warnings, _notify_did_subscribers=False)
    if patched is None:
        return
    source, _target = patched
    if was_imported:
        text = _late_ssl(original)
        if text and _warnings is not None:
            _warnings.append(text)
        elif text:
            from verdigris import monkey

            monkey._process_warnings([text])
    events.notify_and_call_entry_points(events.GeventDidPatchModuleEvent("ssl", source, ssl))


def _late_ssl(original):
    """The warning about what holds the original SSLContext; None if nothing does."""

    def foreign(name):
        return name is not None and name.partition(".")[0] not in ("verdigris", "gevent", "ssl")

    modules = [
        f"{name} ({getattr(module, '__file__', 'built-in')})"
        for name, module in list(_sys.modules.items())
        if foreign(name) and getattr(module, "__dict__", {}).get("SSLContext") is original
    ]
    subclasses = [class_ for class_ in original.__subclasses__() if foreign(class_.__module__)]
    if not modules and not subclasses:
        return None
    return (
        "ssl was used before it was patched: what was made of its SSLContext keeps blocking, and may"
        " fail with a RecursionError. Patch earlier."
        + (f" Modules that had direct imports (NOT patched): {modules}." if modules else "")
        + (f" Subclasses (NOT patched): {subclasses}." if subclasses else "")
    )


def patch_subprocess() -> None:
    """Waiting for processes, and talking to them. Processes of multiprocessing are forked unless the program chooses
    otherwise, as with gevent: what forks them since Python 3.14, a server, is talked to by what cannot wait in greenlets."""
    _patch("subprocess")
    if _sys.version_info >= (3, 14):
        from multiprocessing import context

        context._default_context._default_context = context._concrete_contexts["fork"]  # type: ignore[attr-defined]


def patch_builtins() -> None:
    """Nothing to do since Python 3: importing takes locks that greenlets can wait for."""


def patch_signal() -> None:
    """signal.signal for SIGCHLD, which the hub needs itself."""
    _patch("signal")
