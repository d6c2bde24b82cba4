"""The sweeper: greenlets that are idle for long give back memory, and nothing else changes."""

from __future__ import annotations

import gc
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
import verdigris
from conftest import Run
from verdigris import _core, config
from verdigris.event import Event
from verdigris.hub import get_hub

PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(autouse=True)
def _short_interval() -> Iterator[None]:
    """As often as can be: a pass each time the clock of the sweeper, which counts some milliseconds at once, has moved."""
    config.stack_sweep_interval = 0.001
    yield
    config.stack_sweep_interval = 5


def eventually(condition: Callable[[], bool]) -> None:
    """Lets the loop sleep until it is so; that it never is ends the test at its limit."""
    while not condition():
        verdigris.sleep(0.002)


def deep(levels: int) -> int:
    """Uses a lot of C stack and of Python frames, and comes back: how deep it was."""
    return sorted([1], key=lambda _: deep(levels - 1))[0] + levels - 1 if levels else 0


def resident(greenlets: list[_core.greenlet]) -> float:
    return max(map(_core.stack_resident_bytes, greenlets)) / PAGE


def test_who_waits_gives_memory_back() -> None:
    gate = Event()

    def wait(number: int) -> list[int]:
        deep(30)
        mine = [number] * 10
        gate.wait()
        deep(10)
        return mine

    waiting = [verdigris.spawn(wait, number) for number in range(300)]
    verdigris.sleep(0)
    assert resident(waiting) > 3
    before = _core.statistics()["swept"]
    eventually(lambda: resident(waiting) <= 2)
    assert _core.statistics()["swept"] >= before + 300
    gate.set()
    verdigris.joinall(waiting)
    assert [one.value for one in waiting] == [[number] * 10 for number in range(300)]


def test_raw_greenlets_give_memory_back() -> None:
    def body() -> tuple[int, object]:
        kept = deep(30)
        got = _core.getcurrent().parent.switch(kept)
        return kept + deep(30), got

    made = [_core.greenlet(body) for _ in range(50)]
    expected = [one.switch() for one in made]
    assert resident(made) > 3
    eventually(lambda: resident(made) <= 2)
    assert [one.switch(number) for number, one in enumerate(made)] == [(2 * kept, n) for n, kept in enumerate(expected)]


def test_one_that_was_busy_at_the_same_place_gives_memory_back_in_the_end() -> None:
    """The sweeper cannot tell that a raw greenlet has run, when it waits at the same place as before: it comes back."""
    parent = _core.getcurrent()

    def body() -> None:
        while True:
            parent.switch()
            deep(30)

    busy = _core.greenlet(body)
    busy.switch()
    for _ in range(5):
        swept = _core.statistics()["swept"]
        eventually(lambda: _core.statistics()["swept"] > swept)  # noqa: B023
        busy.switch()
    assert resident([busy]) > 3
    eventually(lambda: resident([busy]) <= 2)


def test_what_is_in_use_stays() -> None:
    """Suspended deep down, where stack and frames are full: not one of them is touched."""
    parent = _core.getcurrent()

    def descend(levels: int, seed: int) -> int:
        mine = random.Random(seed).random()
        if levels == 0:
            parent.switch()
        else:
            assert sorted([levels], key=lambda _: descend(levels - 1, seed + 1)) == [levels]
        assert mine == random.Random(seed).random()
        return levels

    for levels in (0, 1, 5, 60):
        made = [_core.greenlet(descend) for _ in range(20)]
        for number, one in enumerate(made):
            one.switch(levels, number * 1000)
        before = _core.statistics()["swept"]
        eventually(lambda: _core.statistics()["swept"] >= before + 20)  # noqa: B023
        assert [one.switch() for one in made] == [levels] * 20


