"""Trace functions for greenlets: they note every switch of their thread, for somebody else to look at.

GreenletTracer    counts switches and knows who was switched to last: what the monitor thread looks at
SwitchTimer       also times what comes between: what `util.assert_switches` looks at
"""

from time import perf_counter

from verdigris._core import getcurrent, gettrace, settrace

__all__ = ["GreenletTracer", "SwitchTimer"]


class GreenletTracer:
    """Installs itself as the thread's trace function; whoever traced before goes on being told.

    Its attributes are single stores, so no lock is needed to read them in another thread.
    """

    def __init__(self):
        #: The greenlet that was switched to last; None if something else happened, or it may block.
        self.active_greenlet = None
        self.greenlet_switch_counter = 0
        self.previous_trace_function = settrace(self)

    def __call__(self, event, args):
        self.greenlet_switch_counter += 1
        if event in ("switch", "throw"):
            self.active_greenlet = args[1]
            self.switched_to(args[1])
        else:
            self.active_greenlet = None
        if self.previous_trace_function is not None:
            self.previous_trace_function(event, args)

    def switched_to(self, greenlet):
        """For subclasses: called with every greenlet that is switched to."""

    def kill(self):
        """Takes itself back, unless somebody else traces by now. In another thread, nothing can be taken back."""
        if gettrace() is self:
            settrace(self.previous_trace_function)
            self.previous_trace_function = None
        self.active_greenlet = None

    def did_block_hub(self, hub):
        """The greenlet, another than the hub, that has run since the last call without a switch; None if there was one."""
        active = self.active_greenlet
        switches, self.greenlet_switch_counter = self.greenlet_switch_counter, 0
        return active if not switches and active is not hub else None

    def ignore_current_greenlet_blocking(self):
        """The current greenlet may block until it is switched out of."""
        self.active_greenlet = None

    def monitor_current_greenlet_blocking(self):
        """Takes `ignore_current_greenlet_blocking` back."""
        self.active_greenlet = getcurrent()


class SwitchTimer(GreenletTracer):
    """Counts and times switches to one greenlet, or to any (None)."""

    def __init__(self, target=None):
        self.target = target
        self.switches = 0
        self.longest_without_switch = 0.0
        self.last_switch = perf_counter()
        super().__init__()
        self.active_greenlet = getcurrent()

    def switched_to(self, greenlet):
        if self.target is None or greenlet is self.target:
            now = perf_counter()
            self.switches += 1
            self.longest_without_switch = max(self.longest_without_switch, now - self.last_switch)
            self.last_switch = now

    def since_last_switch(self):
        """Seconds."""
        return perf_counter() - self.last_switch
