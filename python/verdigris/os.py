"""gevent.os: `os`, with forks that the hub survives, and waiting that lets others run.

    fork, forkpty, posix_spawn   children are watched, so that waitpid and handlers of SIGCHLD know their end
    waitpid                      waits in the hub
    close                        tells the loop, which may be watching the descriptor
    nb_read, nb_write            on a descriptor in non-blocking mode, wait in the hub
    tp_read, tp_write            on any descriptor, in a native thread
    fork_gevent, ...             the parts these are made of

With GEVENT_NOWAITPID set, children are not watched: fork and waitpid are the plain ones.
"""

import errno as _errno
import os as _os

from verdigris import _children
from verdigris._config import config
from verdigris._core import fork_begins, fork_ended, getcurrent, is_forking
from verdigris._hub_local import get_hub, get_hub_if_exists
from verdigris._util import copy_globals
from verdigris.event import Event
from verdigris.hub import reinit, sleep
from verdigris.monkey import get_original as _get_original

__implements__ = ["fork", "close"]
__extensions__ = ["tp_read", "tp_write"]

EAGAIN = _errno.EAGAIN
ignored_errors = [_errno.EAGAIN, _errno.EINTR]

_read, _write, _close, _raw_fork = _get_original("os", ["read", "write", "close", "fork"])


def close(fd):
    """Closes a descriptor. Whoever waits for it is told."""
    hub = get_hub_if_exists()
    if hub is not None and isinstance(fd, int):
        closing = getattr(hub.loop, "closing_fd", None)
        if closing is not None:
            closing(fd)
    _close(fd)


def make_nonblocking(fd):
    """Puts a descriptor into non-blocking mode; True if it was not. It is a property of the open file, which other processes
    may share."""
    if _os.get_blocking(fd):
        _os.set_blocking(fd, False)
        return True
    return None


__extensions__ += ["make_nonblocking", "nb_read", "nb_write"]


def nb_read(fd, n):
    """Reads at most n bytes from a descriptor in non-blocking mode, and waits in the hub for the first of them."""
    return _nonblocking(fd, 1, _read, n)


def nb_write(fd, buf):
    """Writes some of a buffer to a descriptor in non-blocking mode, waiting in the hub until there is room; returns how many
    bytes."""
    return _nonblocking(fd, 2, _write, buf)


def _nonblocking(fd, events, operation, argument):
    hub = watcher = None
    try:
        while True:
            try:
                return operation(fd, argument)
            except OSError as error:
                if error.errno not in ignored_errors:
                    raise
            if hub is None:
                hub = get_hub()
                watcher = hub.loop.io(fd, events)
            hub.wait(watcher)
    finally:
        if watcher is not None:
            watcher.close()


def tp_read(fd, n):
    """Reads at most n bytes in a native thread."""
    return get_hub().threadpool.apply(_read, (fd, n))


def tp_write(fd, buf):
    """Writes a buffer in a native thread; returns how many bytes."""
    return get_hub().threadpool.apply(_write, (fd, buf))


def _at_once(raw, *arguments, **keywords):
    """Forks. Handlers that `os.register_at_fork` knows may take locks; nothing may switch meanwhile."""
    fork_begins()
    try:
        return raw(*arguments, **keywords)
    finally:
        fork_ended()


def fork_gevent():
    """Forks a process in which this thread's hub goes on, too."""
    pid = _at_once(_raw_fork)
    if not pid:
        reinit()
    return pid


def fork_and_watch(callback=None, loop=None, ref=False, fork=fork_gevent):
    """Forks a process and watches it; callback(watcher) is called when it has ended, in the hub. The watcher has the attributes
    `pid` and `rstatus`. With `ref`, the hub goes on for it alone."""
    pid = fork()
    if pid:
        _children.ChildWatch(pid, callback, loop, ref)
    return pid


def fork(*args, **kwargs):
    """Forks a process; os.waitpid() and handlers of SIGCHLD know about it. Takes the arguments of `fork_and_watch`."""
    if config.disable_watch_children:
        return fork_gevent()
    return fork_and_watch(*args, **kwargs)


__extensions__ += ["fork_gevent", "fork_and_watch"]

