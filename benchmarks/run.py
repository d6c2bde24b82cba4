"""Compares verdigris with others: the same benchmarks, alternately, several rounds.

    python benchmarks/run.py --peer PYTHON --load PROGRAM [--quick] [--kinds micro,servers,scaling] [--rounds N] [CASE ...]

PYTHON is an interpreter of the same version that has the other libraries (requirements-peers.txt), PROGRAM is the load
generator (`benchmarks/load`). Prints tables; a full run writes a page with charts into docs (performance.md on Python 3.11,
performance-3.13.md on 3.13, and so on), one of a part of it writes the same below target/bench. The results as they came are in
target/bench/results.json; `--from` makes a report of such a file.
"""

import argparse
import json
import sys
from pathlib import Path

import machine
import micro
import report
import scaling
import servers
from cases import CASES
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PROJECT = Path(__file__).resolve().parents[1]
SCRATCH = PROJECT / "target" / "bench"
KINDS = ("servers", "scaling", "micro")


def main():
    options = parse()
    if options.results:
        results = read(options.results)
    else:
        results = measure(options)
        SCRATCH.mkdir(parents=True, exist_ok=True)
        (SCRATCH / "results.json").write_text(json.dumps(results, indent=1))
    console = Console(width=None if sys.stdout.isatty() else 160)
    for table in report.tables(results):
        console.print(table)
    folder = options.output or (PROJECT / "docs" if results["full"] else SCRATCH)
    console.print(f"written: {report.write(results, folder)}")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", help="an interpreter with the libraries to compare with")
    parser.add_argument("--load", help="the load generator")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"of {','.join(KINDS)} (default: all)")
    parser.add_argument("--rounds", type=int, help="how often each benchmark is run (default: servers 3, micro 5)")
    parser.add_argument("--seconds", type=float, help="how long a server is measured each time (default 1)")
    parser.add_argument("--quick", action="store_true", help="a rough picture in two minutes: one round, few cases")
    parser.add_argument("--output", type=Path, help="where performance.md goes")
    parser.add_argument("--from", dest="results", type=Path, help="measure nothing, make the report of a results.json")
    parser.add_argument(
        "cases", nargs="*", metavar="CASE", help=f"of {', '.join([*servers.CASES, *CASES])}; default: all"
    )
    options = parser.parse_args()
    options.kinds = options.kinds.split(",")
    unknown = [case for case in options.cases if case not in CASES and case not in servers.CASES]
    unknown += [kind for kind in options.kinds if kind not in KINDS]
    if unknown:
        parser.error(f"no such case or kind: {', '.join(unknown)}")
    if not options.results and not (options.peer and options.load):
        parser.error("--peer and --load are needed to measure")
    return options


def measure(options):
    """Runs what was asked for; the results as `report` describes them."""
    bench = servers.Bench(sys.executable, options.peer, options.load)
    descriptors = servers.raise_descriptor_limit()
    seconds = options.seconds or (0.5 if options.quick else 1)
    results = {
        "python": "{}.{}".format(*sys.version_info[:2]),
        "machine": machine.describe(options.peer),
        "rounds": options.rounds or (1 if options.quick else 3),
        "full": not (options.quick or options.cases or set(options.kinds) != set(KINDS)),
        "micro": {},
        "servers": {},
        "scaling": {},
    }
    jobs = []
    if "servers" in options.kinds:
        chosen = [case for case in servers.CASES if case in (options.cases or chosen_by_default(options, servers))]
        jobs += server_jobs(bench, results, chosen, seconds, quick=options.quick)
    if "scaling" in options.kinds and not options.cases:
        jobs += scaling_jobs(bench, results, seconds, descriptors, quick=options.quick)
    if "micro" in options.kinds:
        chosen = [case for case in CASES if case in (options.cases or CASES)]
        jobs += micro_jobs(bench, results, chosen, options.rounds or (1 if options.quick else 5))
    before = machine.load()
    shown = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*shown, transient=True) as progress:
        task = progress.add_task("", total=len(jobs))
        for name, job in jobs:
            progress.update(task, description=name)
            try:
                job()
            except RuntimeError as problem:
                progress.console.print(f"[red]{problem}")
            progress.advance(task)
    if before > 1:
        results["machine"].append(["note", f"the machine was not idle when this began (load {before:.1f})"])
    return results


def chosen_by_default(options, module):
    return module.QUICK if options.quick else module.CASES


def server_jobs(bench, results, cases, seconds, *, quick):
    left_out = {"eventlet", "asyncio"} if quick else set()
    libraries = [library for library in servers.LIBRARIES if library not in left_out]
    for case in cases:
        for _ in range(results["rounds"] * (1 if quick else servers.CASES[case].patience)):
            for library in libraries:

                def job(case=case, library=library):
                    if (figures := bench.measure(library, servers.CASES[case], seconds)) is not None:
                        results["servers"].setdefault(case, {}).setdefault(library, []).append(figures)

                yield f"{case}, {library}", job


def scaling_jobs(bench, results, seconds, descriptors, *, quick):
    numbers = [number for number in scaling.NUMBERS if not quick or number <= 10_000]
    most = max(0, descriptors // 1000 - 1) * 1000
    if most < numbers[-1]:
        results["machine"].append(
            ["note", f"{descriptors:,} descriptors are allowed: at most {most:,} idle connections"]
        )

    def put(kind, library, number, figure):
        results["scaling"].setdefault(kind, {}).setdefault(library, {})[number] = figure

    for number in numbers:
        # Where so many are not allowed, as many as are.
        idle = min(number, most)
        for library in scaling.CONNECTIONS if idle not in numbers[: numbers.index(number)] else ():

            def job(library=library, idle=idle):
                put("connections", library, idle, scaling.connections(bench, library, idle, seconds))

            yield f"{idle:,} idle connections, {library}", job
        for library in scaling.SLEEPERS:

            def job(library=library, number=number):
                put("sleepers", library, number, scaling.sleepers(bench, library, number))

            yield f"{number:,} sleepers, {library}", job


def micro_jobs(bench, results, cases, rounds):
    for case in cases:
        for _ in range(rounds):
            for library in micro.LIBRARIES:

                def job(case=case, library=library):
                    python = bench.own if library == "verdigris" else bench.peer
                    figure = micro.measure(python, library, case)
                    results["micro"].setdefault(case, {}).setdefault(library, []).append(figure)

                yield f"{case}, {library}", job


def read(path):
    """A results.json, whose numbers as keys have become strings."""
    results = json.loads(path.read_text())
    for series in results["scaling"].values():
        for library, points in series.items():
            series[library] = {int(number): figure for number, figure in points.items()}
    return results


main()
