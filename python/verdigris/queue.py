"""Queues between greenlets and threads (gevent.queue); they are Rust (`crates/python/src/primitives`)."""

from __future__ import annotations

import sys
from queue import Empty, Full

from verdigris._core import Channel, JoinableQueue, LifoQueue, PriorityQueue, Queue, SimpleQueue
from verdigris._incidental import incidental_names

if sys.version_info >= (3, 13):
    from queue import ShutDown
else:

    class ShutDown(Exception):
        """A queue was used that has been shut down."""


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__implements__ = ["Queue", "PriorityQueue", "LifoQueue", "SimpleQueue"]
__extensions__ = ["JoinableQueue", "Channel"]
__imports__ = ["Empty", "Full"]
if "ShutDown" in vars(__import__("queue")):
    __imports__.append("ShutDown")
else:
    __extensions__.append("ShutDown")
# In full, for type checkers.
__all__ = [
    "Channel",
    "Empty",
    "Full",
    "JoinableQueue",
    "LifoQueue",
    "PriorityQueue",
    "Queue",
    "ShutDown",
    "SimpleQueue",
]
__getattr__ = incidental_names(__name__)


class UnboundQueue(Queue):
    """A queue that never is full; kept for programs that name it."""

    def __init__(self, maxsize: None = None, items: Iterable[Any] = ()) -> None:
        if maxsize is not None:
            raise ValueError("UnboundQueue has no maxsize")
        super().__init__(None, items)
