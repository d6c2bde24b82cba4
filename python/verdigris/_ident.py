"""Small numbers for objects, free again when the object is gone (gevent._ident)."""

from heapq import heappop, heappush
from weakref import WeakKeyDictionary, ref

__all__ = ["IdentRegistry"]


class IdentRegistry:
    """Gives each object the smallest number that no other living object of this registry has.

    Objects are told apart by identity of their weak references; they must be hashable.
    """

    def __init__(self):
        self._registry = WeakKeyDictionary()
        self._available = []

    def get_ident(self, obj: object) -> int:
        """The number of `obj`: always the same while it lives."""
        try:
            return self._registry[obj][0]
        except KeyError:
            pass
        ident = heappop(self._available) if self._available else len(self._registry)
        available = self._available
        self._registry[obj] = (ident, ref(obj, lambda _: heappush(available, ident)))
        return ident

    def __len__(self) -> int:
        return len(self._registry)
