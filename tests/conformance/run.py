"""Runs greenlet's, gevent's and CPython's own tests on verdigris and says whether all pass that passed before.

    make conformance                                    everything, on the Python that make uses
    python tests/conformance/run.py test__event         with verdigris in this interpreter: files with this in their name
    python tests/conformance/run.py --suites gevent     one suite
    python tests/conformance/run.py --genuine           the genuine ones, in an interpreter that has them

The exit status is 1 when a case fails that passed before: all that the genuine ones pass (genuine.json), except what is on record
as not passing here (verdigris.json). `--record` puts the differences that are found on record; each needs a reason in
COMPATIBILITY.md.

A file is run again, once and alone, only if all that it lacks failed by the suite's own limits of time (two seconds a case; waits
exact to a tenth of a second): on a machine with other work that says nothing. Whatever else fails now and then is a fault, here or there.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import suites
from groups import GROUPS, group_of
from record import Genuine, Ours, Verdict
from runner import Job, Outcome, run_job

PROJECT = Path(__file__).parents[2]


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored, in the children, too
    python = options.python.absolute()
    version = subprocess.run(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True, check=True
    ).stdout.strip()
    folder = options.folder.absolute() / version
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    suites.fetch(python, folder / "suite")
    genuine, ours = Genuine(version), Ours("none" if options.genuine else version)
    jobs = [
        job
        for job in suites.jobs(python, folder / "suite", options.suites)
        if not options.words or any(word in job.name for word in options.words)
    ]
    for job in jobs:
        job.leave_out = sorted(genuine.hangs.get(job.name, ()))
    jobs.sort(key=lambda job: -genuine.seconds.get(job.name, 0))  # the longest first
    began = time.monotonic()
    verdicts = run_all(
        jobs,
        python,
        suites.environment(folder / "suite", options.genuine),
        folder / "logs",
        options.jobs,
        genuine,
        ours,
    )
    print_table(verdicts)
    seconds = time.monotonic() - began
    print(
        f"\n{len(jobs)} files on Python {version} in {seconds:.0f} s; their output is in {os.path.relpath(folder / 'logs')}"
    )
    if options.record:
        put_on_record(verdicts, ours)
        return 0
    return judge(verdicts)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("words", nargs="*", metavar="WORD", help="only the files with one of these in `suite/file`")
    add("--python", type=Path, default=Path(sys.executable), help="the interpreter to test (default: this one)")
    add("--suites", type=lambda text: text.split(","), default=["greenlet", "gevent", "stdlib"], help="comma separated")
    add("--genuine", action="store_true", help="the interpreter has gevent and greenlet: run on these")
    add("--record", action="store_true", help="put what differs from the genuine ones on record")
    add("--jobs", type=int, default=6, help="processes at a time; they mostly sleep (default: %(default)s)")
    add("--folder", type=Path, default=PROJECT / "target" / "conformance", help="for the suites and their output")
    return parser.parse_args()


def run_all(
    jobs: list[Job], python: Path, environment: dict[str, str], logs: Path, parallel: int, genuine: Genuine, ours: Ours
) -> list[Verdict]:
    """Runs the files, tells of each as it ends, and runs again those that only were too slow."""
    verdicts: dict[str, Verdict] = {}

    def judged(job: Job, outcome: Outcome, again: str = "") -> None:
        verdicts[job.name] = verdict = Verdict(job.name, outcome, genuine, ours)
        print(
            f"[{len(verdicts)}/{len(jobs)}] {again}{job.name:52} {outcome.seconds:6.1f} s  {outcome.told()}", flush=True
        )
        for line in [
            *outcome.notes,
            *(f"{outcome.cases.get(case, 'missing')}: {case}" for case in sorted(verdict.broken)),
        ]:
            print(f"        {line}", flush=True)

    with ThreadPoolExecutor(parallel) as pool:
        futures = {pool.submit(run_job, job, python, environment, logs): job for job in jobs}
        for future in as_completed(futures):
            judged(futures[future], future.result())
    for job in jobs:
        if verdicts[job.name].broken and verdicts[job.name].broken <= verdicts[job.name].slow:
            judged(job, run_job(job, python, environment, logs), "again: ")
    return list(verdicts.values())


def print_table(verdicts: list[Verdict]) -> None:
    """A line for each group: what passed of what passes with the genuine ones, and how that was on record."""
    print(f"\n{'group':34}{'files':>6}{'passed':>8}{'of genuine':>12}{'lacking':>9}{'broken':>8}{'beyond':>8}")
    rows = [(group, [verdict for verdict in verdicts if group_of(verdict.name) == group]) for group in GROUPS]
    for group, members in [*rows, ("all", verdicts)]:
        if members:
            counts = [
                sum(len(getattr(each, word)) for each in members)
                for word in ("passed", "genuine", "lacking", "broken", "beyond")
            ]
            print("{:34}{:6}{:8}{:12}{:9}{:8}{:8}".format(group, len(members), *counts))


def judge(verdicts: list[Verdict]) -> int:
    for word, text in (("mended", "pass, and are on record as failing"), ("broken", "FAIL, and passed before")):
        for verdict in verdicts:
            cases = sorted(getattr(verdict, word))
            if cases:
                print(f"{text}: {verdict.name}: {', '.join(cases)}")
    return int(any(verdict.broken for verdict in verdicts))


def put_on_record(verdicts: list[Verdict], ours: Ours) -> None:
    for verdict in verdicts:
        ours.replace(
            "fails", verdict.name, verdict.lacking - verdict.slow if verdict.passed or not verdict.genuine else {"*"}
        )
        ours.replace("passes", verdict.name, verdict.beyond)
    ours.save()


if __name__ == "__main__":
    sys.exit(main())
