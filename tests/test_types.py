"""The public types: a typed program runs, has no error in the eyes of a strict checker, and generic classes can be subscripted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import GenericAlias

import pytest
from conftest import GENUINE, Run
from verdigris.event import AsyncResult
from verdigris.greenlet import Greenlet
from verdigris.hub import Waiter
from verdigris.pool import IMap, IMapUnordered
from verdigris.queue import Channel, JoinableQueue, LifoQueue, PriorityQueue, Queue, SimpleQueue

TYPED_PROGRAM = Path(__file__).with_name("typed_program.py")


def test_the_typed_program_does_what_its_types_say(program: Run) -> None:
    ended = program(TYPED_PROGRAM.read_text(), patched=False)
    assert (ended.status, ended.stdout) == (0, "done\n"), ended.stderr


@pytest.mark.skipif(GENUINE is not None, reason="of our types")
@pytest.mark.time_limit(600)
def test_a_strict_checker_finds_no_error_in_it(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    # As a user has it: no settings of ours, and the package as it is installed.
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(tmp_path), TYPED_PROGRAM]
    checked = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    "generic",
    [
        AsyncResult,
        Channel,
        Greenlet,
        IMap,
        IMapUnordered,
        JoinableQueue,
        LifoQueue,
        PriorityQueue,
        Queue,
        SimpleQueue,
        Waiter,
    ],
)
def test_a_generic_class_takes_type_arguments_when_it_runs(generic: type) -> None:
    parameterised = generic[int]  # type: ignore[index]
    assert isinstance(parameterised, GenericAlias)
    assert parameterised.__origin__ is generic


def test_a_subclass_of_a_parameterised_greenlet_is_a_greenlet() -> None:
    class Answer(Greenlet[[], int]):
        def _run(self) -> int:
            return 42

    assert Answer.spawn().get() == 42
