"""`ThreadPoolExecutor` of `concurrent.futures` on native threads, whose futures greenlets can wait for (gevent.threadpool)."""

import concurrent.futures

from verdigris import monkey
from verdigris._util import Lazy
from verdigris.hub import get_hub
from verdigris.threadpool import ThreadPool
from verdigris.timeout import Timeout

__all__ = ["ThreadPoolExecutor"]


class ThreadPoolExecutor(concurrent.futures.ThreadPoolExecutor):
    """The standard class's interface; `submit` uses a ThreadPool, also where threads are patched to be greenlets.

    Greenlets wait for its futures by `future.result()` and by `verdigris.wait`. The functions of `concurrent.futures`
    that wait do so only if `threading` is patched; otherwise they would block all greenlets, and raise AttributeError.
    """

    def __init__(self, *args, **kwargs):
        kwargs.pop("thread_name_prefix", None)
        super().__init__(*args, **kwargs)
        self._threadpool = ThreadPool(self._max_workers)

    def submit(self, fn, /, *args, **kwargs):
        """Has a thread call fn(*args, **kwargs); returns a future."""
        with self._shutdown_lock:
            if self._shutdown:
                raise RuntimeError("cannot schedule new futures after shutdown")
            return _Future(self._threadpool.spawn(fn, *args, **kwargs))

    def shutdown(self, wait=True, **kwargs):
        """Takes no more tasks; with `wait`, returns when all are done and the threads have ended."""
        super().shutdown(False, **kwargs)
        if wait:
            self._threadpool.kill()

    # gevent's name for it
    kill = shutdown

    def _adjust_thread_count(self):
        """The pool does that."""


class _Future(concurrent.futures.Future):
    """A future whose outcome is that of an AsyncResult."""

    def __init__(self, asyncresult):
        # Not the base's: it would make a lock of `threading`.
        self.asyncresult = asyncresult
        self._callbacks = []
        asyncresult.rawlink(self._finished)

    def _finished(self, _result):
        callbacks, self._callbacks = self._callbacks, []
        if "_waiters" in self.__dict__:
            kind = "add_result" if self.asyncresult.successful() else "add_exception"
            for waiter in self._waiters:
                getattr(waiter, kind)(self)
        for callback in callbacks:
            self._tell(callback)

    def _tell(self, callback):
        try:
            callback(self)
        except Exception:
            import sys

            get_hub().print_exception((callback, self), *sys.exc_info())

    # What `concurrent.futures.wait` looks into.

    @Lazy
    def _condition(self):
        if monkey.is_module_patched("threading") or self.done():
            import threading

            return threading.Condition()
        # Its functions would block the hub.
        raise AttributeError(
            "_condition: threading is not patched; wait for the future by result() or verdigris.wait()"
        )

    @Lazy
    def _waiters(self):
        return []

    @property
    def _state(self):
        return "FINISHED" if self.done() else "RUNNING"

    # What futures have.

    def set_running_or_notify_cancel(self):
        """For executors; this future is running from the beginning."""
        return True

    def cancel(self):
        """Always False: it cannot be cancelled."""
        return False

    def cancelled(self):
        """Always False."""
        return False

    def running(self):
        """Whether there is no outcome yet."""
        return not self.done()

    def done(self):
        """Whether there is an outcome."""
        return self.asyncresult.ready()

    def result(self, timeout=None):
        """The result, or the exception raised; waits for it, not longer than `timeout` seconds."""
        try:
            return self.asyncresult.result(timeout=timeout)
        except Timeout:
            if self.done():
                raise
            raise concurrent.futures.TimeoutError() from None

    def exception(self, timeout=None):
        """The exception, or None; waits as `result`."""
        self.asyncresult.wait(timeout)
        if not self.done():
            raise concurrent.futures.TimeoutError()
        return self.asyncresult.exception

    def add_done_callback(self, fn):
        """Calls fn(future) in the hub when it is done; at once if it is."""
        if self.done():
            self._tell(fn)
        else:
            self._callbacks.append(fn)

    def rawlink(self, fn):
        """Calls fn(future) in the hub when it is done: what `verdigris.wait` asks for."""
        self.asyncresult.rawlink(_Link(self, fn))

    def unlink(self, fn):
        """Takes a link back."""
        self.asyncresult.unlink(_Link(self, fn))

    def __getattr__(self, name):
        return getattr(self.asyncresult, name)

    def __repr__(self):
        return f"<Future at 0x{id(self):x} {self.asyncresult}>"

    __str__ = __repr__


class _Link:
    def __init__(self, future, function):
        self.future = future
        self.function = function

    def __call__(self, _result):
        self.function(self.future)

    def __eq__(self, other):
        return isinstance(other, _Link) and self.future is other.future and self.function == other.function

    __hash__ = None  # type: ignore[assignment]
