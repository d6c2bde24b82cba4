"""One million greenlets, each suspended one Python call deep: made, switched through once more, and finished.

    python tests/million.py [NUMBER]

Prints how long each part took, what was resident and how many mappings there were; ends with status 1 when that was
5 GB or more for a million, or 1,000 mappings or more. Runs on genuine greenlet, too, where verdigris is not installed.
"""

import sys
import time

try:
    from verdigris._core import getcurrent, greenlet
except ImportError:  # to compare
    from greenlet import getcurrent, greenlet

RESIDENT_LIMIT = 5000  # bytes for each greenlet, those of the objects included
MAPPINGS_LIMIT = 1000


def main():
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    first = getcurrent()

    def body(start):
        return start + wait(start)

    def wait(value):
        return first.switch(value) + first.switch(value)

    before, mappings_before = resident(), mappings()
    kept = [greenlet(body) for _ in range(number)]
    timed("suspended", kept, lambda position, each: each.switch(position))
    used, mapped = resident() - before, mappings() - mappings_before
    print(f"{number:,} greenlets: {used / 1e9:.2f} GB resident, {used / number:.0f} bytes each, {mapped} mappings")
    timed("resumed", kept, lambda position, each: each.switch(1))
    timed("finished", kept, lambda position, each: each.switch(2) - 3)
    assert all(each.dead for each in kept)
    kept.clear()
    sys.exit(used >= number * RESIDENT_LIMIT or mapped >= MAPPINGS_LIMIT)


def timed(name, kept, step):
    """Takes a step in each; what comes back has to be its position (what it was started with, when it has ended)."""
    started = time.perf_counter()
    for position, each in enumerate(kept):
        answer = step(position, each)
        if answer != position:
            raise AssertionError(f"{name}: greenlet {position} answered {answer}")
    spent = time.perf_counter() - started
    print(f"{name:10} {spent:6.1f} s, {spent / len(kept) * 1e6:.2f} us each", flush=True)


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def mappings():
    with open("/proc/self/maps") as file:
        return sum(1 for _ in file)


if __name__ == "__main__":
    main()
