"""The low-level threads of the standard library, as greenlets (gevent.thread; it stands for `_thread`).

A thread is a `Greenlet`, its identifier the identity of the greenlet, its lock a semaphore that lets other greenlets
run while one waits.
"""

import _thread

from verdigris._compat import PY313, PYPY
from verdigris._core import GreenletExit, LockType, get_ident
from verdigris._hub_local import get_hub_if_exists
from verdigris._incidental import incidental_names
from verdigris.exceptions import LoopExit
from verdigris.greenlet import Greenlet
from verdigris.hub import sleep
from verdigris.local import local as _local
from verdigris.lock import BoundedSemaphore

__implements__ = [
    "allocate_lock",
    "get_ident",
    "exit",
    "LockType",
    "stack_size",
    "start_new_thread",
    "_local",
]
if PY313:
    __implements__ += ["start_joinable_thread", "lock", "_ThreadHandle", "_make_thread_handle"]

__imports__ = ["error"]
__target__ = "_thread"

error = _thread.error
TIMEOUT_MAX = _thread.TIMEOUT_MAX


def _check_start(function, args, kwargs):
    if not callable(function):
        raise TypeError("first arg must be callable")
    if not isinstance(args, tuple):
        raise TypeError("2nd arg must be a tuple")
    if kwargs is not None and not isinstance(kwargs, dict):
        raise TypeError("optional 3rd arg must be a dictionary")


def start_new_thread(function, args=(), kwargs=None):
    """Starts a greenlet that calls function(*args, **kwargs), and returns its identifier."""
    _check_start(function, args, kwargs)
    return get_ident(Greenlet.spawn(function, *args, **(kwargs or {})))


allocate_lock = lock = LockType


def exit():
    """Ends the current thread, silently."""
    raise GreenletExit


_original_stack_size = _thread.stack_size


def stack_size(size=None):
    """The stack size of native threads; that of greenlets is set elsewhere. A smaller one than now is not set: all
    greenlets of a thread would have to make do with it."""
    now = _original_stack_size()
    if size is not None:
        _original_stack_size(size)  # or an error that says what a size is
        if size < now:
            _original_stack_size(now)
    return now


if PY313:
    from verdigris._threading import ThreadHandle as _ThreadHandle

    def start_joinable_thread(function, handle=None, daemon=True):
        """Starts a greenlet that calls function(), and returns a handle to join it by."""
        _check_start(function, (), None)
        handle = _ThreadHandle() if handle is None else handle
        if not isinstance(handle, _ThreadHandle):
            raise TypeError("'handle' must be a _ThreadHandle")
        handle._start(function, daemon)
        return handle

    def _make_thread_handle(ident):
        """A handle for a thread that runs already: the current one."""
        handle = _ThreadHandle()
        handle._adopt(ident)
        return handle


for _name in (
    "allocate",
    "exit_thread",
    "interrupt_main",
    "start_new",
    "get_native_id",
    "daemon_threads_allowed",
    "RLock",
    "set_name",
):
    if hasattr(_thread, _name):
        globals()[_name] = getattr(_thread, _name)
        __imports__.append(_name)
__imports__.append("TIMEOUT_MAX")
del _name

__all__ = [name for name in __implements__ + __imports__ if name != "_local"]
__getattr__ = incidental_names(__name__)
