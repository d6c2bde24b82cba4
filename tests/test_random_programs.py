"""Random programs against a model (see `random_programs.py`), for as long as VERDIGRIS_RANDOM_SECONDS says; 5 s without it."""

import os
from pathlib import Path

import pytest
from conftest import Run

SECONDS = float(os.environ.get("VERDIGRIS_RANDOM_SECONDS", "5"))


@pytest.mark.time_limit(SECONDS + 120)
def test_random_programs_agree_with_the_model(program: Run) -> None:
    source = Path(__file__).with_name("random_programs.py").read_text()
    ended = program(source, "--seconds", str(SECONDS), limit=SECONDS + 100)
    assert ended.status == 0, ended.stderr[-10_000:]
    assert "programs" in ended.stdout
    print(ended.stdout)
