"""What one event costs while many greenlets sleep: `python sleepers.py verdigris|gevent SLEEPERS`.

So many greenlets sleep for an hour. Meanwhile a few wake up as soon as they may, again and again; what is printed is the
processor time of one such wake-up, in nanoseconds.
"""

import sys
from importlib import import_module
from time import process_time_ns

ACTIVE = 100
EVENTS = 100_000


def main():
    library, sleepers = sys.argv[1], int(sys.argv[2])
    package = import_module(library)
    spawn, sleep = package.spawn, package.sleep
    for _ in range(sleepers):
        spawn(sleep, 3600)
    sleep(0.01)

    def body():
        for _ in range(EVENTS // ACTIVE):
            sleep(0.000_001)

    best = None
    for _ in range(3):
        start = process_time_ns()
        package.joinall([spawn(body) for _ in range(ACTIVE)])
        took = (process_time_ns() - start) / EVENTS
        best = took if best is None else min(best, took)
    print(best, flush=True)
    # The sleepers need not be woken to be killed one by one.
    import os

    os._exit(0)


main()
