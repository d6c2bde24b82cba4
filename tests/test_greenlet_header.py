"""`greenlet.h`: an extension in C, compiled with our header, finds all of the interface; with genuine greenlet's it is the same."""

import importlib.util
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
import verdigris
from verdigris import _greenlet
from verdigris._greenlet import GreenletExit, error, getcurrent, greenlet

SOURCE = Path(__file__).parent / "data" / "uses_greenlet.c"
COMPILER = shutil.which("gcc") or shutil.which("cc")
PYTHON_HEADERS = sysconfig.get_path("include")
GENUINE = os.environ.get("GENUINE_GREENLET_INCLUDE")
"""A folder with genuine greenlet's `greenlet/greenlet.h`: the same extension is then compiled with that, too."""

pytestmark = pytest.mark.skipif(
    COMPILER is None or not Path(PYTHON_HEADERS, "Python.h").exists(), reason="no C compiler, or no headers of Python"
)


def header_folders():
    yield pytest.param(verdigris.get_include(), id="our header")
    yield pytest.param(
        GENUINE, id="genuine header", marks=pytest.mark.skipif(not GENUINE, reason="no GENUINE_GREENLET_INCLUDE")
    )


@pytest.fixture(params=header_folders())
def extension(request, tmp_path, monkeypatch):
    """The module, compiled with a header."""
    library = tmp_path / f"uses_greenlet{sysconfig.get_config_var('EXT_SUFFIX')}"
    strict = ["-Wall", "-Wextra", "-Wno-missing-field-initializers", "-Wno-cast-function-type"]
    flags = ["-shared", "-fPIC", f"-I{PYTHON_HEADERS}", f"-I{request.param}", "-Werror", *strict]
    subprocess.run([COMPILER, *flags, "-o", library, SOURCE], check=True)
    # The capsule is imported by the name `greenlet`.
    monkeypatch.setitem(__import__("sys").modules, "greenlet", _greenlet)
    spec = importlib.util.spec_from_file_location("uses_greenlet", library)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_of_the_interface(extension):
    """What the array holds is what Python sees."""
    assert extension.types() == (greenlet, error, GreenletExit)
    assert extension.getcurrent() is getcurrent()
    main, events = getcurrent(), []

    def run(*arguments, **keywords):
        events.append((arguments, keywords))
        try:
            main.switch("first")
        except KeyError as thrown:
            events.append(thrown.args)
        return "last"

    made = extension.new(run, None)
    assert (type(made), made.parent) == (greenlet, main)
    assert extension.ask(made) == (0, 0, 0)
    assert extension.switch(made, (1,), {"two": 2}) == "first"
    assert extension.ask(made) == (0, 1, 1)
    assert extension.throw(made, KeyError, "key", None) == "last"
    assert extension.ask(made) == (0, 1, 0)
    assert extension.ask(main) == (1, 1, 1)
    assert events == [((1,), {"two": 2}), ("key",)]


def test_parents_and_errors(extension):
    main = getcurrent()
    parent = extension.new(None, None)
    child = extension.new(int, parent)
    assert extension.get_parent(child) is parent
    assert extension.get_parent(main) is None
    extension.set_parent(child, main)
    assert child.parent is main
    with pytest.raises(ValueError, match="cyclic parent chain"):
        extension.set_parent(child, child)
    with pytest.raises(AttributeError, match="run"):
        extension.switch(parent, None, None)
    assert extension.switch(child, None, None) == 0
    assert [extension.check(each) for each in (child, main, 1, None)] == [True, True, False, False]


def test_the_layout(extension):
    assert extension.size() == greenlet.__basicsize__


def test_the_header_is_where_genuine_greenlet_has_its_own(tmp_path):
    beside = Path(_greenlet.__file__).with_name("greenlet.h")
    source = tmp_path / "plain.cpp"
    source.write_text(f'#include "{beside}"\n#include <greenlet/greenlet.h>\nint answer = PyGreenlet_API_pointers;\n')
    flags = [f"-I{PYTHON_HEADERS}", f"-I{verdigris.get_include()}", "-fsyntax-only"]
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    subprocess.run([compiler, *flags, source], check=True)
