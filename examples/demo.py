"""`make demo`: one program of ordinary blocking code, run as it is and under `verdigris run`.

A slow HTTP server (`slow_server.py`, a process of its own) answers each request after 50 ms. The program (`fetch.py`) sends it
1,000 requests with the blocking library `requests`, each from a thread of its own. It runs

    one by one        python fetch.py URL --threads 1     one request after another: the sum of all waits
    as it is          python fetch.py URL                 a thousand threads of the operating system
    verdigris run     verdigris run fetch.py URL          the same program; its threads are greenlets in one thread

The seconds are those of the whole process, from its start to its end. Threads and memory are the largest seen while it ran.
Leave out the slow first run with `--quick`.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

HERE = Path(__file__).parent
DELAY = 0.05

console = Console()


@dataclass(frozen=True)
class Outcome:
    """What one run of the program cost."""

    seconds: float
    threads: int
    memory_bytes: int


def main() -> int:
    options = argparse.ArgumentParser(description="One blocking program, as it is and under verdigris.")
    options.add_argument("--count", type=int, default=1000, help="requests in each run; default: 1000")
    options.add_argument("--quick", action="store_true", help="leave out the run with one request after another")
    given = options.parse_args()
    count = given.count
    allow_descriptors(count + 200)

    program = [str(HERE / "fetch.py")]
    with slow_server() as url:
        console.print(
            f"An unmodified blocking program, {count:,} requests, each answered after {DELAY * 1000:.0f} ms\n"
        )
        arguments = [url, "--count", str(count)]
        threads = ["--threads", str(count)]
        runs = {
            "one by one": [sys.executable, *program, *arguments, "--threads", "1"],
            "as it is": [sys.executable, *program, *arguments, *threads],
            "verdigris run": [sys.executable, "-m", "verdigris", "run", *program, *arguments, *threads],
        }
        if given.quick:
            del runs["one by one"]
        outcomes = {}
        with Progress(
            TextColumn("{task.description:14}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
        ) as progress:
            for name, command in runs.items():
                outcomes[name] = measure(command, count, progress, name)
    show(count, outcomes)
    return 0


def measure(command: list[str], count: int, progress: Progress, name: str) -> Outcome:
    """Runs a program that prints a line for each answer; its progress is the number of lines."""
    task = progress.add_task(name, total=count)
    environment = {**os.environ, "NO_PROXY": "*", "PYTHONUNBUFFERED": "1"}
    threads = memory = lines = 0
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    watched = psutil.Process(process.pid)
    assert process.stdout is not None
    for line in process.stdout:
        if not line.startswith("200"):
            continue
        lines += 1
        if lines % 20 == 1:
            with watched.oneshot():
                threads = max(threads, watched.num_threads())
                memory = max(memory, watched.memory_info().rss)
            progress.update(task, completed=lines)
    status = process.wait()
    seconds = time.perf_counter() - started
    progress.update(task, completed=lines)
    if status != 0 or lines != count:
        progress.stop()
        sys.exit(f"{name}: {lines} of {count} requests were answered, exit status {status}: {' '.join(command)}")
    return Outcome(seconds, threads, memory)


def show(count: int, outcomes: dict[str, Outcome]) -> None:
    """The table; the speed-up is against the first run."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("fetch.py", no_wrap=True)
    for heading in ("requests", "seconds", "speed-up", "OS threads", "peak memory"):
        table.add_column(heading, justify="right")
    first = next(iter(outcomes.values()))
    for name, outcome in outcomes.items():
        table.add_row(
            name,
            f"{count:,}",
            f"{outcome.seconds:.2f}",
            f"{first.seconds / outcome.seconds:.1f} x",
            f"{outcome.threads:,}",
            f"{outcome.memory_bytes / 2**20:.0f} MB",
        )
    console.print(table)


@contextmanager
def slow_server() -> Iterator[str]:
    """Runs the slow server and gives its URL."""
    command = [sys.executable, str(HERE / "slow_server.py"), "--delay", str(DELAY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def allow_descriptors(wanted: int) -> None:
    """Raises the soft limit of open files, which the programs started from here inherit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (min(wanted, hard) if hard != resource.RLIM_INFINITY else wanted, hard)
        )


if __name__ == "__main__":
    sys.exit(main())
