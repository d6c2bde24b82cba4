"""Runs one case in one library, in this process, and prints nanoseconds per operation, or the figure that the case gives.

python worker.py verdigris|gevent CASE [OPERATIONS]

A case that is over in a moment is repeated, and the median counts: 20 ms are at the mercy of whatever else the machine does. One that
is told how many operations runs once.
"""

import sys
from statistics import median
from time import perf_counter_ns
from types import SimpleNamespace

from cases import CASES

#: How long a case is repeated at least, in nanoseconds.
PATIENCE_NS = 50_000_000


def names_of(library, needs):
    """The names that the cases use, from the library under its own name."""
    if library == "verdigris":
        import verdigris._greenlet as raw

        package = "verdigris"
    else:
        import greenlet as raw

        package = "gevent"
    names = SimpleNamespace(package=package, greenlet=raw.greenlet, getcurrent=raw.getcurrent)
    if needs == "greenlet":
        return names
    from importlib import import_module

    for module, wanted in {
        "greenlet": ["joinall"],
        "hub": ["get_hub", "sleep"],
        "event": ["Event", "AsyncResult"],
        "lock": ["Semaphore"],
        "queue": ["Queue"],
        "local": ["local"],
        "pool": ["Pool"],
        "timeout": ["Timeout"],
    }.items():
        loaded = import_module(f"{package}.{module}")
        for name in wanted:
            setattr(names, name, getattr(loaded, name))
    names.spawn = import_module(package).spawn
    return names


def main():
    library, name = sys.argv[1:3]
    _, operations, needs, function, _ = CASES[name]
    patience = PATIENCE_NS
    if len(sys.argv) > 3:
        operations, patience = int(sys.argv[3]), 0
    names = names_of(library, needs)
    function(names, max(operations // 50, 100))
    figures, began = [], perf_counter_ns()
    while True:
        start = perf_counter_ns()
        figure = function(names, operations)
        end = perf_counter_ns()
        figures.append((end - start) / operations if figure is None else figure)
        if figure is not None or end - began >= patience:
            break
    print(median(figures))


main()
