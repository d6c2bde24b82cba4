"""Runs test files in parallel, each in a process of its own, and collects one result per test case.

    run.py -> runner.run_job -> python -u -m gevent.tests.test__x        in a session and a folder of its own
                  ^                   |  shim/sitecustomize.py
                  |   one line per    v
                  +---- event ---- events file

A process may hang or crash in the middle of a case. What it has said until then is in the events file; it is killed with all it
has started, and run again without the cases already seen. Each file has one more case, "<exit>": whether its process ended properly.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

EXIT = "<exit>"

# A case that is seen more than once, in subtests or after a restart, counts as the worst of what it was. "slow" is a failure by a
# suite's own time limit.
RANK = {"skip": 0, "pass": 1, "slow": 2, "fail": 3, "error": 4, "hang": 5}


@dataclass
class Job:
    """One test file: how it is run."""

    suite: str
    file: str
    arguments: list[str]
    module: str
    environment: dict[str, str] = field(default_factory=dict)
    leave_out: list[str] = field(default_factory=list)
    limit_seconds: float = 150

    @property
    def name(self) -> str:
        return f"{self.suite}/{self.file}"


@dataclass
class Outcome:
    """What a file's cases were, how long it took, and what else is to be told."""

    cases: dict[str, str]
    seconds: float
    notes: list[str]

    def told(self) -> str:
        counts = {status: list(self.cases.values()).count(status) for status in RANK}
        return ", ".join(f"{count} {status}" for status, count in counts.items() if count)


def run_job(job: Job, python: Path, environment: dict[str, str], logs: Path, silence_limit: float = 30) -> Outcome:
    """Runs a file to its end, however often that takes."""
    began = time.monotonic()
    cases: dict[str, str] = {}
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="conformance-", ignore_cleanup_errors=True) as folder:
        events, skip, work = Path(folder, "events"), Path(folder, "skip"), Path(folder, "work")
        work.mkdir()
        skip.write_text("".join(f"{job.module}.{case}\n__main__.{case}\n" for case in job.leave_out))
        variables = os.environ | environment | job.environment
        variables.update(TMPDIR=str(work), CONFORMANCE_EVENTS=str(events), CONFORMANCE_SKIP=str(skip))
        with open(logs / f"{job.suite}-{job.file}.log", "wb") as log:
            for _ in range(6):
                events.write_text("")
                # Pipes: a test's own loop may watch standard input and output, which a regular file does not allow.
                process = subprocess.Popen(
                    [python, "-u", *job.arguments],
                    cwd=work,
                    env=variables,
                    start_new_session=True,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                )
                reader = threading.Thread(target=shutil.copyfileobj, args=(process.stdout, log), daemon=True)
                reader.start()
                ended = watch(process, events, silence_limit, began + job.limit_seconds)
                reader.join(1)
                seen = Seen(events, job.module)
                for case, status in seen.statuses.items():
                    note(cases, case, status)
                code = process.returncode
                broken = not ended or code < 0 or (not seen.complete and bool(seen.running))
                if broken:
                    notes.append(
                        f"{'ended' if ended else 'hangs'}, status {code}, in {', '.join(seen.running) or 'no case'}"
                    )
                    for case in seen.running:
                        note(cases, case, "error" if ended else "hang")
                if not broken or not seen.running or time.monotonic() > began + job.limit_seconds:
                    break
                with open(skip, "a") as file:
                    file.write("".join(f"{identity}\n" for identity in seen.started))
    failed = any(RANK[status] > RANK["pass"] for status in cases.values())
    proper = code == 0 or (seen.complete and (code == 5 or (code == 1 and failed)))
    cases[EXIT] = "hang" if not ended else "pass" if proper else "error"
    return Outcome(cases, time.monotonic() - began, notes)


def note(cases: dict[str, str], case: str, status: str) -> None:
    cases[case] = max(status, cases.get(case, status), key=RANK.__getitem__)


def watch(process: subprocess.Popen[bytes], events: Path, silence_limit: float, deadline: float) -> bool:
    """Waits for a process; says whether it ended by itself. None of its group lives afterwards."""
    size, changed, ended = 0, time.monotonic(), True
    while not is_over(process):
        time.sleep(0.05)
        now = time.monotonic()
        if events.stat().st_size != size:
            size, changed = events.stat().st_size, now
        if now - changed > silence_limit or now > deadline:
            ended = False
            os.kill(process.pid, signal.SIGABRT)  # faulthandler prints the tracebacks into the log
            while not is_over(process) and time.monotonic() < now + 2:
                time.sleep(0.05)
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdin is not None
    process.stdin.close()
    return ended


def is_over(process: subprocess.Popen[bytes]) -> bool:
    """Like poll(), but the process id stays taken, for killpg."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


class Seen:
    """What a process has written into its events file: lines `word test-id`."""

    def __init__(self, events: Path, module: str) -> None:
        self.statuses: dict[str, str] = {}
        self.running: list[str] = []
        self.started: list[str] = []
        self.complete = False
        for line in events.read_text(errors="replace").splitlines():
            word, _, identity = line.partition(" ")
            case = identity.replace(f"{module}.", "", 1).replace("__main__.", "", 1)
            if word == "start":
                self.running.append(case)
                self.started.append(identity)
            elif word == "stop":
                if case in self.running:
                    self.running.remove(case)
            elif word == "end":
                self.complete = True
            else:
                note(self.statuses, case, word)
