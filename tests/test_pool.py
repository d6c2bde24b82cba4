"""`verdigris.pool`: groups and pools of greenlets."""

from __future__ import annotations

import copy

import pytest
import verdigris
from verdigris.event import Event
from verdigris.exceptions import LoopExit
from verdigris.greenlet import Greenlet
from verdigris.pool import Group, Pool, PoolFull
from verdigris.queue import Queue
from verdigris.timeout import Timeout


@pytest.fixture(autouse=True)
def quiet():
    """Nothing is printed of the greenlets that fail on purpose."""
    hub = verdigris.get_hub()
    hub.exception_stream = None
    yield
    del hub.exception_stream


def test_a_group_knows_who_is_at_work():
    group, go = Group(), Event()
    assert (bool(group), len(group), group.join()) == (False, 0, True)
    greenlets = [group.spawn(go.wait) for _ in range(3)]
    assert (bool(group), len(group), greenlets[0] in group, set(group)) == (True, 3, True, set(greenlets))
    assert group.join(timeout=0.001) is False
    go.set()
    assert group.join() is True
    assert (len(group), group.full(), group.wait_available()) == (0, False, None)


def test_a_group_of_greenlets_that_are_there():
    go = Event()
    greenlet = verdigris.spawn(go.wait)
    group = Group([greenlet])
    other = Greenlet(go.wait)
    group.start(other)
    assert len(group) == 2
    group.discard(other)
    assert set(group) == {greenlet}
    go.set()
    assert group.join() is True
    with pytest.raises(TypeError):
        Group([], [])


