"""Queues between greenlets and threads (gevent.queue); they are Rust (`crates/python/src/primitives`)."""

from queue import Empty, Full

from verdigris._core import Channel, JoinableQueue, LifoQueue, PriorityQueue, Queue, SimpleQueue
from verdigris._incidental import incidental_names

try:
    from queue import ShutDown
except ImportError:  # before Python 3.13

    class ShutDown(Exception):
        """A queue was used that has been shut down."""


__implements__ = ["Queue", "PriorityQueue", "LifoQueue", "SimpleQueue"]
__extensions__ = ["JoinableQueue", "Channel"]
__imports__ = ["Empty", "Full"]
if "ShutDown" in vars(__import__("queue")):
    __imports__.append("ShutDown")
else:
    __extensions__.append("ShutDown")
__all__ = __implements__ + __extensions__ + __imports__
__getattr__ = incidental_names(__name__)


class UnboundQueue(Queue):
    """A queue that never is full; kept for programs that name it."""

    def __init__(self, maxsize=None, items=()):
        if maxsize is not None:
            raise ValueError("UnboundQueue has no maxsize")
        super().__init__(None, items)
