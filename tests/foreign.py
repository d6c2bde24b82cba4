"""Programs that nobody here wrote, unmodified, under `verdigris run`: gevent's examples, and two libraries' own tests.

    make foreign PYTHON=python3.11

What is there comes from the source distributions in the registry. The tests of geventhttpclient that need the internet are
left out; gevent's examples are run by gevent's own tests of them, which skip what needs the internet or a database.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "conformance"))

import os

import suites
from rich.console import Console
from rich.table import Table

GEVENT = f"gevent-{suites.RELEASES['gevent']}"
LIBRARIES = ("geventhttpclient-2.6.1", "gipc-1.8.0")
LIMIT = 600  # seconds, for each


def fetch(folder: Path) -> None:
    """The source distributions, unpacked; the libraries, installed without the gevent that they ask for."""
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    names = [name.rpartition("-") for name in (GEVENT, *LIBRARIES)]
    missing = [f"{name}=={release}" for name, _, release in names if not (folder / f"{name}-{release}").exists()]
    if missing:
        sources = ",".join(name for name, _, _ in names)
        command = [*pip, "download", "--no-deps", "--no-binary", sources, "--dest", str(folder), *missing]
        subprocess.run(command, check=True)
        for archive in folder.glob("*.tar.gz"):
            with tarfile.open(archive) as source:
                source.extractall(folder, filter="data")
            archive.unlink()
    subprocess.run([*pip, "install", "--no-deps", *(name.replace("-", "==") for name in LIBRARIES)], check=True)


def run(
    title: str, command: list[str], where: Path, environment: dict[str, str] | None = None
) -> tuple[str, int, int, int]:
    """Runs tests: what they are, and how many passed, were skipped, and failed; at least one, if the process failed."""
    console.print(f"» {title}")
    done = subprocess.run(
        [sys.executable, *command],
        cwd=where,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    said = done.stdout + done.stderr
    if ran := re.search(r"^Ran (\d+) tests?", said, re.M):
        failed = sum(int(number) for number in re.findall(r"(?:failures|errors)=(\d+)", said))
        skipped = sum(int(number) for number in re.findall(r"skipped=(\d+)", said))
        passed = int(ran[1]) - failed - skipped
    else:
        last = said.strip().splitlines()[-1] if said.strip() else ""
        passed, failed, errors = (
            int(n[1]) if (n := re.search(rf"(\d+) {word}", last)) else 0 for word in ("passed", "failed", "error")
        )
        failed += errors
        skipped = sum(int(number) for number in re.findall(r"(\d+) (?:skipped|deselected)", last))
    if done.returncode and not failed:
        failed = 1
    if failed or not passed + skipped:
        console.print(said, markup=False, highlight=False)
    return title, passed, skipped, failed


def examples(folder: Path) -> list[tuple[str, int, int, int]]:
    """gevent's tests of its examples, which look for them above themselves."""
    source = folder / GEVENT / "src"
    environment = suites.environment(source, genuine=False)
    tests = sorted((source / "gevent" / "tests").glob("test__example*.py"))
    where = folder / "empty"
    where.mkdir(exist_ok=True)
    return [
        run(
            f"gevent's examples: {test.stem.removeprefix('test__')}",
            ["-m", f"gevent.tests.{test.stem}"],
            where,
            environment,
        )
        for test in tests
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the sources are unpacked")
    folder = parser.parse_args().folder.absolute()
    fetch(folder)
    pytest = ["-m", "verdigris", "run", "-m", "pytest", "-q", "--timeout", "60", "-p", "no:cacheprovider"]
    results = examples(folder)
    for library, arguments in zip(LIBRARIES, (["-m", "not network", "tests"], ["-c", os.devnull, "test"]), strict=True):
        # The package beside the tests is not the one that is installed.
        name = library.partition("-")[0]
        for beside in (folder / library / name, folder / library / "src"):
            if beside.exists():
                beside.rename(beside.with_name(f"not-{beside.name}"))
        results.append(run(f"{library}'s tests", [*pytest, *arguments], folder / library))
    table = Table("", "passed", "skipped", "failed", title=f"Foreign programs on CPython {sys.version.split()[0]}")
    for title, *numbers in results:
        table.add_row(title, *map(str, numbers))
    console.print(table)
    passed, failed = sum(result[1] for result in results), sum(result[3] for result in results)
    print(f"{passed} passed, {failed} failed")
    sys.exit(bool(failed) or not passed)


console = Console()

if __name__ == "__main__":
    main()
