"""`make asan`: the tests, with the extension module under AddressSanitizer. `make stress SANITIZER=address`: random programs likewise
(`address_sanitizer.py --run COMMAND...` runs any command so).

Each read and write of our Rust is checked against freed and overrun heap memory. `PYTHONMALLOC=malloc` puts every Python object
on that heap by itself, so that an object used after its last reference is seen too, and the checked libc functions see what
CPython itself does with memory that we handed to it.

    build     the stable compiler, told to accept the sanitizer flag (RUSTC_BOOTSTRAP); no other toolchain is needed
    runtime   gcc's libasan.so, loaded before everything else (the interpreter is not instrumented), but for two functions of
              address_sanitizer.c, which would trip over stacks that the sanitizer does not know
    stacks    not instrumented (asan-stack=0): frames of a greenlet that never returns would leave poisoned memory to the next
              user of its stack. What stacks can do wrong is for guard pages and the checks of debug builds to find.
    canary    the build has the feature `canary`, functions that do what must not be done. They are called first, on the
              main stack and in a greenlet; where the sanitizer does not stop them, this job proves nothing and fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

PROJECT = Path(__file__).parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", PROJECT / "target")) / "asan"
PACKAGE_FOLDER = TARGET / "python"

CANARIES = {
    "main stack": "import verdigris._core as core; core.read_freed_memory()",
    "greenlet": "import verdigris._core as core; core.greenlet(core.read_freed_memory).switch()",
    "object": "import verdigris._core as core; core.read_freed_object()",
}


def main(arguments: list[str]) -> int:
    assemble(build())
    environment = {
        **os.environ,
        "LD_PRELOAD": f"{compatibility()} {runtime()}",
        # Leaks are looked for by tests that count; an interpreter at its end is full of what looks like leaks.
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1:handle_segv=0:verify_asan_link_order=0",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(PACKAGE_FOLDER),
        "VERDIGRIS_ASAN": "1",
        "VERDIGRIS_TEST_LIMIT": "300",
    }
    for name, source in CANARIES.items():
        ended = subprocess.run([sys.executable, "-c", source], env=environment, capture_output=True, text=True)
        if "AddressSanitizer: heap-use-after-free" not in ended.stderr:
            print(f"canary ({name}): not stopped, so this job could find nothing:\n{ended.stderr}", file=sys.stderr)
            return 1
        print(f"canary ({name}): stopped, as it must be")
    command = arguments[1:] if arguments[:1] == ["--run"] else [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(command, env=environment, cwd=PROJECT).returncode


def build() -> Path:
    """Builds the extension module with the sanitizer and the canary."""
    host = next(line for line in output("rustc", "-vV").splitlines() if line.startswith("host: ")).removeprefix(
        "host: "
    )
    flags = "-Zsanitizer=address -Cllvm-args=-asan-stack=0 -Cforce-frame-pointers=yes"
    subprocess.run(
        # With --target, build scripts and macros (run by the compiler, without the runtime) are left alone.
        ["cargo", "build", "--package", "verdigris-python", "--features", "canary", "--target", host],
        env={
            **os.environ,
            "RUSTC_BOOTSTRAP": "1",
            "RUSTFLAGS": flags,
            "CARGO_TARGET_DIR": str(TARGET),
            "PYO3_PYTHON": sys.executable,
        },
        cwd=PROJECT,
        check=True,
    )
    return TARGET / host / "debug" / "lib_core.so"


def assemble(library: Path) -> None:
    """Lays the package out with this build in it, beside the one installed in the virtual environment."""
    package = PACKAGE_FOLDER / "verdigris"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(
        PROJECT / "python" / "verdigris", package, ignore=shutil.ignore_patterns("_core.*.so", "__pycache__")
    )
    shutil.copy(library, package / f"_core{sysconfig.get_config_var('EXT_SUFFIX')}")


def compatibility() -> Path:
    """What goes before the runtime: see address_sanitizer.c."""
    source, library = Path(__file__).with_suffix(".c"), TARGET / "compatibility.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return library


def runtime() -> str:
    """The sanitizer's runtime library; gcc answers with the bare name where it has none."""
    path = output("gcc", "-print-file-name=libasan.so").strip()
    if not Path(path).is_absolute():
        sys.exit("AddressSanitizer needs gcc's libasan.so, which this machine lacks")
    return os.path.realpath(path)


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
