"""The thread that watches a hub (gevent._monitor): who blocks it, and how much memory the process uses.

    the hub's thread:  every switch is noted by a trace function (`GreenletTracer`)
    this thread:       looks every now and then; no switch since the last look, and not in the hub -> somebody blocks

Started by `hub.start_periodic_monitoring_thread()`, or with the hub if `config.monitor_thread` is set. Everything here runs in
a native thread, and uses the unpatched functions.
"""

import sys
from time import monotonic
from weakref import ref

from verdigris._config import config
from verdigris._core import getcurrent, gettrace, settrace
from verdigris.events import (
    EventLoopBlocked,
    MemoryUsageThresholdExceeded,
    MemoryUsageUnderThreshold,
    PeriodicMonitorThreadStartedEvent,
    notify,
    notify_and_call_entry_points,
)
from verdigris.monkey import get_original

__all__ = ["PeriodicMonitoringThread"]

get_thread_ident = get_original("_thread", "get_ident")
start_new_thread = get_original("_thread", "start_new_thread")
thread_sleep = get_original("time", "sleep")


class MonitorWarning(RuntimeWarning):
    """Something about the monitoring itself."""


class GreenletTracer:
    """Notes every switch of its thread, for somebody in another thread to look at.

    `greenlet_switch_counter` and `active_greenlet` are single stores, so no lock is needed to read them.
    """

    def __init__(self):
        self.greenlet_switch_counter = 0
        self.active_greenlet = None
        self.previous_trace_function = settrace(self)

    def kill(self):
        """Takes the trace function back, if it still is ours."""
        if gettrace() is self:
            settrace(self.previous_trace_function)
        self.active_greenlet = self.previous_trace_function = None

    def __call__(self, event, args):
        self.greenlet_switch_counter += 1
        if event in ("switch", "throw"):
            self.active_greenlet = args[1]
        else:
            self.active_greenlet = None
        if self.previous_trace_function is not None:
            self.previous_trace_function(event, args)

    def did_block_hub(self, hub):
        """Whether nothing was switched since the last call, while somebody else than the hub runs: (bool, who)."""
        active = self.active_greenlet
        switches, self.greenlet_switch_counter = self.greenlet_switch_counter, 0
        return (not switches and active is not None and active is not hub), active


class _Monitored:
    """A function of the list, with the time between two calls and when it was called last."""

    __slots__ = ("function", "last_run_time", "period")

    def __init__(self, function, period):
        self.function = function
        self.period = period
        self.last_run_time = 0.0


