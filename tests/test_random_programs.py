"""Random programs against models, each for as long as VERDIGRIS_RANDOM_SECONDS says; 5 s without it.

`random_greenlets.py`: raw greenlets, in step with a model of every switch. `random_programs.py`: the hub and what waits on it.
"""

import os
from pathlib import Path

import pytest
from conftest import Run

SECONDS = float(os.environ.get("VERDIGRIS_RANDOM_SECONDS", "5"))


@pytest.mark.time_limit(SECONDS + 120)
@pytest.mark.parametrize(("name", "patched"), [("random_greenlets.py", False), ("random_programs.py", True)])
def test_random_programs_agree_with_the_model(program: Run, name: str, patched: bool) -> None:
    source = Path(__file__).with_name(name).read_text()
    ended = program(source, "--seconds", str(SECONDS), patched=patched, limit=SECONDS + 100)
    assert ended.status == 0, ended.stderr[-10_000:]
    assert "programs" in ended.stdout
    print(ended.stdout)
