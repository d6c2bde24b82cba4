"""gevent.queue: queues between greenlets; they are made in Rust."""

from queue import Empty, Full

from verdigris._core import Channel, JoinableQueue, LifoQueue, PriorityQueue, Queue, SimpleQueue

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