def test_frames_beyond_the_annex_stay() -> None:
    """Python frames that have outgrown their place beside the stack are in chunks of CPython's own."""
    parent = _core.getcurrent()

    def descend(levels: int) -> int:
        return parent.switch() or 0 if levels == 0 else descend(levels - 1) + 1

    made = [_core.greenlet(descend) for _ in range(10)]
    for one in made:
        one.switch(900)
    before = _core.statistics()["swept"]
    eventually(lambda: _core.statistics()["swept"] >= before + 10)
    assert [one.switch() for one in made] == [900] * 10


@pytest.mark.parametrize("seed", range(4))
def test_random_programs_do_not_notice(seed: int) -> None:
    """Greenlets that go down, up, wait, raise, collect and hand over, at random, while the sweeper is at work."""
    chance = random.Random(seed)
    gates = [Event() for _ in range(5)]

    def work(number: int, levels: int) -> int:
        own = random.Random(number)
        expected = own.getrandbits(64)
        for _ in range(own.randrange(6)):
            choice = own.randrange(6)
            if choice == 0:
                verdigris.sleep(own.choice((0, 0.001, 0.01)))
            elif choice == 1:
                gates[own.randrange(5)].wait(own.choice((0.001, 0.005)))
            elif choice == 2 and levels:
                assert sorted([3], key=lambda _: work(number + 1, levels - 1))
            elif choice == 3:
                try:
                    deep(own.randrange(20))
                    raise KeyError(number)
                except KeyError as error:
                    verdigris.sleep(0)
                    assert error.args == (number,) and sys.exc_info()[1] is error
            elif choice == 4:
                inner = _core.greenlet(lambda depth: _core.getcurrent().parent.switch(deep(depth)) + deep(depth))
                depth = own.randrange(25)
                expected_depth = inner.switch(depth)
                verdigris.sleep(own.choice((0, 0.005)))
                assert inner.switch(expected_depth) == 2 * expected_depth
            else:
                gc.collect(0)
        assert expected == random.Random(number).getrandbits(64)
        return number

    for _ in range(5):
        numbers = [chance.randrange(10**6) for _ in range(60)]
        spawned = [verdigris.spawn(work, number, 4) for number in numbers]
        for gate in gates:
            verdigris.sleep(0.002)
            gate.set()
            gate.clear()
        verdigris.joinall(spawned, raise_error=True)
        assert [one.value for one in spawned] == numbers


def test_free_stacks_give_memory_back() -> None:
    def some(count: int) -> None:
        gate = Event()
        made = [verdigris.spawn(lambda: (deep(10), gate.wait())) for _ in range(count)]
        verdigris.sleep(0)
        gate.set()
        verdigris.joinall(made, raise_error=True)

    some(500)
    eventually(lambda: _core.statistics()["stacks_warm"] <= 40)
    kept = _core.statistics()
    assert kept["stacks_cold"] >= 400
    some(500)
    assert _core.statistics()["reuses"] >= kept["reuses"] + 500


def test_never() -> None:
    config.stack_sweep_interval = None
    gate = Event()
    waiting = [verdigris.spawn(lambda: (deep(30), gate.wait())) for _ in range(20)]
    verdigris.sleep(0)
    before, held = _core.statistics(), resident(waiting)
    for _ in range(10):
        verdigris.sleep(0.002)
    after = _core.statistics()
    assert [after[name] for name in ("swept", "emptied")] == [before[name] for name in ("swept", "emptied")]
    assert resident(waiting) == held
    gate.set()
    verdigris.joinall(waiting)


def test_the_loop_does_not_notice(program: Run) -> None:
    """It sleeps in parts: none of them is an iteration, and watchers are not called for them."""
    source = """
        import verdigris
        from verdigris import _core, config
        from verdigris.event import Event
        config.stack_sweep_interval = 0.001
        def deep(levels):
            return sorted([1], key=lambda _: deep(levels - 1))[0] + levels - 1 if levels else 0
        gate, seen = Event(), []
        waiting = [verdigris.spawn(lambda: (deep(30), gate.wait())) for _ in range(200)]
        verdigris.sleep(0)
        check = verdigris.get_hub().loop.check()
        check.start(seen.append, None)
        swept = _core.statistics()["swept"]
        verdigris.sleep(0.2)
        check.stop()
        assert _core.statistics()["swept"] > swept
        assert len(seen) <= 2, seen
        """
    ended = program(source, patched=False)
    assert ended.status == 0, ended.stderr


