"""What is on record: the cases that genuine gevent and greenlet pass, and where verdigris differs from them.

`genuine.json` was measured on gevent 26.9.0 and greenlet 3.5.6 with this runner. For each suite it has the cases that pass on
some Python, by file and class; what of it does not pass on which Python; what hangs there, which nobody runs; what now passes and
now does not, which says nothing; and how long the slow files take. `verdigris.json` is the difference, made by `run.py --record`:
what passes there and not here, and the other way round, with the Pythons on which it is so. "*" stands for all cases of a file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from runner import EXIT, Outcome

HERE = Path(__file__).parent
Cases = dict[str, set[str]]  # by suite/file


class Genuine:
    """The passes of the genuine ones on one Python."""

    def __init__(self, python: str, path: Path = HERE / "genuine.json") -> None:
        data = json.loads(path.read_text())
        self.python = python if python in data["pythons"] else max(data["pythons"], key=lambda v: int(v.split(".")[1]))
        self.seconds: dict[str, float] = data["seconds"]
        self.hangs = {name: expand(cases, self.python) for name, cases in data["hangs"].items()}
        self.unsteady = {name: set(cases) for name, cases in data["unsteady"].items()}
        self.passes: Cases = {}
        for name, classes in data["passes"].items():
            lacking = expand(data["lacks"].get(name, {}), self.python)
            cases = {
                f"{group}.{case}" if group else case for group, members in classes.items() for case in members.split()
            }
            if "*" not in lacking:
                self.passes[name] = cases - lacking


class Ours:
    """Where verdigris is known to differ on one Python."""

    def __init__(self, python: str, path: Path = HERE / "verdigris.json") -> None:
        self.path, self.python = path, python
        self.data = json.loads(path.read_text()) if path.exists() else {}
        self.fails, self.passes = self.of_this_python("fails"), self.of_this_python("passes")

    def of_this_python(self, word: str) -> Cases:
        return {name: expand(cases, self.python) for name, cases in self.data.get(word, {}).items()}

    def replace(self, word: str, name: str, cases: Iterable[str]) -> None:
        """Puts these cases of a file on record for this Python, in place of what was there."""
        files = self.data.setdefault(word, {})
        known = {case: set(pythons.split()) - {self.python} for case, pythons in files.get(name, {}).items()}
        for case in cases:
            known.setdefault(case, set()).add(self.python)
        files[name] = {case: " ".join(in_order(pythons)) for case, pythons in sorted(known.items()) if pythons}
        if not files[name]:
            del files[name]

    def save(self) -> None:
        self.path.write_text(json_by_line(self.data))


def expand(cases: dict[str, str], python: str) -> set[str]:
    return {case for case, pythons in cases.items() if python in pythons.split()}


def in_order(pythons: Iterable[str]) -> list[str]:
    return sorted(pythons, key=lambda python: int(python.split(".")[1]))


def json_by_line(data: dict[str, object], indent: str = "") -> str:
    """JSON with a line for each innermost value, so that a change is a line of a diff."""
    lines = []
    for key, value in sorted(data.items()):
        text = json_by_line(value, indent + " ").rstrip() if isinstance(value, dict) and value else json.dumps(value)
        lines.append(f"{indent} {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}\n"


class Verdict:
    """One file's outcome held against the record."""

    # What test cases these have depends on the names of private modules.
    NAMES_OF_MODULES = ("gevent/test__all__", "gevent/test__execmodules")

    def __init__(self, name: str, outcome: Outcome, genuine: Genuine, ours: Ours) -> None:
        got = outcome.cases
        unsteady = genuine.unsteady.get(name, set())
        wanted = genuine.passes.get(name, set()) - unsteady
        if name.startswith("stdlib/") and got[EXIT] == "pass":
            wanted = {case for case in wanted if case in got}  # another patch release of CPython has other cases
        fails = ours.fails.get(name, set())
        fails = wanted if "*" in fails else fails
        passed = {case for case, status in got.items() if status == "pass"} - unsteady
        self.name = name
        self.genuine = wanted
        self.passed = wanted & passed
        self.lacking = wanted - passed
        self.beyond = set() if name in self.NAMES_OF_MODULES else passed - wanted
        self.broken = ((wanted - fails) | ours.passes.get(name, set())) - passed - unsteady
        self.mended = fails & passed
        self.slow = {case for case, status in got.items() if status == "slow"}
