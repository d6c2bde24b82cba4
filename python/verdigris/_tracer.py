"""A trace function for greenlets that counts switches and times what comes between."""

from time import perf_counter

from verdigris._core import getcurrent, gettrace, settrace

__all__ = ["GreenletTracer"]


class GreenletTracer:
    """Installs itself; whoever traced before goes on being told.

    `target`: the only greenlet that switches to are counted; None: any.
    """

    def __init__(self, target=None):
        self.target = target
        #: The greenlet that was switched to last; None if something else happened.
        self.active_greenlet = getcurrent()
        self.switches = 0
        self.longest_without_switch = 0.0
        self.last_switch = perf_counter()
        self.previous_trace_function = settrace(self)

    def __call__(self, event, args):
        if event in ("switch", "throw"):
            self.active_greenlet = args[1]
            if self.target is None or args[1] is self.target:
                now = perf_counter()
                self.switches += 1
                self.longest_without_switch = max(self.longest_without_switch, now - self.last_switch)
                self.last_switch = now
        else:
            self.active_greenlet = None
        if self.previous_trace_function is not None:
            self.previous_trace_function(event, args)

    def since_last_switch(self):
        """Seconds."""
        return perf_counter() - self.last_switch

    def kill(self):
        """Ends it, unless somebody else traces by now."""
        if gettrace() is self:
            settrace(self.previous_trace_function)
