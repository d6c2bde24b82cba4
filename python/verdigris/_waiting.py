"""`wait` and `iwait`: waiting for several objects at once (gevent's `_hub_primitives`)."""

from time import monotonic

from verdigris._core import Collector

__all__ = ["iwait", "wait"]


class iwait:
    """Yields the objects as they become ready, at most `count` of them, for at most `timeout` seconds in all.

    An object is anything with `rawlink` and `unlink`: a greenlet, an event, a semaphore, an AsyncResult. With
    None for `objects` this yields what `hub.join(timeout)` returns.

    As a context manager it lets go of the objects at the end of the block, otherwise when it has yielded the last.
    """

    def __init__(self, objects, timeout=None, count=None):
        self._generator = _iwait(objects, timeout, count)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._generator)

    next = __next__

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._generator.close()


def _iwait(objects, timeout, count):
    if objects is None:
        from verdigris.hub import get_hub

        yield get_hub().join(timeout=timeout)
        return
    objects = list(objects)
    remaining = len(objects) if count is None else min(count, len(objects))
    deadline = None if timeout is None else monotonic() + timeout
    collector = Collector()
    try:
        for thing in objects:
            thing.rawlink(collector)
        for _ in range(remaining):
            seconds = None if deadline is None else max(deadline - monotonic(), 0.0)
            ready = collector.get(seconds)
            if ready is None:
                return
            yield ready
    finally:
        for thing in objects:
            unlink = getattr(thing, "unlink", None)
            if unlink is not None:
                unlink(collector)


def wait(objects=None, timeout=None, count=None):
    """Waits until the objects (or `count` of them) are ready; returns the list of those that are.

    With None for `objects`: waits until nothing is left to do in this thread, and tells whether that was so
    (False: `timeout` seconds have passed).
    """
    if objects is None:
        from verdigris.hub import get_hub

        return get_hub().join(timeout=timeout)
    return list(iwait(objects, timeout, count))
