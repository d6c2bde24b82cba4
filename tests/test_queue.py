"""`verdigris.queue`: queues and the channel, among greenlets and across threads."""

from __future__ import annotations

import gc
import pickle
import queue as standard
import sys
import threading
import time
import weakref

import pytest
import verdigris
from native_threads import NativeThread
from verdigris.exceptions import LoopExit
from verdigris.hub import get_hub_if_exists
from verdigris.queue import (
    Channel,
    Empty,
    Full,
    JoinableQueue,
    LifoQueue,
    PriorityQueue,
    Queue,
    ShutDown,
    SimpleQueue,
    UnboundQueue,
)
from verdigris.timeout import Timeout

QUEUES = [SimpleQueue, Queue, LifoQueue, PriorityQueue]


def test_names():
    assert JoinableQueue is Queue
    assert (Empty, Full) == (standard.Empty, standard.Full)
    assert issubclass(PriorityQueue, Queue)
    assert issubclass(Queue, SimpleQueue)


@pytest.mark.parametrize(
    ("make", "order"),
    [(SimpleQueue, [2, 3, 1]), (Queue, [2, 3, 1]), (LifoQueue, [1, 3, 2]), (PriorityQueue, [1, 2, 3])],
)
def test_order(make, order):
    queue = make()
    for item in (2, 3, 1):
        queue.put(item)
    assert (len(queue), queue.qsize(), queue.empty(), queue.full(), bool(queue)) == (3, 3, False, False, True)
    assert queue.peek() == queue.peek_nowait() == order[0]
    copy = queue.copy()
    assert [queue.get() for _ in range(3)] == order
    assert [copy.get() for _ in range(3)] == order
    assert queue.empty()
    assert make(items=[2, 3, 1]).get() == order[0]


@pytest.mark.parametrize("make", QUEUES)
def test_the_attribute_queue_is_what_the_items_are_in(make):
    queue = make()
    queue.put(2)
    queue.queue.append(3)
    assert len(queue) == 2
    queue.queue.clear()
    queue.put(1)
    assert (list(queue.queue), queue.get(), len(queue)) == ([1], 1, 0)


@pytest.mark.parametrize("make", QUEUES)
def test_neither_item_nor_room(make):
    queue = make(1)
    for get in (queue.get_nowait, lambda: queue.get(block=False), lambda: queue.get(timeout=0.001), queue.peek_nowait):
        with pytest.raises(Empty):
            get()
    queue.put(1)
    assert (queue.full(), queue.maxsize) == (True, 1)
    for put in (
        queue.put_nowait,
        lambda item: queue.put(item, block=False),
        lambda item: queue.put(item, timeout=0.001),
    ):
        with pytest.raises(Full):
            put(2)
    limit = Timeout(0.001)
    with pytest.raises(Timeout) as caught:
        queue.put(2, timeout=limit)
    assert caught.value is limit
    with pytest.raises(ValueError, match="'timeout' must be a non-negative number"):
        queue.put(2, timeout=-1)
    assert len(queue) == 1


def test_sizes():
    assert (Queue().maxsize, Queue(-1).maxsize, Queue(None).maxsize) == (None, None, None)
    with pytest.warns(DeprecationWarning, match=r"Queue\(0\) now equivalent to Queue\(None\)"):
        assert Queue(0).maxsize is None
    with pytest.raises(TypeError):
        Queue("x")
    with pytest.raises(ValueError, match="UnboundQueue has no maxsize"):
        UnboundQueue(1)
    with pytest.raises(ValueError, match="Channels have a maxsize of 1"):
        Channel(2)


def getting(queue, log, name):
    log.append((name, queue.get()))


def putting(queue, log, item):
    queue.put(item)
    log.append(item)


def test_who_waits_longest_gets_the_item_unless_somebody_does_not_have_to_wait():
    queue, log = Queue(), []
    for number in range(3):
        verdigris.spawn(getting, queue, log, number)
    verdigris.sleep(0)
    loop = verdigris.get_hub().loop
    loop.run_callback(log.append, "before")
    queue.put("a")
    queue.put("b")
    loop.run_callback(log.append, "after")
    assert queue.get() == "a"
    verdigris.sleep(0)
    assert log == ["before", (0, "b"), "after"]


def test_putters_go_on_in_order_as_there_is_room():
    queue, log = Queue(1), []
    queue.put(0)
    for number in (1, 2, 3):
        verdigris.spawn(putting, queue, log, number)
    verdigris.sleep(0)
    assert log == []
    got = []
    for _ in range(4):
        got.append(queue.get())
        verdigris.sleep(0)
    assert (got, log) == ([0, 1, 2, 3], [1, 2, 3])


