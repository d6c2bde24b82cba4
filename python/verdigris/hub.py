"""The hub: the greenlet that runs the event loop of a thread, and what is done through it (gevent.hub).

What every wait passes through - switching, parking, the loop - is Rust (`HubBase`, `crates/python/src/hub`). This is
the policy on top: how errors are shown, which resolver and thread pool a hub has, what happens when nothing is left
to wait for.
"""

import sys
from weakref import ref as _ref

from verdigris import _core
from verdigris._config import config
from verdigris._core import GreenletExit, HubBase, Waiter, getcurrent, iwait, sleep, wait
from verdigris._core import greenlet as RawGreenlet
from verdigris._hub_local import get_hub, get_hub_class, get_hub_if_exists, set_default_hub_class, set_hub
from verdigris._ident import IdentRegistry
from verdigris._incidental import incidental_names
from verdigris._util import Lazy
from verdigris.exceptions import HubDestroyed, LoopExit

__all__ = [
    "Hub",
    "Waiter",
    "get_hub",
    "getcurrent",
    "GreenletExit",
    "idle",
    "iwait",
    "kill",
    "reinit",
    "signal",
    "sleep",
    "spawn_raw",
    "wait",
]
__getattr__ = incidental_names(__name__)

MAIN_THREAD_IDENT = _core.main_thread_ident()

_get_hub = get_hub_if_exists


def _print_exception(t, v, tb, file=None):
    """`traceback.print_exception`, loaded when there is something to print: it is half of what importing this module would cost."""
    try:
        from traceback import print_exception
    except (ImportError, OSError):
        # The interpreter is ending, or no descriptor is left to load it with: what the interpreter can say by itself.
        if file is not None and file is not sys.stderr:
            raise
        sys.__excepthook__(t, v, tb)
    else:
        print_exception(t, v, tb, file=file)


class TrackedRawGreenlet(RawGreenlet):
    """What `spawn_raw` makes: a raw greenlet that knows who spawned it."""

    def __init__(self, function, parent):
        super().__init__(function, parent)
        current = getcurrent()
        self.spawning_greenlet = _ref(current)
        self.spawn_tree_locals = getattr(current, "spawn_tree_locals", None)
        if self.spawn_tree_locals is None:
            self.spawn_tree_locals = {}
            if current.parent is not None:
                current.spawn_tree_locals = self.spawn_tree_locals


def spawn_raw(function, *args, **kwargs):
    """Starts `function` in a raw greenlet: lighter than a Greenlet, without result, links or `kill`."""
    if not callable(function):
        raise TypeError("function must be callable")
    hub = get_hub()
    if config.track_greenlet_tree:
        greenlet = TrackedRawGreenlet(function, hub)
    else:
        greenlet = RawGreenlet(function, hub)
    if kwargs:
        from functools import partial

        hub.loop.run_callback(partial(greenlet.switch, *args, **kwargs))
    else:
        hub.loop.run_callback(greenlet.switch, *args)
    return greenlet


def idle(priority=0):
    """Waits until the loop has nothing else to do at `priority` or above."""
    hub = get_hub()
    watcher = hub.loop.idle()
    if priority:
        watcher.priority = priority
    with watcher:
        hub.wait(watcher)


def kill(greenlet, exception=GreenletExit):
    """Raises `exception` in any greenlet, at the hub's next turn; does not wait.

    A Greenlet has a method of this name, which also waits.
    """
    if greenlet.dead:
        return
    if hasattr(greenlet, "_exc_info"):
        greenlet.kill(exception, block=False)
    else:
        from verdigris.greenlet import _throw

        get_hub().loop.run_callback(_throw, greenlet, exception)


