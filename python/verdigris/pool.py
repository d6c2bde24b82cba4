"""Groups and pools of greenlets (gevent.pool): keep track of many, limit how many run at once, map over them.

What is done per greenlet and per item is Rust (`crates/python/src/pool`).
"""

from queue import Full as QueueFull

from verdigris._core import GroupBase, IMapUnordered, PoolBase
from verdigris._incidental import incidental_names
from verdigris.greenlet import CallbackLink, Greenlet, joinall
from verdigris.hub import GreenletExit, getcurrent
from verdigris.hub import kill as _kill
from verdigris.lock import DummySemaphore, Semaphore
from verdigris.timeout import Timeout

__all__ = ["Group", "Pool", "PoolFull"]
__getattr__ = incidental_names(__name__)


class pass_value(CallbackLink):
    """A link that calls `callback` with the value of a greenlet that was successful."""

    __slots__ = []

    def __call__(self, source):
        if source.successful():
            self.callback(source.value)


class GroupMappingMixin:
    """`apply`, `map` and their relatives, for whatever has `spawn`."""

    __slots__ = ()

    def spawn(self, func, *args, **kwargs):
        """Starts func(*args, **kwargs) and returns something with `get`."""
        raise NotImplementedError

    def _apply_immediately(self):
        """Whether `apply` shall call the function here and now: the caller runs in this group already."""
        return False

    def _apply_async_use_greenlet(self):
        """Whether `apply_async` shall wait for room in a greenlet of its own."""
        return False

    def _apply_async_cb_spawn(self, callback, result):
        """Calls `callback(result)` in a greenlet that nobody waits for."""
        Greenlet.spawn(callback, result)

    def apply_cb(self, func, args=None, kwds=None, callback=None):
        """`apply`, and then calls `callback` with the result in a greenlet of its own."""
        result = self.apply(func, args, kwds)
        if callback is not None:
            self._apply_async_cb_spawn(callback, result)
        return result

    def apply_async(self, func, args=None, kwds=None, callback=None):
        """Starts func(*args, **kwds) and returns a Greenlet at once; `callback` gets the result of a success.

        If there is no room, waiting for it is left to that greenlet: this never blocks.
        """
        if self._apply_async_use_greenlet():
            return Greenlet.spawn(self.apply_cb, func, args, kwds, callback)
        greenlet = self.spawn(func, *(args or ()), **(kwds or {}))
        if callback is not None:
            greenlet.link(pass_value(callback))
        return greenlet

    def apply(self, func, args=None, kwds=None):
        """The result of func(*args, **kwds), run in this group; waits for it."""
        args = args or ()
        kwds = kwds or {}
        if self._apply_immediately():
            return func(*args, **kwds)
        return self.spawn(func, *args, **kwds).get()

    def __map(self, func, iterable):
        return [greenlet.get() for greenlet in [self.spawn(func, item) for item in iterable]]

    def map(self, func, iterable):
        """The results of func(item) for each item, in order; waits for all."""
        # The items are started from here, so a call in a full pool that runs here itself would wait for itself.
        return self.__map(func, iterable)

    def map_cb(self, func, iterable, callback=None):
        """`map`, and then calls `callback` with the list."""
        result = self.map(func, iterable)
        if callback is not None:
            callback(result)
        return result

    def map_async(self, func, iterable, callback=None):
        """`map` in a greenlet, which is returned at once."""
        return Greenlet.spawn(self.map_cb, func, iterable, callback)

    def imap(self, func, *iterables, **kwargs):
        """Yields the results of func(*items) in the order of the items.

        Items are taken as there is room; with `maxsize` at most so many results wait to be fetched.
        """
        return IMap.spawn(func, *self.__imap_arguments("imap", iterables, kwargs))

    def imap_unordered(self, func, *iterables, **kwargs):
        """Yields the results of func(*items) in the order in which they arrive; `maxsize` as for `imap`."""
        return IMapUnordered.spawn(func, *self.__imap_arguments("imap_unordered", iterables, kwargs))

    def __imap_arguments(self, name, iterables, kwargs):
        maxsize = kwargs.pop("maxsize", None)
        if kwargs:
            raise TypeError(f"{name}() got an unexpected keyword argument {next(iter(kwargs))!r}")
        return zip(*iterables, strict=False), self.spawn, maxsize, True