def test_greenlets_of_threads_without_a_hub() -> None:
    """A hub sweeps the stacks of all threads; who has none runs on meanwhile."""
    ready, go = threading.Event(), threading.Event()
    made: list[_core.greenlet] = []
    values: list[int] = []

    def body() -> int:
        before = deep(30)
        _core.getcurrent().parent.switch()
        return deep(30) - before

    def run() -> None:
        made.extend(_core.greenlet(body) for _ in range(20))
        for one in made:
            one.switch()
        ready.set()
        for _ in range(2000):
            one = _core.greenlet(body)
            one.switch()
            values.append(one.switch())
        go.wait()
        values.extend(one.switch() for one in made)

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    eventually(lambda: resident(made) <= 2)
    go.set()
    thread.join()
    assert values == [0] * 2020


def test_every_thread_with_a_hub() -> None:
    def run(failures: list[object]) -> None:
        gate = Event()
        waiting = [verdigris.spawn(lambda: (deep(20), gate.wait(), deep(20))[-1]) for _ in range(50)]
        verdigris.sleep(0)
        try:
            eventually(lambda: resident(waiting) <= 2)
            gate.set()
            verdigris.joinall(waiting, raise_error=True)
        except BaseException as error:
            failures.append(error)
        get_hub().destroy(destroy_loop=True)

    failures: list[object] = []
    threads = [threading.Thread(target=run, args=(failures,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_after_a_fork_both_sweep() -> None:
    gate = Event()
    waiting = [verdigris.spawn(lambda: (deep(30), gate.wait(), deep(30))[-1]) for _ in range(50)]
    verdigris.sleep(0)
    child = verdigris.os.fork()
    status = 1
    try:
        eventually(lambda: resident(waiting) <= 2)
        gate.set()
        verdigris.joinall(waiting, raise_error=True)
        status = 0
    finally:
        if child == 0:
            os._exit(status)
    assert verdigris.os.waitpid(child, 0) == (child, 0)


def test_statistics_of_greenlets(program: Run) -> None:
    """In a process of its own: the figures are the process's, and threads of other tests may end when they like."""
    source = """
        import gc, threading, verdigris
        from verdigris import _core, config
        from verdigris.event import Event
        config.stack_sweep_interval = None
        verdigris.sleep(0)
        gc.collect()
        before = _core.statistics()
        assert before["threads"] == 1, before
        unstarted, gate = _core.greenlet(print), Event()
        waiting = [verdigris.spawn(gate.wait) for _ in range(7)]
        verdigris.sleep(0)
        during = _core.statistics()
        assert not unstarted
        for name in ("greenlets_alive", "greenlets_suspended", "stacks_in_use"):
            assert during[name] == before[name] + 7, name
        assert during["greenlets_alive"] == during["greenlets_suspended"] + during["threads"]
        gate.set()
        verdigris.joinall(waiting)
        kept, inside = [], []
        def run():
            kept.append(_core.greenlet(lambda: _core.getcurrent().parent.switch()))
            kept[0].switch()
            inside.append(_core.statistics())
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        assert inside[0]["threads"] == before["threads"] + 1
        assert inside[0]["greenlets_alive"] == before["greenlets_alive"] + 2
        after = _core.statistics()
        assert after["greenlets_alive"] == before["greenlets_alive"]
        assert after["greenlets_stranded"] == before["greenlets_stranded"] + 1
        kept.clear()
        assert _core.statistics()["greenlets_stranded"] == before["greenlets_stranded"]
        """
    ended = program(source, patched=False)
    assert ended.status == 0, ended.stderr