class signal:
    """Calls `handler(*args, **kwargs)` in a new greenlet whenever the process receives the signal.

    Unlike `signal.signal`, the handler may block. `ref` says whether it keeps the program running.
    """

    greenlet_class = None

    def __init__(self, signalnum, handler, *args, **kwargs):
        if not callable(handler):
            raise TypeError("signal handler must be callable.")
        self.hub = get_hub()
        self.watcher = self.hub.loop.signal(signalnum, ref=False)
        self.handler = handler
        self.args = args
        self.kwargs = kwargs
        if self.greenlet_class is None:
            from verdigris.greenlet import Greenlet

            type(self).greenlet_class = Greenlet
        self.watcher.start(self._start)

    @property
    def ref(self):
        """Whether the watcher keeps the loop running."""
        return self.watcher.ref

    @ref.setter
    def ref(self, value):
        self.watcher.ref = value

    def cancel(self):
        """Calls the handler no more."""
        if self.watcher is not None:
            self.watcher.stop()
            self.watcher.close()
        self.watcher = self.handler = self.args = self.kwargs = self.hub = None

    def _start(self):
        try:
            greenlet = self.greenlet_class(self.handle)
            greenlet.switch()
        except:  # noqa: E722 - everything goes to the hub's error handler
            self.hub.handle_error(None, *sys.exc_info())

    def handle(self):
        """Runs the handler, in a greenlet."""
        try:
            self.handler(*self.args, **self.kwargs)
        except:  # noqa: E722 - as above
            self.hub.handle_error(None, *sys.exc_info())


def reinit(hub=None):
    """To be called in the child after a fork: the loop's kernel objects, the pools and the resolver are made anew."""
    hub = get_hub_if_exists() if hub is None else hub
    if hub is None:
        return
    hub.loop.reinit()
    for part in (hub.periodic_monitoring_thread, hub._threadpool, hub._resolver):
        if hasattr(part, "_on_fork"):
            part._on_fork()
        elif hasattr(part, "on_fork"):
            part.on_fork()
    # Nothing is given a turn here: a child that goes on to exec or _exit must not run the parent's greenlets first.


class _ResolverSlot:
    """`hub.resolver`: made when it is first used, of the configured class."""

    def __get__(self, hub, owner=None):
        if hub is None:
            return self
        if hub._resolver is None:
            hub._resolver = hub.resolver_class(hub=hub)
        return hub._resolver

    def __set__(self, hub, value):
        hub._resolver = value

    def __delete__(self, hub):
        self._close(hub)

    @staticmethod
    def _close(hub):
        resolver, hub._resolver = hub._resolver, None
        if resolver is not None:
            resolver.close()


class _ThreadPoolSlot:
    """`hub.threadpool`: made when it is first used, of the configured class."""

    def __get__(self, hub, owner=None):
        if hub is None:
            return self
        if hub._threadpool is None:
            hub._threadpool = hub.threadpool_class(
                hub.threadpool_size, hub=hub, idle_task_timeout=config.threadpool_idle_task_timeout
            )
        return hub._threadpool

    def __set__(self, hub, value):
        hub._threadpool = value

    def __delete__(self, hub):
        hub._threadpool = None


hub_ident_registry = IdentRegistry()


