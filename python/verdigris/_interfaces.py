"""What a loop, a watcher and a callback offer, as zope interfaces (documented by gevent, used by its users' tests).

zope.interface is not a dependency: where it is not installed, the interfaces are plain classes that say the same and check
nothing.
"""

__all__ = ["ICallback", "ILoop", "IWatcher"]

try:
    from zope.interface import Attribute, Interface, classImplements, implementer
except ImportError:

    class Interface:
        """Stands in for zope.interface.Interface."""

    class Attribute:
        """Stands in for zope.interface.Attribute."""

        def __init__(self, __doc__=""):
            self.__doc__ = __doc__

    def implementer(*_interfaces):
        """Stands in for the class decorator zope.interface.implementer."""
        return lambda class_: class_

    def classImplements(_class, *_interfaces):
        """Stands in for zope.interface.classImplements."""


# Methods of an interface have no self.
class ILoop(Interface):
    """The event loop: makes watchers and runs their callbacks. Nothing of it is safe to use from another thread, except
    `run_callback_threadsafe` and what the watchers of `async_` say."""

    default = Attribute("Whether this is the loop of the main thread, the only one that may watch children.")
    approx_timer_resolution = Attribute("About how exact timers are, in seconds.")

    def run(nowait=False, once=False):
        """Runs until no active watcher is left that holds a reference, or one round if so asked."""

    def now():
        """The time that the loop believes it is, in seconds since the epoch: it stands still while callbacks run."""

    def update_now():
        """Lets the loop look at the clock."""

    def destroy():
        """Frees what the loop holds. Nothing may be asked of it afterwards."""

    def io(fd, events, ref=True, priority=None):
        """A watcher for a file descriptor: events is 1 (readable), 2 (writable) or 3."""

    def closing_fd(fd):
        """Says that a descriptor is about to be closed; returns whether the loop had to be told."""

    def timer(after, repeat=0.0, ref=True, priority=None):
        """A watcher for a time: after seconds from its start, then every repeat seconds."""

    def signal(signum, ref=True, priority=None):
        """A watcher for a signal."""

    def idle(ref=True, priority=None):
        """A watcher that is called when the loop has nothing else to do."""

    def prepare(ref=True, priority=None):
        """A watcher that is called before the loop waits."""

    def check(ref=True, priority=None):
        """A watcher that is called after the loop has waited."""

    def fork(ref=True, priority=None):
        """A watcher that is called in the child after a fork."""

    def async_(ref=True, priority=None):
        """A watcher that another thread may trigger, by its method send()."""

    def child(pid, trace=0, ref=True):
        """A watcher for the end of a child process."""

    def stat(path, interval=0.0, ref=True, priority=None):
        """A watcher for changes of a path in the file system."""

    def run_callback(func, *args):
        """Has func called in the next round, and returns an ICallback."""

    def run_callback_threadsafe(func, *args):
        """The same, from any thread."""


class IWatcher(Interface):
    """Something that the loop watches for."""

    def start(callback, *args, **kwargs):
        """From now on, the event has callback called."""

    def stop():
        """Not any more."""

    def close():
        """Frees what the watcher holds; it stops it, too. It may not be used afterwards."""


class ICallback(Interface):
    """A function that is to be called soon."""

    pending = Attribute("Whether it has not been called yet.")

    def stop():
        """It will not be called."""

    def close():
        """The same."""


def _declare():
    from verdigris.core import callback, loop, watcher

    classImplements(loop, ILoop)
    classImplements(watcher, IWatcher)
    classImplements(callback, ICallback)


_declare()
