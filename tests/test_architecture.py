"""The shape of the source: dependencies point down, no import cycle, each file says what it is for and stands in ARCHITECTURE.md."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
CRATES = PROJECT / "crates"
PACKAGE = PROJECT / "python" / "verdigris"
ARCHITECTURE = PROJECT / "ARCHITECTURE.md"

MECHANISM_CRATES = sorted(path.parent for path in CRATES.glob("*/Cargo.toml") if path.parent.name != "python")
SOURCE_FILES = sorted(
    path
    for pattern in ("crates/**/*.rs", "crates/**/*.c", "crates/**/*.h", "python/**/*.py", "python/**/*.pyi")
    for path in PROJECT.glob(pattern)
)


# Crates ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crate", MECHANISM_CRATES, ids=lambda path: path.name)
def test_mechanism_crate_knows_neither_python_nor_its_sisters(crate: Path) -> None:
    direct = manifest(crate).get("dependencies", {})
    reached = closure(set(direct))
    assert not {name for name in reached if name.startswith("pyo3")}, "a mechanism crate must not know Python"
    assert not {name for name in reached if name.startswith("verdigris-")}, "mechanism crates must not know each other"


@pytest.mark.parametrize("crate", sorted(CRATES.glob("*/Cargo.toml")), ids=lambda path: path.parent.name)
def test_crate_takes_the_lints_of_the_workspace(crate: Path) -> None:
    assert manifest(crate.parent)["lints"] == {"workspace": True}


def test_unsafe_code_is_fenced_by_the_lints_of_the_workspace() -> None:
    lints = tomllib.loads((PROJECT / "Cargo.toml").read_text())["workspace"]["lints"]
    assert lints["rust"]["unsafe_op_in_unsafe_fn"] == "deny"
    assert lints["clippy"]["undocumented_unsafe_blocks"] == "deny"


def manifest(crate: Path) -> dict:
    return tomllib.loads((crate / "Cargo.toml").read_text())


def closure(names: set[str]) -> set[str]:
    """The packages reached from these through the lock file."""
    packages = tomllib.loads((PROJECT / "Cargo.lock").read_text())["package"]
    needs = {package["name"]: [need.split()[0] for need in package.get("dependencies", [])] for package in packages}
    reached: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo.extend(needs.get(name, []))
    return reached


# Modules --------------------------------------------------------------------------------------------------------------


def test_python_modules_have_no_import_cycle() -> None:
    graph = {name: set(imports(path, name)) for name, path in modules().items()}
    assert find_cycle(graph) is None


def modules() -> dict[str, Path]:
    """The package's modules by name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = ("verdigris", *path.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, name: str) -> Iterator[str]:
    """The package's own modules which a module imports while it is imported itself."""
    known = modules()
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in executed_on_import(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(
                    [*package.split(".")[: len(package.split(".")) - node.level + 1], *base.split(".")]
                ).strip(".")
            for alias in node.names:
                if f"{base}.{alias.name}" in known:
                    yield f"{base}.{alias.name}"
                elif base in known:
                    yield base


def executed_on_import(node: ast.AST) -> Iterator[ast.AST]:
    """The statements of a module that run when it is imported: not those of functions, nor those for type checkers."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from executed_on_import(child)


def find_cycle(graph: dict[str, set[str]]) -> list[str] | None:
    """A way from a module to itself, if there is one."""
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> list[str] | None:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return None
        for following in sorted(graph.get(name, ())):
            if cycle := visit(following, [*way, name]):
                return cycle
        done.add(name)
        return None

    return next((cycle for name in sorted(graph) if (cycle := visit(name, []))), None)


def test_the_check_for_cycles_finds_one() -> None:
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert find_cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) is None


# Files ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SOURCE_FILES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_file_begins_by_saying_what_it_is_for(path: Path) -> None:
    text = path.read_text()
    if path.suffix in {".py", ".pyi"}:
        assert ast.get_docstring(ast.parse(text)), "no docstring"
    else:
        assert re.match(r"//!|/\*|// ", text), "no comment at the head"


def test_architecture_has_a_line_for_each_file() -> None:
    # A stub is told of with the module that it gives the types of.
    stubs = {path for path in SOURCE_FILES if path.suffix == ".pyi" and path.with_suffix(".py").exists()}
    here = {str(path.relative_to(PROJECT)) for path in SOURCE_FILES if path not in stubs}
    told = set(files_told())
    assert told - here == set(), "files that ARCHITECTURE.md tells of and that are not there"
    assert here - told == set(), "files without a line in ARCHITECTURE.md"


def files_told() -> Iterator[str]:
    """The paths in ARCHITECTURE.md: under a heading with a folder, one line beginning with the file."""
    folder = ""
    for line in ARCHITECTURE.read_text().splitlines():
        if heading := re.match(r"#+ `([^`]+)/`", line):
            folder = heading[1]
        elif file := re.match(r"- `([^`]+)`: [^-]", line):
            yield f"{folder}/{file[1]}"


def test_architecture_gives_a_reason_for_each_dependency() -> None:
    text = ARCHITECTURE.read_text()
    names = set(tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"])
    for path in CRATES.glob("*/Cargo.toml"):
        for section in ("dependencies", "build-dependencies", "dev-dependencies"):
            names |= set(manifest(path.parent).get(section, {}))
    outside = {name for name in names if not name.startswith("verdigris-")}
    assert {name for name in outside if f"- **{name}**: " not in text} == set()
