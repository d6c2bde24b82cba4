"""Native threads for what would block the greenlets (gevent.threadpool).

    get_hub().threadpool.apply(function, args)      waits for the result; other greenlets run meanwhile

Queueing, waking and the threads' own loop are Rust (`ThreadPoolBase`, `crates/python/src/threadpool`). Here is what may be
overridden: what a worker does round a task, what is reported, and gevent's `ThreadResult`. The executor of
`concurrent.futures` is in `_executor.py`, for that imports `threading`, which must not be in before it is patched.
"""

import os
import sys

from verdigris._core import ThreadPoolBase, greenlet, thread_ident
from verdigris._hub_local import get_hub_if_exists
from verdigris._incidental import incidental_names
from verdigris.hub import get_hub
from verdigris.pool import GroupMappingMixin

__all__ = ["ThreadPool", "ThreadResult", "ThreadPoolExecutor"]  # noqa: F822 - see __getattr__


_incidental_name = incidental_names(__name__)


def __getattr__(name):
    if name == "ThreadPoolExecutor":
        from verdigris._executor import ThreadPoolExecutor

        globals()[name] = ThreadPoolExecutor
        return ThreadPoolExecutor
    return _incidental_name(name)


def _threading_hook(name, _sys):
    threading = _sys.modules.get("threading")
    return None if threading is None else getattr(threading, name, None)


def _get_thread_profile(_sys=sys):
    """What `threading.setprofile` was given."""
    return _threading_hook("_profile_hook", _sys)


def _get_thread_trace(_sys=sys):
    """What `threading.settrace` was given."""
    return _threading_hook("_trace_hook", _sys)


class _WorkerGreenlet(greenlet):
    """What the tasks of one worker thread run in; there is no other greenlet in the thread unless a task makes one."""

    # Where lists of greenlets begin.
    greenlet_tree_is_root = True
    _thread_ident = 0

    def __init__(self, threadpool):
        greenlet.__init__(self)
        # Not the hub itself: an idle thread does not keep it.
        self._hub_text = _brief(threadpool.hub)

    def _call(self, func, args, kwargs, thread_result):
        self._before_run_task(func, args, kwargs, thread_result)
        try:
            return func(*args, **kwargs)
        finally:
            self._after_run_task(func, args, kwargs, thread_result)

    def _before_run_task(
        self,
        func,
        args,
        kwargs,
        thread_result,
        _sys=sys,
        _get_thread_profile=_get_thread_profile,
        _get_thread_trace=_get_thread_trace,
    ):
        """Called in the thread before each task: sets the profile and trace functions for it."""
        profile = _get_thread_profile()
        if profile is not None:
            _sys.setprofile(profile)
        trace = _get_thread_trace()
        if trace is not None:
            _sys.settrace(trace)

    def _after_run_task(self, func, args, kwargs, thread_result, _sys=sys):
        """Called in the thread after each task: no profile or trace function outlives it."""
        if _sys.getprofile() is not None:
            _sys.setprofile(None)
        if _sys.gettrace() is not None:
            _sys.settrace(None)

    def _work(self, perform_tasks, gevent_threadpool_worker_idle=True):
        """All that the thread does. An idle one is known by the local variable of its frame, as gevent's is."""
        self._thread_ident = thread_ident()
        try:
            perform_tasks()
        finally:
            hub = get_hub_if_exists()
            if hub is not None:  # a task has made one
                hub.destroy(True)

    def __repr__(self):
        return f"<ThreadPoolWorker at 0x{id(self):x} thread_ident={hex(self._thread_ident)} threadpool-hub={self._hub_text}>"

    __str__ = __repr__


def _brief(hub):
    if hub is None:
        return "None"
    return f"<{type(hub).__name__} at 0x{id(hub):x} thread_ident={hex(hub.thread_ident)}>"


