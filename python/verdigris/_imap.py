"""What `Pool.imap` and `imap_unordered` return: iterators that are greenlets (gevent._imap).

    the greenlet:  takes items, spawns func(item) for each ──► link: result into the list, the consumer is woken
    the consumer:  __next__ fetches from the list                     (or, in order: waits for the next number)

With `maxsize`, at most so many items are in the works or waiting to be fetched.
"""

from collections import deque
from functools import partial

from verdigris._core import Greenlet
from verdigris.lock import Semaphore

__all__ = ["IMap", "IMapUnordered"]


class Failure:
    """A result that is to be raised."""

    __slots__ = ["exc"]

    def __init__(self, exc):
        self.exc = exc


class _End(Failure):
    """Nothing more will come."""

    __slots__ = []


class IMapUnordered(Greenlet):
    """Yields results in the order in which they arrive."""

    def __init__(self, func, iterable, spawn, maxsize=None, _zipped=False):
        Greenlet.__init__(self)
        self.func = func
        self.iterable = iterable
        self.spawn = spawn
        self._zipped = _zipped
        self._room = Semaphore(maxsize) if maxsize else None
        self.maxsize = maxsize
        self.queue = deque()
        self._available = Semaphore(0)
        self._working = 0
        self._exhausted = False
        self.finished = False

    @classmethod
    def spawn(cls, func, iterable, spawn, maxsize=None, _zipped=False):
        """Makes one and starts it."""
        made = cls(func, iterable, spawn, maxsize, _zipped)
        made.start()
        return made

    def __iter__(self):
        return self

    def __next__(self):
        if self.finished:
            raise StopIteration
        value = self._fetch()
        if self._room is not None and not isinstance(value, _End):
            self._room.release()
        if isinstance(value, _End):
            self.finished = True
        if isinstance(value, Failure):
            raise value.exc
        return value

    def _fetch(self):
        self._available.acquire()
        return self.queue.popleft()

    next = __next__

    def _run(self):
        func = self.func
        try:
            for number, item in enumerate(self.iterable):
                if self._room is not None:
                    self._room.acquire()
                self._working += 1
                greenlet = self.spawn(func, *item) if self._zipped else self.spawn(func, item)
                greenlet.rawlink(self._link(number))
        except BaseException as error:
            self._exhausted = True
            self._deliver(_End(error))
            raise
        self._exhausted = True
        self._maybe_end()

    def _link(self, number):
        """What is to be told when the greenlet of item `number` is done."""
        return self._on_result

    def _on_result(self, greenlet):
        self._working -= 1
        self._deliver(greenlet.value if greenlet.successful() else Failure(greenlet.exception))
        if self._exhausted:
            self._maybe_end()

    def _deliver(self, value):
        self.queue.append(value)
        self._available.release()

    def _maybe_end(self):
        if self._exhausted and self._working == 0:
            self._deliver(_End(StopIteration()))


class IMap(IMapUnordered):
    """Yields results in the order of the items."""

    def __init__(self, *args, **kwargs):
        self._next_number = 0
        self._early = {}
        IMapUnordered.__init__(self, *args, **kwargs)

    def _link(self, number):
        return partial(self._on_numbered_result, number)

    def _on_numbered_result(self, number, greenlet):
        self._working -= 1
        self._early[number] = greenlet.value if greenlet.successful() else Failure(greenlet.exception)
        while self._next_number in self._early:
            self._deliver(self._early.pop(self._next_number))
            self._next_number += 1
        if self._exhausted:
            self._maybe_end()
