"""How the end of a child process is noticed: one `ChildWatch` for each child that is watched.

Where the system has descriptors for processes (Linux), the loop waits for such a descriptor. That needs no handler for
SIGCHLD, takes no other library's child away, works in every thread and leaves a child that nobody watches waitable. Where it
has none, or the process is out of descriptors, a timer asks now and then.

The status of a watched child is kept until os.waitpid() is asked for it, or for a minute.
"""

import os as _os
from time import monotonic as _monotonic

from verdigris._hub_local import get_hub

__all__ = ["ChildWatch", "forget_old", "watched"]

# Taken before anything is patched, or from what was there then.
from verdigris.monkey import get_original as _get_original

_waitpid = _get_original("os", "waitpid")
_close = _get_original("os", "close")

_READ = 1
_KEEP_SECONDS = 60

# pid -> the watch of a child that runs, or (pid, status, time of its end)
watched = {}

# Called when a watched child has ended; set by verdigris.signal.
hook = None


class ChildWatch:
    """Waits for one child; `callback(watch)` is called by the hub when it has ended.

    `pid` and `rpid` are its identifier, `rstatus` is what waitpid says about it, None while it runs.
    """

    def __init__(self, pid, callback=None, loop=None, ref=False):
        self.pid = self.rpid = pid
        self.rstatus = None
        self.callback = callback
        self.loop = get_hub().loop if loop is None else loop
        self._waiters = []
        try:
            self._descriptor = _os.pidfd_open(pid)
        except (AttributeError, OSError):
            self._descriptor = -1
            self._watcher = self.loop.timer(0.001, 0.01, ref=ref)
        else:
            self._watcher = self.loop.io(self._descriptor, _READ, ref=ref)
        forget_old()
        before = watched.get(pid)
        if isinstance(before, ChildWatch):
            before.close()  # somebody below us has started it, and watched it for the same purpose
        watched[pid] = self
        self._watcher.start(self.check)

    def check(self):
        """Looks whether the child has ended; returns whether it has."""
        if self.rstatus is None:
            try:
                pid, status = _waitpid(self.pid, _os.WNOHANG)
            except ChildProcessError:
                # Somebody else has waited for it, or the system was told to forget children: nobody knows its status.
                pid, status = self.pid, 0
            if pid == self.pid:
                self.end(status)
        return self.rstatus is not None

    def end(self, status):
        """The child has ended, with this status."""
        self.rstatus = status
        if watched.get(self.pid) is self:
            watched[self.pid] = (self.pid, status, _monotonic())
        self.close()
        if hook is not None:
            self.loop.run_callback(hook)
        if self.callback is not None:
            self.loop.run_callback(self.callback, self)
        for waiter in self._waiters:
            self.loop.run_callback(waiter.switch, None)
        self._waiters.clear()

    def wait(self):
        """Waits for the end of the child while other greenlets run."""
        from verdigris.hub import Waiter

        while not self.check():
            waiter = Waiter()
            self._waiters.append(waiter)
            ref, self._watcher.ref = self._watcher.ref, True
            try:
                waiter.get()
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                if self.rstatus is None:
                    self._watcher.ref = ref

    def close(self):
        """Stops watching."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.stop()
            watcher.close()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            _close(descriptor)

    def __repr__(self):
        return f"<ChildWatch at {id(self):#x} pid={self.pid} rstatus={self.rstatus}>"


def forget_old(seconds=_KEEP_SECONDS):
    """Forgets children that ended so long ago and that nobody asked for."""
    oldest = _monotonic() - seconds
    for pid, entry in list(watched.items()):
        if isinstance(entry, tuple) and entry[2] <= oldest:
            del watched[pid]


def after_fork_in_child():
    """What the parent watches are not children of this process."""
    for entry in list(watched.values()):
        if not isinstance(entry, tuple):
            descriptor, entry._descriptor = entry._descriptor, -1
            entry._watcher.stop()
            if descriptor >= 0:
                _close(descriptor)
    watched.clear()


if hasattr(_os, "register_at_fork"):
    _os.register_at_fork(after_in_child=after_fork_in_child)