class PeriodicMonitoringThread:
    """Calls functions, in a native thread, at their times; the first one looks whether the hub is blocked."""

    #: The thread sleeps at least so long between two rounds, and so long if nothing is to be done (seconds).
    min_sleep_time = 0.005
    inactive_sleep_time = 2.0
    #: How soon memory may be looked at again at the earliest.
    min_memory_monitor_period = 2

    def __init__(self, hub):
        self._hub_wref = ref(hub, self._on_hub_gc)
        self.should_run = True
        self.pid = _getpid()
        self.should_monitor_memory = self._memory_exceeded = False
        self._greenlet_tracer = GreenletTracer()
        self._monitoring_functions = [_Monitored(self.monitor_blocking, config.max_blocking_time)]
        self._calculated_sleep_time = None
        self._start()

    def _start(self):
        self.monitor_thread_ident = start_new_thread(self._run, ())
        # The thread must be seen to run before anybody relies on it.

    @property
    def hub(self):
        """The hub; None when it is gone."""
        return self._hub_wref()

    def _on_hub_gc(self, _):
        self.kill()

    def kill(self):
        """Ends the thread, at its next look."""
        if not self.should_run:
            return
        self.should_run = False
        self._monitoring_functions = []
        self._greenlet_tracer.kill()

    def _on_fork(self):
        """In a child: the thread is gone; a new one is started."""
        pid = _getpid()
        if pid != self.pid and self.should_run:
            self.pid = pid
            self._start()

    # ---- what is called

    def monitoring_functions(self):
        """The functions, with their periods brought up to date."""
        blocking = self._monitoring_functions[0] if self._monitoring_functions else None
        if blocking is not None and blocking.period != config.max_blocking_time:
            blocking.period = config.max_blocking_time
            self._calculated_sleep_time = None
        return self._monitoring_functions

    def add_monitoring_function(self, function, period):
        """Has `function(hub)` called every `period` seconds, in this thread. None: no longer."""
        if not callable(function):
            raise ValueError("function must be callable")
        if period is None:
            self._monitoring_functions = [entry for entry in self._monitoring_functions if entry.function != function]
        elif period <= 0:
            raise ValueError("Period must be positive.")
        else:
            self._monitoring_functions = [*self._monitoring_functions, _Monitored(function, period)]
        self._calculated_sleep_time = None

    def calculate_sleep_time(self):
        """Seconds until the next look."""
        periods = [entry.period for entry in self.monitoring_functions() if entry.period]
        if not periods:
            return self.inactive_sleep_time
        return max(min(periods), self.min_sleep_time)

    def _run(self):
        try:
            notify_and_call_entry_points(PeriodicMonitorThreadStartedEvent(self))
            while self.should_run:
                thread_sleep(self.calculate_sleep_time())
                hub = self.hub
                if hub is None or not self.should_run:
                    return
                self._run_due(hub)
                del hub
        except SystemExit:
            pass
        except:  # noqa: E722 - a thread of ours ends with a report, whatever it was
            if self.should_run:
                import traceback

                traceback.print_exc()

    def _run_due(self, hub):
        now = monotonic()
        for entry in self.monitoring_functions():
            if entry.period and entry.last_run_time + entry.period <= now:
                entry.last_run_time = now
                try:
                    entry.function(hub)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except Exception:
                    import traceback

                    traceback.print_exc()

    # ---- blocking

    def monitor_blocking(self, hub):
        """Reports the greenlet that has kept the hub from running since the last look; returns the event, or None."""
        blocked, active = self._greenlet_tracer.did_block_hub(hub)
        if not blocked or active is None:
            return None
        info = self._blocking_report(hub, active)
        event = EventLoopBlocked(active, config.max_blocking_time, info, hub=hub)
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

    def ignore_current_greenlet_blocking(self):
        """The current greenlet may block until it is switched out of."""
        self._greenlet_tracer.active_greenlet = None

    def monitor_current_greenlet_blocking(self):
        """Takes `ignore_current_greenlet_blocking` back."""
        self._greenlet_tracer.active_greenlet = getcurrent()

    # ---- memory

    def can_monitor_memory_usage(self):
        """Whether the process's memory can be read: needs psutil."""
        return _process() is not None

    def install_monitor_memory_usage(self):
        """Starts watching memory, if `config.max_memory_usage` sets a limit."""
        if not config.max_memory_usage:
            return
        if not self.can_monitor_memory_usage():
            import warnings

            warnings.warn("Unable to monitor memory usage. Install psutil.", MonitorWarning, stacklevel=2)
            return
        period = max(config.memory_monitor_period or 0, self.min_memory_monitor_period)
        self.add_monitoring_function(self.monitor_memory_usage, period)

    def monitor_memory_usage(self, _hub):
        """Sends an event when the memory goes over the limit, and again when it is below."""
        limit = config.max_memory_usage
        process = _process()
        if not limit or process is None:
            return -1
        memory = process.memory_full_info()
        used = getattr(memory, "uss", None) or memory.rss
        if used > limit:
            if not self._memory_exceeded or used > self._memory_exceeded:
                self._memory_exceeded = used
                notify(MemoryUsageThresholdExceeded(used, limit, memory))
        elif self._memory_exceeded:
            exceeded, self._memory_exceeded = self._memory_exceeded, False
            notify(MemoryUsageUnderThreshold(used, limit, memory, exceeded))
        return used

    def __repr__(self):
        return f"<{type(self).__name__} at {hex(id(self))} in thread {hex(self.monitor_thread_ident)} for {self.hub!r}>"


def _now():
    from time import gmtime, strftime

    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime())


def _getpid():
    from os import getpid

    return getpid()


def _process():
    """psutil's view of this process; None without psutil."""
    try:
        from psutil import Process
    except ImportError:
        return None
    return Process()
