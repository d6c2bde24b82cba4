"""The standard library's executor on a thread pool of ours (part of gevent.threadpool)."""

import concurrent.futures
from concurrent.futures._base import FINISHED, RUNNING

from verdigris.threadpool import ThreadPool
from verdigris.timeout import Timeout

__all__ = ["ThreadPoolExecutor"]


class _FutureProxy:
    """Makes an AsyncResult look like a `concurrent.futures.Future`."""

    def __init__(self, asyncresult):
        self.asyncresult = asyncresult

    # What concurrent.futures.wait() and as_completed() use: they block in `threading`, so they can work only if that is
    # patched, or if nothing is left to wait for.

    @property
    def _condition(self):
        condition = self.__dict__.get("condition")
        if condition is None:
            from verdigris import monkey

            if not monkey.is_module_patched("threading") and not self.done():
                raise AttributeError("_condition")
            import threading

            condition = self.__dict__["condition"] = threading.Condition()
        return condition

    @property
    def _waiters(self):
        waiters = self.__dict__.get("waiters")
        if waiters is None:
            waiters = self.__dict__["waiters"] = []
            self.asyncresult.rawlink(self._when_done)
        return waiters

    @property
    def _state(self):
        return FINISHED if self.done() else RUNNING

    def _when_done(self, _result):
        for waiter in self._waiters:
            if self.successful():
                waiter.add_result(self)
            else:
                waiter.add_exception(self)

    def set_running_or_notify_cancel(self):
        raise NotImplementedError("a task of a thread pool runs as soon as a thread is free")

    def result(self, timeout=None):
        """The value, or the exception raised; waits for it. Raises the futures' TimeoutError after `timeout` seconds."""
        try:
            return self.asyncresult.result(timeout=timeout)
        except Timeout:
            raise concurrent.futures.TimeoutError() from None

    def exception(self, timeout=None):
        """The exception, or None; waits until it is known, as `result` does."""
        try:
            self.asyncresult.get(timeout=timeout)
        except Timeout:
            raise concurrent.futures.TimeoutError() from None
        except BaseException as error:
            if error is not self.asyncresult.exception:
                raise
        return self.asyncresult.exception

    def add_done_callback(self, fn):
        """Calls fn(self) when it is done; at once if it is."""
        if self.done():
            fn(self)
        else:
            self.rawlink(fn)

    def rawlink(self, fn):
        """Calls fn(self) in the hub when it is done."""
        self.asyncresult.rawlink(lambda _result: fn(self))

    def done(self):
        return self.asyncresult.done()

    def running(self):
        return not self.asyncresult.done()

    def __str__(self):
        return str(self.asyncresult)

    def __getattr__(self, name):
        return getattr(self.asyncresult, name)


class ThreadPoolExecutor(concurrent.futures.ThreadPoolExecutor):
    """A `concurrent.futures.ThreadPoolExecutor` on a ThreadPool: waiting for its futures lets other greenlets run.

    It belongs to the hub of the thread that made it.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._threadpool = ThreadPool(self._max_workers)

    def submit(self, fn, *args, **kwargs):
        """Runs fn(*args, **kwargs) in a thread; returns a future."""
        with self._shutdown_lock:
            if self._shutdown:
                raise RuntimeError("cannot schedule new futures after shutdown")
            return _FutureProxy(self._threadpool.spawn(fn, *args, **kwargs))

    def shutdown(self, wait=True, **kwargs):
        """Takes no more; waits until the threads have ended, unless `wait` is false."""
        self._shutdown = True
        if wait:
            self._threadpool.kill()
        else:
            self._threadpool.task_queue.stop_all()

    kill = shutdown

    def _adjust_thread_count(self):
        """Nothing: the pool does that."""
