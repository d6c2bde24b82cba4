"""Compares verdigris with the genuine gevent and greenlet: the same cases, alternately, several rounds.

    python benchmarks/run.py --peer PYTHON [--rounds 5] [CASE ...]

PYTHON is an interpreter of the same version that has gevent and greenlet installed. Each case is run in a fresh process of one
library and then of the other, round by round, so that both see the same noise; what counts is the ratio of the medians.
"""

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

from cases import CASES
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

HERE = Path(__file__).resolve().parent


def once(python, library, case):
    """One round of one case in one library: nanoseconds per operation."""
    done = subprocess.run(
        [python, str(HERE / "worker.py"), library, case], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        sys.exit(f"{case} failed in {library}:\n{done.stderr}")
    return float(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", required=True, help="an interpreter with gevent and greenlet")
    parser.add_argument("--rounds", type=int, default=5, help="how often each case is run (default 5)")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; default: all")
    options = parser.parse_args()
    unknown = [case for case in options.cases if case not in CASES]
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}")
    chosen = options.cases or list(CASES)
    table = Table(title=f"CPython {sys.version.split()[0]}, median of {options.rounds} rounds")
    for column in ("", "gevent/greenlet", "verdigris", "faster"):
        table.add_column(column, justify="left" if not column else "right")
    console = Console()
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("measuring", total=len(chosen) * options.rounds)
        for case in chosen:
            theirs, ours = [], []
            for _ in range(options.rounds):
                theirs.append(once(options.peer, "gevent", case))
                ours.append(once(sys.executable, "verdigris", case))
                progress.advance(task)
            slow, fast = statistics.median(theirs), statistics.median(ours)
            table.add_row(CASES[case][0], f"{slow:,.0f} ns", f"{fast:,.0f} ns", f"{slow / fast:.1f} x")
    console.print(table)


main()
