"""The micro benchmarks: one round of one case of `cases.py` in one library, in a process of its own."""

import subprocess
from pathlib import Path

from cases import CASES

HERE = Path(__file__).resolve().parent

#: The case's own library comes last, so that the ratio reads "how many times faster".
LIBRARIES = ("gevent", "verdigris")


def title(case):
    return CASES[case][0]


def unit(case):
    return CASES[case][4]


def measure(python, library, case):
    """Nanoseconds per operation, or what the case's unit says."""
    return float(output([python, HERE / "worker.py", library, case]))


def output(command):
    """What a program prints; an error with what it complained about if it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(str(part) for part in command)} failed:\n{done.stderr[:2000]}")
    return done.stdout
