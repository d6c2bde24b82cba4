"""`make stress`: seeded random programs for as long as asked, until one of them fails.

    make stress [SECONDS=600] [SEED=random_mixture:1042] [PROFILE=checked] [SANITIZER=address]

The programs are in the four files below; each runs for a few seconds in a process of its own, then the next one, with seeds that
nobody has used today. A failure, a crash or a hang prints the output of that process and the SEED that runs it again,
and ends the whole with status 1. With SEED only that program runs, from that seed on.

    random_greenlets   raw greenlets in step with a model of every switch
    random_mixture     all that touches a thread's state: threads, fork, collector, trace functions, exceptions, deep stacks
    random_programs    the hub and what waits on it, patched
    random_order       the order of the hub's events, in step with a model
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
PATCHED = {"random_mixture": False, "random_greenlets": False, "random_programs": True, "random_order": True}
"""The programs, and whether they run patched. What is listed first runs first."""

FIRST_SEED = {"random_order": "--first"}

ROUND = 20.0
"""Seconds that one process runs programs for."""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=600.0)
    options.add_argument("--seed", default="", metavar="PROGRAM:NUMBER")
    given = options.parse_args()
    name, _, number = given.seed.partition(":")
    if given.seed and not (name in PATCHED and number.isdecimal()):
        options.error(f"SEED is {given.seed!r}; it has to be one of {', '.join(PATCHED)}, a colon and a number")
    names = [name] if name else list(PATCHED)
    seed = int(number or time.time()) % 1_000_000_000
    end = time.monotonic() + given.seconds
    rounds = 0
    while (left := end - time.monotonic()) > 0 or rounds < len(names):
        name = names[rounds % len(names)]
        if not run(name, seed, max(1.0, min(ROUND, left, given.seconds / len(names)))):
            return 1
        rounds += 1
        seed += 10_000
    print(f"{rounds} rounds, no failure", flush=True)
    return 0


def run(name: str, seed: int, seconds: float) -> bool:
    """One round. Says how it went."""
    door = ["-m", "verdigris", "run"] if PATCHED[name] else []
    command = [sys.executable, "-X", "faulthandler", *door, str(HERE / f"{name}.py")]
    command += ["--seconds", f"{seconds:.0f}", FIRST_SEED.get(name, "--seed"), str(seed)]
    started = time.monotonic()
    slow = 10 if "VERDIGRIS_ASAN" in os.environ else 2
    try:
        ended = subprocess.run(
            # SIGABRT has faulthandler print the stacks of a program that hangs.
            ["timeout", "--signal=ABRT", "--kill-after=20", f"{slow * seconds + 120:.0f}", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    except KeyboardInterrupt:
        sys.exit(130)
    output = ended.stdout.decode(errors="replace")
    last = output.rstrip().splitlines()[-1:] or ["(no output)"]
    print(f"{name}:{seed} {time.monotonic() - started:5.1f} s  {last[0].rpartition(chr(13))[2][-150:]}", flush=True)
    if ended.returncode == 0:
        return True
    print(output[-20_000:])
    print(f"failed: {name} ended with status {ended.returncode}, in a program of its last seed above. Again:")
    print(f"    make stress SEED={name}:{last_seed(output, seed)}", flush=True)
    return False


def last_seed(output: str, seed: int) -> int:
    """The seed of the program that ran last, which each program announces (random_greenlets only when it fails)."""
    words = output.replace("\r", " ").replace(",", " ").replace(":", " ").split()
    seeds = [int(after) for word, after in itertools.pairwise(words) if word == "seed" and after.isdecimal()]
    return seeds[-1] if seeds else seed


if __name__ == "__main__":
    sys.exit(main())
