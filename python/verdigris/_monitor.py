"""The thread that watches a hub (gevent._monitor): who blocks it, and how much memory the process uses.

    the hub's thread:  every switch is noted by a trace function (`GreenletTracer`)
    this thread:       looks every now and then; no switch since the last look, and not in the hub -> somebody blocks

Started by `hub.start_periodic_monitoring_thread()`, or with the hub if `config.monitor_thread` is set. Everything here runs in
a native thread, and uses the unpatched functions.
"""

from __future__ import annotations

import sys
from time import perf_counter
from weakref import ref

from verdigris._compat import get_this_psutil_process
from verdigris._config import config
from verdigris._core import getcurrent
from verdigris._interfaces import implementer
from verdigris._tracer import GreenletTracer
from verdigris.events import (
    EventLoopBlocked,
    IPeriodicMonitorThread,
    MemoryUsageThresholdExceeded,
    MemoryUsageUnderThreshold,
    notify,
)
from verdigris.monkey import get_original

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from verdigris.hub import Hub

__all__ = ["PeriodicMonitoringThread"]

get_thread_ident = get_original("_thread", "get_ident")
start_new_thread = get_original("_thread", "start_new_thread")
thread_sleep = get_original("time", "sleep")


class MonitorWarning(RuntimeWarning):
    """Something about the monitoring itself."""


class _Monitored:
    """A function of the list, with the time between two calls and when it was called last."""

    __slots__ = ("function", "last_run_time", "period")

    def __init__(self, function, period):
        self.function = function
        self.period = period
        self.last_run_time = 0.0