def test_peeking_leaves_the_item_for_the_next():
    queue = Queue()
    greenlets = [verdigris.spawn(method) for method in (queue.peek, queue.peek, queue.get)]
    verdigris.sleep(0)
    queue.put(1)
    assert [greenlet.get() for greenlet in greenlets] == [1, 1, 1]
    assert queue.empty()


def test_a_killed_getter_takes_no_item_along():
    queue, log = Queue(), []
    greenlets = [verdigris.spawn(getting, queue, log, number) for number in range(2)]
    verdigris.sleep(0)
    queue.put("item")
    greenlets[0].kill()
    verdigris.sleep(0)
    assert log == [(0, "item")] or (log == [(1, "item")])


def test_in_the_hub_nobody_waits_but_others_go_ahead():
    queue, log = Queue(1), []
    verdigris.spawn(getting, queue, log, "greenlet")
    verdigris.sleep(0)

    def callback():
        for item in (1, 2, 3):
            try:
                queue.put(item)
                log.append(item)
            except Full:
                log.append("full")

    verdigris.get_hub().loop.run_callback(callback)
    verdigris.sleep(0)
    assert log == [1, ("greenlet", 1), 2, "full"]


def test_nobody_will_put():
    with pytest.raises(LoopExit):
        Queue().get()
    with pytest.raises(LoopExit):
        Channel().put(1)


def test_iteration_ends_with_stop_iteration():
    queue = Queue(items=[1, 2, StopIteration, 3])
    assert list(queue) == [1, 2]
    assert queue.get() == 3


def test_tasks():
    queue = Queue()
    assert queue.join() is True
    queue.put(1)
    queue.put(2)
    assert (queue.unfinished_tasks, queue.join(timeout=0.001)) == (2, False)
    waiting = verdigris.spawn(queue.join)
    queue.get()
    queue.task_done()
    verdigris.sleep(0)
    assert not waiting.ready()
    queue.task_done()
    assert waiting.get() is True
    with pytest.raises(ValueError, match=r"task_done\(\) called too many times"):
        queue.task_done()
    assert Queue(None, [1], 5).unfinished_tasks == 5


def test_shutdown():
    queue = Queue()
    queue.put(1)
    queue.shutdown()
    with pytest.raises(ShutDown):
        queue.put(2)
    assert (queue.get(), queue.is_shutdown) == (1, True)
    for method in (queue.get, queue.get_nowait, queue.peek):
        with pytest.raises(ShutDown):
            method()


def test_shutdown_ends_all_waits():
    empty, full = Queue(), Queue(1)
    full.put(1)
    greenlets = [verdigris.spawn(_raised, method) for method in (empty.get, empty.peek, lambda: full.put(2))]
    verdigris.sleep(0)
    empty.shutdown()
    full.shutdown(immediate=True)
    assert [greenlet.get() for greenlet in greenlets] == [ShutDown] * 3
    assert (full.unfinished_tasks, len(full), full.join()) == (0, 0, True)


def _raised(function):
    try:
        function()
    except Exception as error:
        return type(error)
    return None


def test_subclasses_say_how_items_are_kept():
    class Reverse(Queue):
        def _init(self, maxsize):
            self.kept = []
            self.sizes = [maxsize]

        def _qsize(self):
            return len(self.kept)

        def _put(self, item):
            if item == "bad":
                raise KeyError(item)
            self.kept.append(item)

        def _get(self):
            return self.kept.pop()

    queue = Reverse(2)
    queue.put(1)
    queue.put(2)
    assert (queue.full(), queue.sizes) == (True, [2])
    bad, good = verdigris.spawn(_raised, lambda: queue.put("bad")), verdigris.spawn(queue.put, 3)
    verdigris.sleep(0)
    assert queue.get() == 2
    assert bad.get() is KeyError
    good.get()
    assert (queue.get(), queue.get()) == (3, 1)


def test_a_subclass_may_set_the_queue():
    items = []

    class Mine(LifoQueue):
        def _init(self, maxsize):
            self.queue = items

    queue = Mine()
    queue.put(1)
    assert (queue.queue is items, items) == (True, [1])


def test_texts():
    queue = Queue(3)
    assert repr(queue) == f"<Queue at {id(queue):#x} maxsize=3>"
    queue.put(1)
    assert str(queue).startswith("<Queue maxsize=3 queue=deque([1]) tasks=1 _cond=<")
    channel = Channel()
    assert (repr(channel), str(channel)) == (f"<Channel at {id(channel):#x} >", "<Channel >")