def test_join_raises_what_a_member_raised():
    group = Group()
    group.spawn(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        group.join(raise_error=True)


def test_kill_ends_all_also_those_who_come_meanwhile():
    group, log = Group(), []

    def replaces_itself():
        try:
            Event().wait()
        finally:
            log.append(len(group))
            if len(log) == 1:
                group.spawn(replaces_itself)
                verdigris.sleep(0)

    group.spawn(replaces_itself)
    verdigris.sleep(0)
    group.kill()
    assert (len(group), len(log)) == (0, 2)


def test_kill_throws_once_at_each_and_may_give_up():
    group, shots = Group(), []

    def undead():
        while len(shots) < 2:
            try:
                Event().wait()
            except LoopExit:
                raise
            except BaseException as error:
                shots.append(error)

    greenlet = group.spawn(undead)
    verdigris.sleep(0)
    group.kill(block=False)
    group.kill(block=False)
    verdigris.sleep(0)
    assert len(shots) == 1
    group.kill(timeout=0.001)
    group.killone(greenlet)
    assert (len(shots), len(group)) == (1, 1)
    greenlet.kill()
    assert group.join() is True


def test_a_pool_has_room_for_so_many():
    pool, go = Pool(2), Event()
    assert (pool.free_count(), pool.full(), pool.wait_available()) == (2, False, 2)
    pool.spawn(go.wait)
    pool.spawn(go.wait)
    assert (pool.free_count(), pool.full(), pool.wait_available(timeout=0.001)) == (0, True, 0)
    with pytest.raises(PoolFull):
        pool.add(Greenlet(go.wait), blocking=False)
    with pytest.raises(PoolFull):
        pool.start(Greenlet(go.wait), timeout=0.001)
    third = verdigris.spawn(pool.spawn, go.wait)
    verdigris.sleep(0)
    assert not third.ready()
    go.set()
    assert isinstance(third.get(), Greenlet)
    assert pool.join() is True
    assert (pool.free_count(), pool._semaphore.counter) == (2, 2)


def test_a_pool_without_limit_and_one_without_room():
    assert (Pool().free_count(), Pool().full(), Pool(0).full(), Pool(0).wait_available(timeout=0.001)) == (
        1,
        False,
        True,
        0,
    )
    with pytest.raises(ValueError, match="size must not be negative"):
        Pool(-1)
    duplicate = copy.copy(Pool(3))
    assert duplicate.size == 3


def test_a_pool_makes_greenlets_of_a_class():
    class Mine(Greenlet):
        pass

    assert isinstance(Pool(1, Mine).spawn(int), Mine)


@pytest.mark.parametrize("size", [None, 1, 3])
def test_mapping(size):
    pool = Pool(size)
    assert pool.apply(divmod, (7, 2)) == (3, 1)
    assert pool.apply(int, ("11",), {"base": 2}) == 3
    assert pool.apply(pool.apply, (len, ("abc",))) == 3
    assert pool.map(str, range(20)) == [str(number) for number in range(20)]
    assert pool.map_async(str, [1]).get() == ["1"]
    assert list(pool.imap(pow, [1, 2, 3], [2, 2, 2])) == [1, 4, 9]
    assert sorted(pool.imap_unordered(pow, [1, 2, 3], [2, 2, 2])) == [1, 4, 9]
    assert list(pool.imap(str, [])) == list(pool.imap_unordered(str, [])) == pool.map(str, []) == []
    results = []
    pool.apply_async(len, ("ab",), callback=results.append).get()
    pool.apply_cb(len, ("abc",), callback=results.append)
    pool.map_cb(len, ["a"], callback=results.append)
    verdigris.sleep(0)
    assert sorted(results, key=str) == [2, 3, [1]]


@pytest.mark.parametrize("size", [None, 1, 3])
def test_errors_come_at_their_place(size):
    pool = Pool(size)
    ordered = pool.imap(lambda divisor: 1 / divisor, [1, 0, 2])
    assert next(ordered) == 1
    with pytest.raises(ZeroDivisionError):
        next(ordered)
    assert list(ordered) == [0.5]
    with pytest.raises(ZeroDivisionError):
        pool.map(lambda divisor: 1 / divisor, [1, 0])
    with pytest.raises(ZeroDivisionError):
        pool.apply(lambda: 1 / 0)

    def items():
        yield 1
        raise KeyError("items")

    for mapping in (pool.imap, pool.imap_unordered):
        with pytest.raises(KeyError):
            list(mapping(str, items()))


def test_results_in_the_order_they_come():
    pool, events = Pool(3), [Event(), Event(), Event()]

    def work(number):
        events[number].wait()
        return number

    results = pool.imap_unordered(work, range(3))
    got = []
    for number in (2, 0, 1):
        events[number].set()
        got.append(next(results))
    assert got == [2, 0, 1]


@pytest.mark.parametrize("name", ["imap", "imap_unordered"])
def test_no_more_is_begun_than_may_wait_to_be_fetched(name):
    begun = []
    results = getattr(Pool(10), name)(begun.append, range(20), maxsize=2)
    verdigris.sleep(0)
    verdigris.sleep(0)
    assert len(begun) == 2
    next(results)
    verdigris.sleep(0)
    verdigris.sleep(0)
    assert len(begun) == 3
    assert len(list(results)) == 19
    with pytest.raises(TypeError, match="unexpected keyword argument 'more'"):
        getattr(Pool(10), name)(str, [1], more=1)


def test_items_may_come_from_a_queue():
    queue, pool = Queue(), Pool(2)
    results = pool.imap(str, queue)
    queue.put(1)
    assert next(results) == "1"
    queue.put(2)
    queue.put(StopIteration)
    assert list(results) == ["2"]


def test_a_full_pool_does_not_hold_up_apply_async():
    pool, go = Pool(1), Event()
    pool.spawn(go.wait)
    waiting = pool.apply_async(len, ("abc",))
    assert not waiting.ready()
    go.set()
    assert waiting.get(timeout=30) == 3


def test_a_timeout_may_end_waiting_for_room():
    pool, go = Pool(1), Event()
    pool.spawn(go.wait)
    with pytest.raises(Timeout), Timeout(0.001):
        pool.spawn(go.wait)
    go.set()
    pool.join()
    assert pool.free_count() == 1


@pytest.mark.parametrize("base", [Group, Pool])
def test_a_method_that_is_replaced_later_is_called(base):
    class Own(base):
        pass

    group, added = Own(), []
    group.spawn(int).join()

    def add(self, greenlet):
        added.append(greenlet)
        super(Own, self).add(greenlet)

    Own.add = add
    greenlet = group.spawn(int)
    assert added == [greenlet]
    del Own.add
    group.spawn(int).join()
    assert group.join() is True
    assert added == [greenlet]