@implementer(IPeriodicMonitorThread)
class PeriodicMonitoringThread:
    """Calls functions, in a native thread, at their times; the first one looks whether the hub is blocked.

    Called itself, it is what that thread does.
    """

    #: The thread sleeps at least so long between two rounds, and so long if nothing is to be done (seconds).
    min_sleep_time = 0.005
    inactive_sleep_time = 2.0
    #: How soon memory may be looked at again at the earliest.
    min_memory_monitor_period = 2

    def __init__(self, hub):
        self._hub_wref = ref(hub, self._on_hub_gc)
        self.should_run = True
        self.pid = _getpid()
        self._memory_exceeded = 0
        self._process = None
        self._greenlet_tracer = GreenletTracer()
        # The first one's period is a setting, which may change: see `monitoring_functions`.
        self._monitoring_functions = [_Monitored(self.monitor_blocking, config.max_blocking_time)]
        self._calculated_sleep_time = config.max_blocking_time
        self.monitor_thread_ident = start_new_thread(self, ())

    @property
    def hub(self) -> Hub | None:
        """The hub; None when it is gone."""
        return self._hub_wref()

    def _on_hub_gc(self, _):
        self.kill()

    def kill(self) -> None:
        """Ends the thread, at its next look. Called in the hub's thread, it also ends tracing at once."""
        self.should_run = False
        self._greenlet_tracer.kill()

    def _on_fork(self):
        """In a child: the thread is gone; a new one is started."""
        pid = _getpid()
        if pid != self.pid and self.should_run:
            self.pid = pid
            self.monitor_thread_ident = start_new_thread(self, ())

    # ---- what is called

    def monitoring_functions(self):
        """The functions, with their periods brought up to date."""
        functions = self._monitoring_functions
        if functions and functions[0].period != config.max_blocking_time:
            functions[0].period = config.max_blocking_time
            self._plan()
        return functions

    def add_monitoring_function(self, function: Callable[[Hub], object], period: float | None) -> None:
        """Has `function(hub)` called every `period` seconds, in this thread; again: with another period. None: no longer."""
        if not callable(function):
            raise ValueError("function must be callable")
        if period is not None and period <= 0:
            raise ValueError("Period must be positive.")
        functions = self._monitoring_functions
        known = [entry for entry in functions if entry.function == function]
        if period is None:
            functions = [entry for entry in functions if entry not in known]
        elif known:
            known[0].period = period
        else:
            functions = [*functions, _Monitored(function, period)]
        self._monitoring_functions = functions
        self._plan()

    def _plan(self):
        self._calculated_sleep_time = min(
            (entry.period for entry in self._monitoring_functions if entry.period), default=0
        )

    def calculate_sleep_time(self):
        """Seconds until the next look."""
        if self._calculated_sleep_time <= 0:
            return self.inactive_sleep_time
        return max(self._calculated_sleep_time, self.min_sleep_time)

    def __call__(self):
        try:
            while self.should_run:
                self.monitoring_functions()
                thread_sleep(self.calculate_sleep_time())
                hub = self.hub
                if hub is None or hub.dead:
                    self.kill()
                if self.should_run:
                    self._run_due(hub)
                hub = None
        except SystemExit:
            pass
        except:  # noqa: E722 - an error while the interpreter ends, when everything may be gone, is nobody's business
            if self.should_run and sys is not None:
                raise

    def _run_due(self, hub):
        now = perf_counter()
        for entry in self.monitoring_functions():
            if entry.period and entry.last_run_time + entry.period <= now:
                entry.last_run_time = now
                try:
                    entry.function(hub)
                except SystemExit:
                    raise
                except:  # noqa: E722 - the hub decides what is done about it
                    hub.handle_error(self, *sys.exc_info())

    # ---- blocking

    def monitor_blocking(self, hub):
        """Reports the greenlet that has kept the hub from running since the last look; returns the event, or None."""
        active = self._greenlet_tracer.did_block_hub(hub)
        if active is None:
            return None
        event = EventLoopBlocked(active, config.max_blocking_time, self._blocking_report(hub, active), hub=hub)
        notify(event)
        if event.info and config.print_blocking_reports:
            stream = hub.exception_stream
            for line in event.info:
                print(line, file=stream)
        return event

    def _blocking_report(self, hub, active):
        from verdigris.util import format_run_info

        frame = sys._current_frames().get(hub.thread_ident)
        report = ["=" * 80, f"{_now()} : Greenlet {active!r} appears to be blocked"]
        report.append(f"    Reported by {self!r}")
        if frame is not None:
            import traceback

            report.append(f"Blocked Stack (for thread id {hex(hub.thread_ident)}):")
            report.append("".join(traceback.format_stack(frame)))
        report.append("Info:")
        report.extend(format_run_info(thread_stacks=False, greenlet_stacks=False))
        report.append("=" * 80)
        return report

    def ignore_current_greenlet_blocking(self) -> None:
        """The current greenlet may block until it is switched out of."""
        self._greenlet_tracer.ignore_current_greenlet_blocking()

    def monitor_current_greenlet_blocking(self) -> None:
        """Takes `ignore_current_greenlet_blocking` back."""
        self._greenlet_tracer.monitor_current_greenlet_blocking()

    # ---- memory

    def _get_process(self):
        """psutil's view of this process; None without psutil."""
        if self._process is None:
            self._process = get_this_psutil_process()
        return self._process

    def can_monitor_memory_usage(self):
        """Whether the process's memory can be read: needs psutil."""
        return self._get_process() is not None

    def install_monitor_memory_usage(self):
        """Starts watching memory; what for, `config.max_memory_usage` says, now or later."""
        if self.can_monitor_memory_usage():
            period = max(config.memory_monitor_period or 0, self.min_memory_monitor_period)
            self.add_monitoring_function(self.monitor_memory_usage, period)
        else:
            import warnings

            warnings.warn("Unable to monitor memory usage. Install psutil.", MonitorWarning, stacklevel=2)

    def monitor_memory_usage(self, _hub):
        """Sends and returns an event when more memory is used than allowed, and more than was told of; and when it is less again.

        None: nothing to tell. -1: no limit is set.
        """
        limit = config.max_memory_usage
        if not limit:
            return -1
        memory = self._get_process().memory_full_info()
        used = getattr(memory, "uss", 0) or memory.rss
        exceeded, event = self._memory_exceeded, None
        if used > limit:
            if used > exceeded:
                event = MemoryUsageThresholdExceeded(used, limit, memory)
                self._memory_exceeded = used
        elif exceeded:
            event = MemoryUsageUnderThreshold(used, limit, memory, exceeded)
            self._memory_exceeded = 0
        if event is not None:
            notify(event)
        return event

    def __repr__(self):
        return (
            f"<{type(self).__name__} at {hex(id(self))} in thread {hex(self.monitor_thread_ident)} "
            f"greenlet {getcurrent()!r} for {self.hub!r}>"
        )


def _now():
    from time import gmtime, strftime

    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime())


def _getpid():
    from os import getpid

    return getpid()