if hasattr(_os, "forkpty"):
    _raw_forkpty = _get_original("os", "forkpty")

    def forkpty_gevent():
        """Forks a process with a new terminal, in which this thread's hub goes on, too."""
        pid, fd = _at_once(_raw_forkpty)
        if not pid:
            reinit()
        return pid, fd

    def forkpty_and_watch(callback=None, loop=None, ref=False, forkpty=forkpty_gevent):
        """Like `fork_and_watch`; returns a pair of the process and the terminal's descriptor."""
        result = []

        def fork():
            result.extend(forkpty())
            return result[0]

        fork_and_watch(callback, loop, ref, fork)
        return tuple(result)

    def forkpty(*args, **kwargs):
        """Like `fork`; returns a pair of the process and the terminal's descriptor."""
        if config.disable_watch_children:
            return forkpty_gevent()
        return forkpty_and_watch(*args, **kwargs)

    __implements__.append("forkpty")
    __extensions__ += ["forkpty_gevent", "forkpty_and_watch"]

if hasattr(_os, "posix_spawn"):
    _raw_posix_spawn, _raw_posix_spawnp = _get_original("os", ["posix_spawn", "posix_spawnp"])

    def posix_spawn(*args, **kwargs):
        """Starts a program; os.waitpid() and handlers of SIGCHLD know about it."""
        return _watched_spawn(_raw_posix_spawn, args, kwargs)

    def posix_spawnp(*args, **kwargs):
        """Starts a program that is looked for; os.waitpid() and handlers of SIGCHLD know about it."""
        return _watched_spawn(_raw_posix_spawnp, args, kwargs)

    def _watched_spawn(raw, args, kwargs):
        pid = raw(*args, **kwargs)
        if not config.disable_watch_children:
            _children.ChildWatch(pid)
        return pid

    __implements__ += ["posix_spawn", "posix_spawnp"]

_raw_waitpid = _get_original("os", "waitpid")
_watched_children = _children.watched
_reap_children = _children.forget_old


def waitpid(pid, options):
    """Waits for a child while other greenlets run; the arguments and results are those of os.waitpid()."""
    if config.disable_watch_children or is_forking() or getcurrent() is get_hub_if_exists():
        return _raw_waitpid(pid, options)
    if pid > 0:
        return _waitpid_one(pid, options)
    pause = 0.001
    while True:
        result = _waitpid_any(pid, options)
        if result[0] or options & _os.WNOHANG:
            return result
        # Which child comes first is not known: ask, and ask less often as time passes.
        sleep(pause)
        pause = min(pause * 2, 0.05)


def _waitpid_one(pid, options):
    entry = _watched_children.get(pid)
    if entry is None:
        return _waitpid_unwatched(pid, options)
    if not isinstance(entry, tuple):
        if options & ~_os.WNOHANG:
            return _waitpid_unwatched(pid, options)  # not about its end alone
        if not entry.check():
            if options & _os.WNOHANG:
                return 0, 0
            entry.wait()
        entry = _watched_children.get(pid)
        if entry is None:  # another greenlet was told first
            return _raw_waitpid(pid, options | _os.WNOHANG)
    del _watched_children[pid]
    return entry[:2]


def _waitpid_unwatched(pid, options):
    result = _raw_waitpid(pid, options | _os.WNOHANG)
    pause = 0.001
    while not result[0] and not options & _os.WNOHANG:
        if pid not in _watched_children and not options:
            _children.ChildWatch(pid)
            return _waitpid_one(pid, options)
        sleep(pause)
        pause = min(pause * 2, 0.05)
        result = _raw_waitpid(pid, options | _os.WNOHANG)
    _was_waited_for(*result)
    return result


def _waitpid_any(pid, options):
    if pid == -1:
        for child, entry in list(_watched_children.items()):
            if isinstance(entry, tuple):
                del _watched_children[child]
                return entry[:2]
    result = _raw_waitpid(pid, options | _os.WNOHANG)
    _was_waited_for(*result)
    return result


def _was_waited_for(pid, status):
    """Tells the watch of a child that its status was taken from the system by another way."""
    entry = pid and _watched_children.get(pid)
    if entry and not isinstance(entry, tuple) and (_os.WIFEXITED(status) or _os.WIFSIGNALED(status)):
        entry.end(status)
        _watched_children.pop(pid, None)


__implements__.append("waitpid")

__imports__ = copy_globals(_os, globals(), names_to_ignore=__implements__ + __extensions__, dunder_names_to_keep=())
__all__ = list(dict.fromkeys(__implements__ + __extensions__))
