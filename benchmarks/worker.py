"""Runs one case in one library, in this process, and prints nanoseconds per operation, or the figure that the case gives.

python worker.py verdigris|gevent CASE [OPERATIONS]
"""

import sys
from time import perf_counter_ns
from types import SimpleNamespace

from cases import CASES


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
    if len(sys.argv) > 3:
        operations = int(sys.argv[3])
    names = names_of(library, needs)
    function(names, max(operations // 50, 100))
    start = perf_counter_ns()
    figure = function(names, operations)
    print((perf_counter_ns() - start) / operations if figure is None else figure)


main()
