"""Whether the loop's cost grows: one event beside ever more idle connections, or ever more sleeping greenlets."""

from pathlib import Path

from micro import output
from servers import Case

HERE = Path(__file__).resolve().parent

NUMBERS = (10, 1_000, 10_000, 100_000)

#: What has connections, and what has greenlets.
CONNECTIONS = ("verdigris", "gevent", "uvloop")
SLEEPERS = ("verdigris", "gevent")


def connections(bench, library, idle, seconds):
    """Microseconds of processor time per echo, 100 connections active beside `idle` that are not."""
    case = Case("", "echo", 100, idle=idle, more={"limit": 100})
    return bench.measure(library, case, seconds)["cpu_us"]


def sleepers(bench, library, number):
    """Nanoseconds of processor time per wake-up of a greenlet, beside `number` that sleep."""
    python = bench.own if library == "verdigris" else bench.peer
    return float(output([python, HERE / "programs" / "sleepers.py", library, number]))