class ThreadPool(ThreadPoolBase, GroupMappingMixin):
    """At most `maxsize` native threads that call functions for greenlets.

    Works as a `verdigris.pool.Pool` does, with threads in place of greenlets. It belongs to `hub` (by default the
    calling thread's) and may be used in that one's thread only; another raises InvalidThreadUseError. A thread ends when
    it has had nothing to do for `idle_task_timeout` seconds, or never if that is negative.

    `len()` tells how many tasks are not finished, so a pool without any is false. The functions that were given to
    `threading.setprofile` and `settrace` see each task.
    """

    _WorkerGreenlet = _WorkerGreenlet

    # gevent adjusts its size in a greenlet of this name; here that is done at once.
    manager = None

    #: The watcher that notices a fork, and the process that the threads are in.
    fork_watcher = None
    pid = None

    def __init__(self, maxsize, hub=None, idle_task_timeout=-1):
        hub = get_hub() if hub is None else hub
        ThreadPoolBase.__init__(self, maxsize, hub, -1 if idle_task_timeout is None else idle_task_timeout)
        self.pid = os.getpid()
        # Whoever uses the pool in a forked child notices it anyway; this is for those who only wait.
        self.fork_watcher = hub.loop.fork(ref=False)
        self.fork_watcher.start(_MethodOfWeak(self, "_on_fork"))

    def __repr__(self, _format_hub=_brief):
        return (
            f"<{type(self).__name__} at 0x{id(self):x} tasks={len(self)} size={self.size}"
            f" maxsize={self.maxsize} hub={_format_hub(self.hub)}>"
        )

    @property
    def task_queue(self):
        """The tasks that wait for a thread: has `qsize()`."""
        return _TaskQueue(self)

    def kill(self):
        """Waits until the threads have ended; what they are at, and what was spawned before, is done first."""
        ThreadPoolBase.kill(self)
        self.fork_watcher.stop()

    def _on_fork(self):
        ThreadPoolBase._on_fork(self)
        self.pid = os.getpid()

    def _apply_immediately(self):
        return get_hub() is not self.hub

    def _apply_async_use_greenlet(self):
        # There is always room for waiting for a thread in a greenlet.
        return True

    def _apply_async_cb_spawn(self, callback, result):
        callback(result)


class _TaskQueue:
    """A view of the tasks in a pool."""

    def __init__(self, pool):
        self._pool = pool

    def qsize(self):
        return self._pool._queued

    __len__ = qsize

    @property
    def unfinished_tasks(self):
        return len(self._pool)


class _MethodOfWeak:
    """Calls a method of an object as long as that lives."""

    __slots__ = ["_name", "_object"]

    def __init__(self, thing, name):
        from weakref import ref

        self._object = ref(thing)
        self._name = name

    def __call__(self, *args):
        thing = self._object()
        if thing is not None:
            getattr(thing, self._name)(*args)


class _Closed:
    """Stands for the watcher and the receiver of a result that has been delivered."""

    def stop(self):
        pass

    close = send = stop

    def __call__(self, result):
        pass

    def __bool__(self):
        return False


_CLOSED = _Closed()


class ThreadResult:
    """Carries what a thread computes to `receiver`, which is called with it in the hub.

    `call_when_ready` is called before, without arguments. `set` and `handle_error` may be called in any thread, once.
    """

    __slots__ = ["_call_when_ready", "async_watcher", "context", "exc_info", "hub", "receiver", "value"]

    def __init__(self, receiver, hub, call_when_ready):
        self.receiver = receiver
        self.hub = hub
        self.context = self.value = None
        self.exc_info = ()
        self._call_when_ready = call_when_ready
        self.async_watcher = hub.loop.async_()
        self.async_watcher.start(self._on_async)

    @property
    def exception(self):
        """The exception that the thread raised, or None."""
        return self.exc_info[1] if self.exc_info else None

    def successful(self):
        """Whether there is no exception."""
        return self.exception is None

    def set(self, value):
        """Stores the result and has it delivered."""
        self.value = value
        self.async_watcher.send()

    def handle_error(self, context, exc_info):
        """Stores an exception and has it delivered, and reported with the `context`."""
        self.context = context
        self.exc_info = exc_info
        self.async_watcher.send()

    def destroy_in_main_thread(self):
        """Gives up: nothing will be delivered. In the hub's thread."""
        self.async_watcher.stop()
        self.async_watcher.close()
        self.async_watcher = self.receiver = _CLOSED
        self.context = self.hub = self._call_when_ready = None

    def _on_async(self):
        self.async_watcher.stop()
        self.async_watcher.close()
        hub, receiver, call_when_ready = self.hub, self.receiver, self._call_when_ready
        try:
            call_when_ready()
            if self.exc_info:
                hub.handle_error(self.context, *self.exc_info)
            self.async_watcher = self.receiver = _CLOSED
            self.context = self.hub = self._call_when_ready = None
            receiver(self)
        finally:
            self.async_watcher = self.receiver = _CLOSED
            self.value = None
            if self.exc_info:
                self.exc_info = (self.exc_info[0], self.exc_info[1], None)
