"""The types of `queue.py`."""

import sys
from collections.abc import Iterable
from queue import Empty, Full
from typing import Any

from typing_extensions import TypeVar

from verdigris._core import Channel, JoinableQueue, LifoQueue, PriorityQueue, Queue, SimpleQueue

__all__ = [
    "Queue",
    "PriorityQueue",
    "LifoQueue",
    "SimpleQueue",
    "JoinableQueue",
    "Channel",
    "Empty",
    "Full",
    "ShutDown",
]

if sys.version_info >= (3, 13):
    from queue import ShutDown
else:
    class ShutDown(Exception): ...

_T = TypeVar("_T", default=Any)

class UnboundQueue(Queue[_T]):
    def __init__(self, maxsize: None = None, items: Iterable[_T] = ()) -> None: ...
