"""What gevent's queues put into their lists of those who wait to put an item; programs that derive queues have been seen to use it."""

from verdigris.hub import Waiter

__all__ = ["ItemWaiter"]


class ItemWaiter(Waiter):
    """Waits to put `item` into `queue`."""

    item = queue = None

    def __new__(cls, item, queue):
        return Waiter.__new__(cls)

    def __init__(self, item, queue):
        Waiter.__init__(self)
        self.item = item
        self.queue = queue

    def put_and_switch(self):
        """Puts the item, and lets who waits go on."""
        self.queue._put(self.item)
        self.queue = self.item = None
        return self.switch(self)
