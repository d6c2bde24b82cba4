"""Programs that nobody here wrote, unmodified: gevent's examples, libraries' own tests, a browser.

    make foreign PYTHON=python3.11

What is written for gevent runs under `verdigris run`. SQLAlchemy's asyncio extension and Playwright's synchronous interface are written for
`greenlet` alone: ours takes its place, and nothing is patched. Playwright drives a browser, Debian's `chromium`; where that is not
installed it is left out, with a word. What it does (foreign_browser.py) is done on genuine greenlet, too, and must come out the same.

What is there comes from the source distributions in the registry. The tests of geventhttpclient that need the internet are
left out; gevent's examples are run by gevent's own tests of them, which skip what needs the internet or a database.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
from itertools import zip_longest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "conformance"))

import os

import suites
from rich.console import Console
from rich.table import Table

GEVENT = f"gevent-{suites.RELEASES['gevent']}"
LIBRARIES = ("geventhttpclient-2.6.1", "gipc-1.8.0")
PLAYWRIGHT = "playwright-1.65.2"
SQLALCHEMY = "sqlalchemy-2.1.9"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Our greenlet under genuine greenlet's name, and nothing else changed.
AS_GREENLET = "import sys, verdigris; verdigris.install_as_gevent(); "
LIMIT = 600  # seconds, for each


def fetch(folder: Path) -> None:
    """The source distributions, unpacked; the libraries, installed without the gevent and greenlet that they ask for."""
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    names = [name.rpartition("-") for name in (GEVENT, *LIBRARIES)]
    missing = [f"{name}=={release}" for name, _, release in names if not (folder / f"{name}-{release}").exists()]
    if missing:
        sources = ",".join(name for name, _, _ in names)
        command = [*pip, "download", "--no-deps", "--no-binary", sources, "--dest", str(folder), *missing]
        subprocess.run(command, check=True)
        unpack(folder)
    installed = (*LIBRARIES, PLAYWRIGHT)
    subprocess.run([*pip, "install", "--no-deps", *(name.replace("-", "==") for name in installed)], check=True)
    if not (folder / SQLALCHEMY).exists():
        # Only its tests are wanted, and what they test: as it is, without its parts in C.
        source = ["--no-deps", "--no-build-isolation", "--no-binary", ":all:", "--dest", str(folder)]
        environment = {**os.environ, "DISABLE_SQLALCHEMY_CEXT": "1"}
        subprocess.run([*pip, "download", *source, SQLALCHEMY.replace("-", "==")], check=True, env=environment)
        unpack(folder)
    if not (folder / "genuine").exists():
        greenlet = f"greenlet=={suites.RELEASES['greenlet']}"
        subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "genuine"), greenlet], check=True)


def unpack(folder: Path) -> None:
    for archive in folder.glob("*.tar.gz"):
        with tarfile.open(archive) as source:
            source.extractall(folder, filter="data")
        archive.unlink()


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


def sqlalchemy(folder: Path) -> tuple[str, int, int, int]:
    """SQLAlchemy's own tests of its asyncio extension, with aiosqlite."""
    start = AS_GREENLET + "import pytest; sys.exit(pytest.main())"
    arguments = ["-q", "-p", "no:cacheprovider", "--db", "aiosqlite", "test/ext/asyncio"]
    return run(f"{SQLALCHEMY}'s tests of asyncio", ["-c", start, *arguments], folder / SQLALCHEMY)


def browser(folder: Path) -> tuple[str, int, int, int]:
    """Playwright, on our greenlet and on the genuine one: how many lines of what it prints are the same."""
    title = "Playwright, beside genuine greenlet"
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        console.print(f"» {title}: left out, there is no browser ({' or '.join(BROWSERS)}) on this machine")
        return f"{title}: no browser", 0, 1, 0
    console.print(f"» {title}")
    program = str(Path(__file__).with_name("foreign_browser.py"))
    ours = AS_GREENLET + "import runpy; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
    said, errors = [], []
    for command, environment in ((["-c", ours], {}), ([], {"PYTHONPATH": str(folder / "genuine")})):
        done = subprocess.run(
            [sys.executable, *command, program, found],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        said.append([*done.stdout.splitlines(), f"status {done.returncode}"])
        errors.append(done.stderr)
    lines = list(zip_longest(*said))
    different = [pair for pair in lines if pair[0] != pair[1]]
    for one, other in different:
        console.print(f"ours:    {one}\ngenuine: {other}", markup=False, highlight=False)
    if different or said[0][-1] != "status 0":
        console.print(errors[0], markup=False, highlight=False)
        return title, len(lines) - len(different), 0, len(different) or 1
    return title, len(lines), 0, 0


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
    results += [sqlalchemy(folder), browser(folder)]
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
