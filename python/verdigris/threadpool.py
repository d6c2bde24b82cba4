"""Pools of native threads for what would block the hub (gevent.threadpool).

    hub's thread: spawn() ── TaskQueue (Rust) ──► worker thread: a greenlet of its own, running task after task
    hub's thread: result  ◄── one entry in the loop for all that is done by then

How tasks get there and back is Rust (`crates/python/src/threadpool`); how many workers there are, and what they do
around each task, is here.
"""

import os
import sys

from verdigris import _core
from verdigris._core import getcurrent, greenlet
from verdigris._hub_local import get_hub, get_hub_if_exists
from verdigris.exceptions import InvalidThreadUseError
from verdigris.lock import Semaphore
from verdigris.pool import GroupMappingMixin

__all__ = ["ThreadPool", "ThreadResult", "ThreadPoolExecutor"]  # noqa: F822 - see __getattr__


def _format_hub(hub):
    if hub is None:
        return "<missing>"
    return f"<{type(hub).__name__} at 0x{id(hub):x} thread_ident=0x{hub.thread_ident:x}>"


def _get_thread_profile(_sys=sys):
    """The profile function that `threading.setprofile` has set, if `threading` is there."""
    threading = _sys.modules.get("threading")
    return getattr(threading, "_profile_hook", None)


def _get_thread_trace(_sys=sys):
    """The trace function that `threading.settrace` has set, if `threading` is there."""
    threading = _sys.modules.get("threading")
    return getattr(threading, "_trace_hook", None)


class _WorkerGreenlet(greenlet):
    """What runs in a worker thread: takes tasks until it is told to end."""

    def __init__(self, threadpool):
        greenlet.__init__(self)
        self._thread_ident = _core.thread_ident()
        self._task_queue = threadpool.task_queue
        self._hub = threadpool.hub
        self._idle_seconds = threadpool._idle_seconds
        self._stderr = sys.stderr

    def run(self):
        # Read from this frame by whoever lists the threads: while it is the last one, the worker is idle.
        gevent_threadpool_worker_idle = True  # noqa: F841
        try:
            self._task_queue.work(self, self._number, self._idle_seconds)
        finally:
            self.cleanup(get_hub_if_exists())

    def cleanup(self, hub_of_worker):
        """Ends the hub that a task may have made in this thread."""
        if hub_of_worker is not None:
            hub_of_worker.destroy(True)

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
        """Called in the worker thread before a task: sets what `threading` would set in a thread of its own."""
        profile = _get_thread_profile()
        if profile is not None:
            _sys.setprofile(profile)
        trace = _get_thread_trace()
        if trace is not None:
            _sys.settrace(trace)

    def _after_run_task(self, func, args, kwargs, thread_result, _sys=sys):
        """Called in the worker thread after a task: takes that back."""
        if _sys.getprofile() is not None:
            _sys.setprofile(None)
        if _sys.gettrace() is not None:
            _sys.settrace(None)

    def __repr__(self):
        return (
            f"<ThreadPoolWorker at 0x{id(self):x} thread_ident=0x{self._thread_ident:x}"
            f" threadpool-hub={_format_hub(self._hub)}>"
        )


def _work(threadpool, task_queue, number, worker_class):
    """The main function of a worker thread."""
    try:
        worker = worker_class(threadpool)
        worker._number = number
        # The pool may go while its workers are idle; they are told to end when it does.
        del threadpool
        worker.switch()
    finally:
        task_queue.worker_ends(number)


