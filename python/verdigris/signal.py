"""gevent.signal: `signal`, with handlers for SIGCHLD that may wait.

A handler for SIGCHLD is called in a greenlet of its own when a child has ended that was started by the functions of
`verdigris.os` or `verdigris.subprocess`. Handlers for other signals are what they are in Python: they interrupt what
runs. A handler that wants to wait should be set by `verdigris.signal_handler`.
"""

import signal as _signal

from verdigris import _children
from verdigris._util import copy_globals
from verdigris.monkey import get_original as _get_original

__implements__ = ["signal", "getsignal", "set_wakeup_fd"]
__extensions__ = []

_raw_signal, _raw_getsignal, _raw_set_wakeup_fd = _get_original("signal", __implements__)

_UNSET = object()
# What the program has set for SIGCHLD since it was patched.
_child_handler = _UNSET
_wakeup_fd = -1


def getsignal(signalnum):
    """The handler of a signal."""
    if signalnum == _signal.SIGCHLD and _child_handler is not _UNSET:
        return _child_handler
    return _raw_getsignal(signalnum)


def signal(signalnum, handler):
    """Sets the handler of a signal, and returns the one before."""
    global _child_handler
    if signalnum != _signal.SIGCHLD:
        return _raw_signal(signalnum, handler)
    if handler not in (_signal.SIG_IGN, _signal.SIG_DFL) and not callable(handler):
        raise TypeError("signal handler must be signal.SIG_IGN, signal.SIG_DFL, or a callable object")
    old = getsignal(signalnum)
    if handler in (_signal.SIG_IGN, _signal.SIG_DFL):
        _raw_signal(signalnum, handler)
        _child_handler, _children.hook = _UNSET, None
    else:
        # The system must not throw the children away, which it does if the signal is ignored.
        if _raw_getsignal(signalnum) == _signal.SIG_IGN:
            _raw_signal(signalnum, _signal.SIG_DFL)
        _child_handler, _children.hook = handler, _child_ended
    return old


def set_wakeup_fd(fd, /, *, warn_on_full_buffer=True):
    """Has the number of every signal that comes written to a descriptor; returns the descriptor before."""
    global _wakeup_fd
    old = _raw_set_wakeup_fd(fd, warn_on_full_buffer=warn_on_full_buffer)
    _wakeup_fd = fd
    return old


def _child_ended():
    """In the hub: a child that is watched has ended."""
    from verdigris.greenlet import Greenlet

    if callable(_child_handler):
        if _wakeup_fd >= 0 and not callable(_raw_getsignal(_signal.SIGCHLD)):
            _write_wakeup()
        Greenlet.spawn(_child_handler, int(_signal.SIGCHLD), None)


def _write_wakeup():
    """The system writes only for signals that have a handler of Python's."""
    from verdigris.os import _write

    try:
        _write(_wakeup_fd, bytes([_signal.SIGCHLD]))
    except BlockingIOError:
        pass  # it is full: whoever reads it has been told


__imports__ = copy_globals(_signal, globals(), names_to_ignore=__implements__, dunder_names_to_keep=())
__all__ = __implements__
