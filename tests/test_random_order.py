"""Random programs whose order of events is compared with a model (see `random_order.py`): for as long as VERDIGRIS_RANDOM_SECONDS
says, 3 s without it. A failure names its seed: `python tests/random_order.py --seed N` runs that one again."""

import os
import time
from pathlib import Path

import pytest
from conftest import Run

SECONDS = float(os.environ.get("VERDIGRIS_RANDOM_SECONDS", "3"))


@pytest.mark.time_limit(SECONDS + 120)
def test_random_programs_keep_to_the_order_of_the_model(program: Run) -> None:
    # Always the same seeds in the suite; new ones every time when asked for longer.
    first = time.time_ns() // 1000 % 10**9 if "VERDIGRIS_RANDOM_SECONDS" in os.environ else 1
    source = Path(__file__).with_name("random_order.py").read_text()
    ended = program(source, "--seconds", str(SECONDS), "--first", str(first), patched=False, limit=SECONDS + 100)
    assert ended.status == 0, ended.stderr[-10_000:]
    assert "lines agree" in ended.stdout
    print(ended.stdout)