class ThreadPool(GroupMappingMixin):
    """At most `maxsize` native threads that run what `spawn` and its relatives are given.

    It belongs to the hub of the thread that made it (or `hub`), and only that thread may spawn: others get
    InvalidThreadUseError. Threads are started as they are needed; one that has had nothing to do for `idle_task_timeout`
    seconds ends (None or -1: never).
    """

    _WorkerGreenlet = _WorkerGreenlet
    # gevent adjusts its size in a greenlet of this name; here that is done at once.
    manager = None

    def __init__(self, maxsize, hub=None, idle_task_timeout=-1):
        self.hub = get_hub() if hub is None else hub
        self.pid = os.getpid()
        self._maxsize = _checked_maxsize(maxsize)
        self._idle_seconds = None if idle_task_timeout is None or idle_task_timeout < 0 else idle_task_timeout
        # One more may wait for a worker than there can be workers: so one is at hand when another is done.
        self._available_worker_threads_greenlet_sem = Semaphore(maxsize + 1)
        self.task_queue = _core.TaskQueue(self.hub, self._available_worker_threads_greenlet_sem)
        self.fork_watcher = self.hub.loop.fork(ref=False)
        self.fork_watcher.start(_MethodOfWeak(self, "_on_fork"))

    def __del__(self):
        task_queue = getattr(self, "task_queue", None)
        if task_queue is not None:
            task_queue.stop_all()

    def __repr__(self, _format_hub=_format_hub):
        return (
            f"<{type(self).__name__} at 0x{id(self):x} tasks={len(self)} size={self.size} maxsize={self.maxsize}"
            f" hub={_format_hub(self.hub)}>"
        )

    def __len__(self):
        """Tasks that were spawned and are not done."""
        return self.task_queue.unfinished_tasks

    @property
    def maxsize(self):
        """How many threads there are at most."""
        return self._maxsize

    @maxsize.setter
    def maxsize(self, maxsize):
        difference = _checked_maxsize(maxsize) - self._maxsize
        room = self._available_worker_threads_greenlet_sem
        for _ in range(difference):
            room.release()
        if difference < 0:
            # Tasks that are under way may have taken more than there is room for now; then the count goes below zero.
            room.counter += difference
        self._maxsize = maxsize
        self.adjust()

    @property
    def size(self):
        """How many threads there are. Set it to start some beforehand, or to end some."""
        return self.task_queue.size

    @size.setter
    def size(self, size):
        if size < 0:
            raise ValueError(f"Size of the pool cannot be negative: {size!r}")
        if size > self._maxsize:
            raise ValueError(f"Size of the pool cannot be bigger than maxsize: {size!r} > {self._maxsize!r}")
        while self.task_queue.size < size:
            self._add_thread()
        if self.task_queue.size > size:
            self.task_queue.stop(self.task_queue.size - size)

    def adjust(self):
        """Starts threads if there are tasks for them, and ends those above `maxsize`."""
        task_queue = self.task_queue
        while task_queue.size < min(self._maxsize, task_queue.unfinished_tasks):
            self._add_thread()
        if task_queue.size > self._maxsize:
            task_queue.stop(task_queue.size - self._maxsize)

    def _add_thread(self):
        number = self.task_queue.worker_begins()
        try:
            _start_new_thread()(_work, (self, self.task_queue, number, self._WorkerGreenlet))
        except:
            self.task_queue.worker_ends(number)
            raise

    def _on_fork(self):
        """In the child of a fork: the threads are gone."""
        pid = os.getpid()
        if pid != self.pid:
            self.pid = pid
            self.task_queue.after_fork()
            self.adjust()

    def join(self):
        """Waits until all tasks that were spawned are done."""
        self.task_queue.all_done.wait()

    def kill(self):
        """Waits until the threads have ended; what they are at, and what was spawned before, is done first."""
        self._on_fork()
        ended = self.task_queue.stop_all()
        if getcurrent() is not get_hub_if_exists():
            ended.wait()
        if self.fork_watcher is not None:
            self.fork_watcher.stop()

    def spawn(self, func, *args, **kwargs):
        """Runs func(*args, **kwargs) in a thread of the pool; returns an AsyncResult of it.

        Waits while as many tasks are under way as the pool takes.
        """
        if not callable(func):
            raise TypeError(f"func must be callable, not {func!r}")
        if get_hub_if_exists() is not self.hub:
            raise InvalidThreadUseError(
                f"{self!r} belongs to another thread; only that one may spawn (apply() runs the function here)"
            )
        if os.getpid() != self.pid:
            self._on_fork()
        self._available_worker_threads_greenlet_sem.acquire()
        try:
            result = self.task_queue.put(func, args, kwargs or None)
        except:
            self._available_worker_threads_greenlet_sem.release()
            raise
        self.adjust()
        return result

    def _apply_immediately(self):
        # From another thread, a worker of this pool perhaps, it is called here: that thread may block.
        return get_hub_if_exists() is not self.hub

    def _apply_async_cb_spawn(self, callback, result):
        callback(result)

    def _apply_async_use_greenlet(self):
        # Always: spawning may wait for room.
        return True


def _checked_maxsize(maxsize):
    if not isinstance(maxsize, int):
        raise TypeError(f"maxsize must be integer: {maxsize!r}")
    if maxsize < 0:
        raise ValueError(f"maxsize must not be negative: {maxsize!r}")
    return maxsize


def _start_new_thread():
    """The function that starts native threads, however much is patched."""
    from verdigris.monkey import get_original

    return get_original("_thread", "start_new_thread")


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


def __getattr__(name):
    # `concurrent.futures.thread` imports `threading`, which must not come in before it is patched.
    if name == "ThreadPoolExecutor":
        from verdigris._executor import ThreadPoolExecutor

        globals()[name] = ThreadPoolExecutor
        return ThreadPoolExecutor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