class IMap(IMapUnordered):
    """Yields results in the order of the items."""

    _ordered = True


class Group(GroupBase, GroupMappingMixin):
    """A set of greenlets that are still at work: each leaves by itself when it is done.

    False when empty. Has no limit; see `Pool` for one.
    """

    greenlet_class = Greenlet

    def __init__(self, *args):
        if len(args) > 1:
            raise TypeError(f"Group() takes at most one iterable of greenlets ({len(args)} arguments given)")
        if args:
            self.greenlets = set(*args)
            for greenlet in list(self.greenlets):
                greenlet.rawlink(self._discard)
            if self.greenlets:
                self._empty_event.clear()

    def __repr__(self):
        return f"<{type(self).__name__} at 0x{id(self):x} {self.greenlets}>"

    def __iter__(self):
        return iter(self.greenlets)

    def join(self, timeout=None, raise_error=False):
        """Waits until the group is empty, for at most `timeout` seconds; whether it became so.

        With `raise_error` the exception of one that failed is raised when all are done.
        """
        greenlets = list(self.greenlets) if raise_error else ()
        result = self._empty_event.wait(timeout=timeout)
        for greenlet in greenlets:
            if getattr(greenlet, "exception", None) is not None:
                if hasattr(greenlet, "_raise_exception"):
                    greenlet._raise_exception()
                raise greenlet.exception
        return result

    def kill(self, exception=GreenletExit, block=True, timeout=None):
        """Raises `exception` in every member, those that join meanwhile included; waits until the group is empty.

        Not more than `timeout` seconds.
        """
        timer = Timeout._start_new_or_dummy(timeout)
        try:
            while self.greenlets:
                for greenlet in list(self.greenlets):
                    if greenlet in self.dying:
                        continue
                    kill = getattr(greenlet, "kill", None)
                    if kill is None:
                        _kill(greenlet, exception)
                    else:
                        kill(exception, block=False)
                    self.dying.add(greenlet)
                if not block:
                    break
                joinall(self.greenlets)
        except Timeout as expired:
            if expired is not timer:
                raise
        finally:
            timer.cancel()

    def killone(self, greenlet, exception=GreenletExit, block=True, timeout=None):
        """Raises `exception` in one member, and waits at most `timeout` seconds until it is dead."""
        if greenlet not in self.dying and greenlet in self.greenlets:
            greenlet.kill(exception, block=False)
            self.dying.add(greenlet)
            if block:
                greenlet.join(timeout)

    def full(self):
        """Whether there is no room; a plain group always has some."""
        return False

    def wait_available(self, timeout=None):
        """Waits until there is room: at once."""

    def _apply_immediately(self):
        # One of ours that waited for another of ours could wait for room that it takes up itself.
        return getcurrent() in self

    def _apply_async_use_greenlet(self):
        return self.full()


class PoolFull(QueueFull):
    """A pool had no room, and the caller did not want to wait (any longer)."""

    def __str__(self):
        return repr(self.args[0])

    __repr__ = __str__


class Pool(PoolBase, Group):
    """A group of at most `size` greenlets: `spawn` waits until there is room. None: no limit."""

    def __init__(self, size=None, greenlet_class=None):
        if size is not None and size < 0:
            raise ValueError(f"size must not be negative: {size!r}")
        Group.__init__(self)
        self.size = size
        if greenlet_class is not None:
            self.greenlet_class = greenlet_class
        self._semaphore = DummySemaphore(size) if size is None else Semaphore(size)

    def wait_available(self, timeout=None):
        """Waits until a greenlet could be spawned without waiting; not more than `timeout` seconds."""
        return self._semaphore.wait(timeout=timeout)

    def full(self):
        """Whether there is no room."""
        return self.free_count() <= 0

    def free_count(self):
        """For how many greenlets there is room; for a pool without limit always 1."""
        if self.size is None:
            return 1
        return max(0, self.size - len(self))
