"""Random programs against models, for as long as VERDIGRIS_RANDOM_SECONDS says; 5 s without it.

`random_greenlets.py`: raw greenlets, in step with a model of every switch. `random_programs.py`: the hub and what waits on it.
`make stress` runs them for long, and `random_mixture.py` beside them, which has no model.
"""

import os
from pathlib import Path

import pytest
from conftest import end_program, start_program

SECONDS = float(os.environ.get("VERDIGRIS_RANDOM_SECONDS", "5"))

PATCHED = {"random_greenlets.py": False, "random_programs.py": True}


@pytest.mark.time_limit(SECONDS + 120)
def test_random_programs_agree_with_their_models(tmp_path: Path) -> None:
    """All at the same time: each keeps one processor busy."""
    running = {}
    for name, patched in PATCHED.items():
        folder = tmp_path / name
        folder.mkdir()
        source = Path(__file__).with_name(name).read_text()
        running[name] = start_program(folder, source, "--seconds", str(SECONDS), patched=patched)
    for name, process in running.items():
        ended = end_program(process, SECONDS + 100)
        print(name, ended.stdout)
        assert ended.status == 0, f"{name}: {ended.stderr[-10_000:]}"
        assert " programs" in ended.stdout
