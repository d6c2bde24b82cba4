"""verdigris.util: what runs, as text, and tools for tests."""

from __future__ import annotations

import io
import time

import pytest
import verdigris
from verdigris import local, util


def test_run_info() -> None:
    values = local.local()
    values.answer = 42

    def work() -> str:
        mine = local.local()
        mine.inner = "local to the greenlet"
        verdigris.getcurrent().spawn_tree_locals["tree"] = "shared"
        file = io.StringIO()
        verdigris.spawn(util.print_run_info, file=file).join()
        return file.getvalue()

    greenlet = verdigris.spawn(work)
    greenlet.name = "Worker"
    text = greenlet.get()
    for part in (
        "* Threads",
        "* Greenlets",
        "Worker",
        "Spawned at:",
        "Spawn Tree Locals",
        "Parent:",
        "answer",
        "inner",
    ):
        assert part in text, part


def test_trees() -> None:
    def child() -> None:
        raise_later.wait()

    def parent() -> verdigris.Greenlet:
        return verdigris.spawn(child)

    raise_later = verdigris.event.Event()
    first = verdigris.spawn(parent)
    second = first.get()
    tree = util.GreenletTree.current_tree()
    assert tree.root and tree.is_current_tree and tree.greenlet is verdigris.getcurrent()
    [branch] = [branch for branch in tree.child_trees if branch.greenlet is first]
    assert [leaf.greenlet for leaf in branch.child_trees] == [second]
    assert branch.dead  # what a tree does not know, its greenlet does
    text = str(branch)
    assert text.splitlines()[1].startswith(" +--- <Greenlet") and "finished" in text
    assert "finished with value <Greenlet" in branch.format(details={"running_stacks": False})
    second.kill()


def test_switching_is_asserted() -> None:
    with pytest.raises(AssertionError, match="To any greenlet in"):
        with util.assert_switches():
            pass
    with util.assert_switches():
        verdigris.sleep(0)
    with pytest.raises(AssertionError, match=r"To the hub in .*\(max allowed 1000.0000 seconds\)"):
        with util.assert_switches(1000, hub_only=True):
            pass
    with util.assert_switches(1000):
        pass
    with pytest.raises(AssertionError):
        with util.assert_switches(0.0001):
            time.sleep(0.001)
    with pytest.raises(KeyError):
        with util.assert_switches():
            raise KeyError


def test_errors_as_results() -> None:
    convert = util.wrap_errors((ValueError, TypeError), int)
    assert convert("1") == 1
    assert isinstance(convert("x"), ValueError)
    assert repr(convert) == repr(int) and convert.__name__ == "int"
    with pytest.raises(ZeroDivisionError):
        util.wrap_errors(ValueError, lambda: 1 / 0)()