@pytest.mark.parametrize("make", [*QUEUES, Channel])
def test_generic_not_pickled_and_collected(make):
    assert make[int].__origin__ is make
    queue = make()
    with pytest.raises(TypeError):
        pickle.dumps(queue)
    if make is not Channel and make is not PriorityQueue:
        queue.put(queue)
    reference = weakref.ref(queue)
    del queue
    gc.collect()
    assert reference() is None


# The channel ----------------------------------------------------------------------------------------------------------


def test_put_and_get_meet():
    channel, log = Channel(), []

    def other():
        log.append(channel.get())
        log.append(channel.get())

    greenlet = verdigris.spawn(other)
    log.append("sending")
    channel.put("hello")
    log.append("sent hello")
    channel.put("world")
    log.append("sent world")
    assert log == ["sending", "hello", "sent hello", "world", "sent world"]
    greenlet.get()


def test_the_channel_has_no_room():
    channel = Channel()
    assert (channel.qsize(), channel.empty(), channel.full(), channel.balance) == (0, True, True, 0)
    with pytest.raises(Full):
        channel.put_nowait(1)
    with pytest.raises(Full):
        channel.put(1, timeout=0.001)
    with pytest.raises(Empty):
        channel.get_nowait()
    with pytest.raises(Empty):
        channel.get(timeout=0.001)
    getter = verdigris.spawn(channel.get)
    verdigris.sleep(0)
    assert (channel.balance, len(channel.getters)) == (-1, 1)
    channel.put_nowait("now")
    assert getter.get() == "now"
    putter = verdigris.spawn(channel.put, "later")
    verdigris.sleep(0)
    assert (channel.balance, channel.putters[0][0], channel.get_nowait()) == (1, "later", "later")
    putter.get()
    assert channel.balance == 0


def test_iterating_over_a_channel():
    channel = Channel()
    putter = verdigris.spawn(lambda: [channel.put(item) for item in (1, 2, StopIteration)])
    assert list(channel) == [1, 2]
    putter.get()


# Threads --------------------------------------------------------------------------------------------------------------


def test_uncontended_use_makes_no_hub():
    def use():
        queue = Queue(2)
        queue.put(1)
        queue.put(2)
        return queue.get() + queue.get(), get_hub_if_exists()

    assert NativeThread(use).join() == (3, None)


@pytest.mark.parametrize("make", [SimpleQueue, Queue, Channel])
def test_a_thread_without_a_hub_waits_for_an_item_from_here(make):
    queue, started = make(), threading.Event()

    def get():
        started.set()
        return queue.get(), get_hub_if_exists()

    thread = NativeThread(get)
    started.wait()
    queue.put("item")
    assert thread.join() == ("item", None)


def test_a_thread_without_a_hub_waits_for_room_and_gives_up():
    queue = Queue(1)
    queue.put(1)
    with pytest.raises(Full):
        NativeThread(queue.put, 2, True, 0.001).join()
    with pytest.raises(Empty):
        NativeThread(Queue().get, True, 0.001).join()
    thread = NativeThread(queue.put, 2)
    while "putters" not in repr(queue):
        time.sleep(0)
    assert queue.get() == 1
    thread.join()
    assert queue.get() == 2


@pytest.mark.parametrize("make", [lambda: Queue(2), Queue, lambda: SimpleQueue(1), Channel])
def test_no_item_is_lost_or_doubled(make):
    queue, got, each, count = make(), [], 100, 3
    interval = sys.getswitchinterval()

    def produce(name):
        for number in range(each):
            queue.put((name, number))

    def consume():
        while (item := queue.get()) is not None:
            got.append(item)

    def with_hub(function, number, *arguments):
        return verdigris.spawn(function, *arguments).get() if number % 2 else function(*arguments)

    sys.setswitchinterval(1e-5)
    try:
        consumers = [NativeThread(with_hub, consume, number) for number in range(count)]
        producers = [NativeThread(with_hub, produce, number, number) for number in range(count)]
        here = [verdigris.spawn(produce, "here"), verdigris.spawn(consume)]
        here[0].get()
        for producer in producers:
            producer.wait()
        for _ in range(count + 1):
            queue.put(None)
        here[1].get()
        for consumer in consumers:
            consumer.wait()
    finally:
        sys.setswitchinterval(interval)
    assert sorted(got, key=repr) == sorted(
        ((name, number) for name in [0, 1, 2, "here"] for number in range(each)), key=repr
    )
