"""What `threading` needs to have greenlets for threads (gevent.threading).

The module of the standard library does nearly all by itself once its few native parts are replaced: `patch_thread()`
copies `__implements__` into it, and `_gevent_will_monkey_patch` adjusts what was made before.
"""

import threading as _stdlib
import weakref as _weakref

from verdigris import thread as _thread
from verdigris._compat import PY313
from verdigris._core import getcurrent
from verdigris._threading import sentinel as _sentinel
from verdigris._util import LazyOnClass
from verdigris.local import local
from verdigris.lock import RLock
from verdigris.monkey import get_original as _get_original
from verdigris.thread import allocate_lock, get_ident, start_new_thread

__implements__ = [
    "local",
    "_allocate_lock",
    "Lock",
    "_DummyThread",
    "get_ident",
    "_CRLock",
]
__extensions__ = []

_allocate_lock = allocate_lock
Lock = allocate_lock
# threading.RLock() then makes RLocks that consist of a lock of ours and the identifier of a greenlet.
_CRLock = None

if PY313:
    from verdigris.thread import _make_thread_handle, _ThreadHandle, start_joinable_thread

    __implements__ += ["_start_joinable_thread", "_ThreadHandle", "_make_thread_handle"]
    _start_joinable_thread = start_joinable_thread
else:
    __implements__ += ["_start_new_thread", "_set_sentinel"]
    _start_new_thread = start_new_thread

    def _set_sentinel():
        """The lock that says that the current thread is alive."""
        return _sentinel(allocate_lock)

    def start_joinable_thread(function, handle=None, daemon=True):
        """Python 3.13 and later only."""
        raise NotImplementedError("joinable threads need Python 3.13")


_native_ident = _get_original("_thread", "get_ident")

# These need not differ: threading's own do what the module's functions make of them.
Thread = _stdlib.Thread
Timer = _stdlib.Timer


class _DummyThread(_stdlib._DummyThread):
    """Stands for a greenlet that asks who it is, but was not started as a thread. It is forgotten with the greenlet."""

    # From 3.11.8 and 3.12.2 on, the standard library makes a main thread of it in the child of a fork.
    _NEEDS_CLASS_FORK_FIXUP = "_after_fork" in vars(_stdlib._DummyThread)

    def __new__(cls):
        # A native thread that ran before threads were patched is known by the system's identifier.
        thread = _stdlib._active.get(_native_ident()) if _stdlib.get_ident is get_ident else None
        if thread is not None and getcurrent().parent is None:
            return thread
        return super().__new__(cls)

    def __init__(self):
        super().__init__()
        current = getcurrent()
        ident = self._ident
        active = _stdlib._active
        # From 3.12 on, the standard library keeps something here that forgets the thread when it is dropped; kept with the link,
        # that is when who waits for the greenlet is told, and not at once.
        local_info = getattr(_stdlib, "_thread_local_info", None)
        tracker = vars(local_info).pop("_track_dummy_thread_ref", None) if local_info is not None else None

        def forget(_greenlet, _tracker=tracker):
            thread = self_reference()
            if thread is not None and active.get(ident) is thread:
                del active[ident]

        self_reference = _weakref.ref(self)
        if hasattr(current, "rawlink"):
            current.rawlink(forget)
        else:
            self._greenlet = _weakref.ref(current, forget)


def main_native_thread():
    """The thread object of the native thread that the program was started in."""
    return _stdlib.main_thread()