class Hub(HubBase):
    """Runs the event loop of its thread. There is one a thread; `get_hub()` makes it."""

    SYSTEM_ERROR = (KeyboardInterrupt, SystemExit, SystemError)
    """Exceptions that end the main greenlet, wherever they happen."""

    NOT_ERROR = (GreenletExit, SystemExit)
    """Exceptions that are not shown."""

    _kept_loop = None  # the main thread's, of a hub that was destroyed without it: the next hub goes on with it
    threadpool_size = 10
    periodic_monitoring_thread = None
    #: What the standard library calls the thread that the hub belongs to.
    thread_ident = None
    name = ""

    resolver = _ResolverSlot()
    threadpool = _ThreadPoolSlot()

    @Lazy
    def format_context(self):
        """How `print_exception` shows what failed."""
        return config.format_context

    def __init__(self, loop=None, default=None):
        HubBase.__init__(self)
        self.thread_ident = _core.thread_ident()
        config.settings["stack_sweep_interval"].apply()
        if config.track_greenlet_tree:
            self.spawn_tree_locals, self.spawning_greenlet = {}, _ref(_core.getcurrent())
        self._resolver = None
        self._threadpool = None
        self._exception_stream = None
        self._exception_stream_set = False
        if hasattr(loop, "run"):
            if default is not None:
                raise TypeError("Unexpected argument: default")
            self.loop = loop
        else:
            existing = get_hub_if_exists()
            if existing is not None and existing.loop is not None and loop is None and default is None:
                self.loop = existing.loop
            elif self.main_hub and Hub._kept_loop is not None and loop is None and default is None:
                self.loop, Hub._kept_loop = Hub._kept_loop, None
            else:
                if default is None:
                    default = self.thread_ident == MAIN_THREAD_IDENT
                self.loop = self.loop_class(flags=self.backend if loop is None else loop, default=default)
        self.minimal_ident = hub_ident_registry.get_ident(self)

    @property
    def ident_registry(self):
        """Gives the greenlets of this hub their `minimal_ident`."""
        registry = self.__dict__.get("_ident_registry")
        if registry is None:
            registry = self.__dict__["_ident_registry"] = IdentRegistry()
        return registry

    @property
    def loop_class(self):
        """What `loop` is made of."""
        return config.loop

    @property
    def backend(self):
        """The backend that is asked for, by name; None: the best."""
        return config.libev_backend

    @property
    def resolver_class(self):
        """What `resolver` is made of."""
        return config.resolver

    @property
    def threadpool_class(self):
        """What `threadpool` is made of."""
        return config.threadpool

    @property
    def main_hub(self):
        """Whether this is the main thread's hub."""
        return self.thread_ident == MAIN_THREAD_IDENT

    @property
    def exception_stream(self):
        """Where errors are shown: standard error as it is when it is needed, or what was assigned. None: nowhere."""
        if self._exception_stream_set:
            return self._exception_stream
        return sys.stderr

    @exception_stream.setter
    def exception_stream(self, value):
        self._exception_stream = value
        self._exception_stream_set = True

    @exception_stream.deleter
    def exception_stream(self):
        self._exception_stream = None
        self._exception_stream_set = False

    def __repr__(self):
        if self.loop is None:
            info = "destroyed"
        else:
            try:
                info = _loop_info(self.loop)
            except Exception as error:  # a broken loop must not make its hub unprintable
                info = str(error) or str(type(error)) or "error"
        result = f"<{type(self).__name__} {self.name!r} at 0x{id(self):x} {info}"
        if self._resolver is not None:
            result += f" resolver={self._resolver!r}"
        if self._threadpool is not None:
            result += f" threadpool={self._threadpool!r}"
        return f"{result} thread_ident={hex(self.thread_ident)}>"

    # ---- errors

    def handle_error(self, context, type, value, tb):
        """Called with every error that nobody caught: shows it, and ends the program's main greenlet if it is a
        system error. `context` is what failed: a greenlet, a callback, a watcher, or None."""
        if isinstance(value, HubDestroyed):
            self.loop.break_()
            return
        if not issubclass(type, self.NOT_ERROR):
            self.print_exception(context, type, value, tb)
        if context is None or issubclass(type, self.SYSTEM_ERROR):
            self.handle_system_error(type, value, tb)

    def _normalize_exception(self, type, value, tb):
        """What subclasses of the hub call first: fills in what the caller of `handle_error` did not know."""
        if type is None and value is None and tb is None:
            type, value, tb = sys.exc_info()
        if isinstance(value, str):
            value = type(value)
        if tb is None and isinstance(value, BaseException):
            tb = value.__traceback__
        return type, value, tb

    def handle_system_error(self, type, value, tb=None):
        """Raises the exception in the main greenlet (the hub's parent) at once."""
        current = getcurrent()
        if current is self or current is self.parent or self.loop is None:
            self.parent.throw(type, value, tb)
            return
        # In any other greenlet: come back here when the main greenlet has dealt with it.
        callback = None
        try:
            callback = self.loop.run_callback(current.switch)
        except:  # noqa: E722 - the error that counts is the one being handled
            _print_exception(*sys.exc_info())
        try:
            self.parent.throw(type, value, tb)
        finally:
            if callback is not None:
                callback.stop()

    def print_exception(self, context, t, v, tb):
        """Shows an error: its traceback, then the time and what failed."""
        stream = self.exception_stream
        if stream is None:
            return
        if v is None:
            # Somebody knows no more than the class.
            print(t.__name__ if isinstance(t, type) else t, file=stream)
        else:
            try:
                _print_exception(t, v, tb, file=stream)
            except Exception:
                # Out of descriptors, say, when the module traceback has something to load (3.15 does): what reports an
                # error goes on, and who reads it learns at least what it was.
                print(f"{getattr(t, '__name__', t)}: {v}", file=stream)
        from time import gmtime, strftime

        print(strftime("%Y-%m-%dT%H:%M:%SZ", gmtime()), end="" if context is None else " ", file=stream)
        if context is not None:
            if not isinstance(context, str):
                try:
                    context = self.format_context(context)
                except OSError:  # the function could not be loaded: no descriptor is left
                    context = repr(context)
                except:  # noqa: E722 - showing an error must not fail
                    _print_exception(*sys.exc_info(), file=stream)
                    context = repr(context)
            print(f"{context} failed with {getattr(t, '__name__', 'exception')}\n", file=stream)
        else:
            print(file=stream)

    # ---- running

    def run(self):
        """Runs the loop; when nothing is left in it, the main greenlet gets LoopExit, for it waits for nothing."""
        if self is not getcurrent():
            raise AssertionError("Do not call run() directly")
        if config.monitor_thread:
            self.start_periodic_monitoring_thread()
        while True:
            loop = self.loop
            if loop is None:
                return
            loop.error_handler = self
            try:
                loop.run()
            finally:
                loop.error_handler = None
            if self.loop is None:
                return
            debug = loop.debug() if hasattr(loop, "debug") else []
            loop = None
            self.parent.throw(LoopExit("This operation would block forever", self, debug))

    def start_periodic_monitoring_thread(self):
        """Starts the thread that watches for greenlets which block this hub, if `config.monitor_thread` allows; or None."""
        if self.periodic_monitoring_thread is None and config.monitor_thread:
            from verdigris._monitor import PeriodicMonitoringThread
            from verdigris.events import PeriodicMonitorThreadStartedEvent, notify_and_call_entry_points

            monitor = self.periodic_monitoring_thread = PeriodicMonitoringThread(self)
            if self.main_hub and monitor.can_monitor_memory_usage():
                monitor.install_monitor_memory_usage()
            notify_and_call_entry_points(PeriodicMonitorThreadStartedEvent(monitor))
        return self.periodic_monitoring_thread

    def join(self, timeout=None):
        """Waits until nothing is left to do, or `timeout` seconds have passed: True or False. Main greenlet only."""
        if getcurrent() is not self.parent:
            raise AssertionError("only possible from the MAIN greenlet")
        if self.dead:
            return True
        waiter = Waiter(self)
        if timeout is not None:
            timer = self.loop.timer(timeout, ref=False)
            timer.start(waiter.switch, None)
        else:
            timer = None
        try:
            try:
                waiter.get()
            except LoopExit:
                return True
            return False
        finally:
            if timer is not None:
                timer.stop()
                timer.close()

    def destroy(self, destroy_loop=None):
        """Ends the hub and frees what it has. `destroy_loop` None: the loop goes too, unless it is the default one."""
        if self.periodic_monitoring_thread is not None:
            self.periodic_monitoring_thread.kill()
            self.periodic_monitoring_thread = None
        if self._resolver is not None:
            self._resolver.close()
            self._resolver = None
        if self._threadpool is not None:
            self._threadpool.kill()
            self._threadpool = None
        if destroy_loop is None:
            destroy_loop = self.loop is not None and not self.loop.default
        if get_hub_if_exists() is self:
            set_hub(None)
        loop, self.loop = self.loop, None
        if loop is not None:
            loop.error_handler = None
            if destroy_loop:
                loop.destroy()
                Hub._kept_loop = None if Hub._kept_loop is loop else Hub._kept_loop
            elif self.main_hub and loop.default:
                Hub._kept_loop = loop

    # ---- waiting, for code written against gevent's hub

    def cancel_wait(self, watcher, error, close_watcher=False):
        """Raises `error`, in the hub's next turn, in the greenlet that waits for `watcher`."""
        if watcher is None or self.loop is None:
            return
        if watcher.callback is not None:
            self.loop.run_callback(self._cancel_wait, watcher, error, close_watcher)
        elif close_watcher:
            watcher.close()

    def _cancel_wait(self, watcher, error, close_watcher):
        waits = watcher.active
        callback = watcher.callback
        if close_watcher:
            watcher.close()
        if waits:
            waiter = getattr(callback, "__self__", None)
            if waiter is not None:
                waiter.throw(error)

    def cancel_waits_close_and_then(self, watchers, exc_kind, then, *then_args):
        """Raises in whoever waits for one of `watchers`, closes them, and then calls `then(*then_args)`."""
        watchers = [watcher for watcher in watchers if watcher is not None]
        if not watchers:
            then(*then_args)
            return
        self.loop.run_callback(self._cancel_waits_then, watchers, exc_kind, then, then_args)

    def _cancel_waits_then(self, watchers, exc_kind, then, then_args):
        for watcher in watchers:
            self._cancel_wait(watcher, exc_kind, True)
        then(*then_args)


def _loop_info(loop):
    """The part of a loop's text that says how it is."""
    text = repr(loop)
    if text.startswith("<loop at "):
        return text.split(" ", 3)[3].rstrip(">")
    return text
