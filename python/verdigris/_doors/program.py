"""Runs a script or a module as `python` itself would: same `__main__`, sys.argv, sys.path, messages, exit codes.

The public functions of runpy put a temporary module into `sys.modules["__main__"]` and take it away when the code has
returned. Threads, atexit functions and pickles of a program outlive that moment, so the module made here stays.
"""

import os
import runpy
import sys
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from types import ModuleType

__all__ = ["run_module", "run_script"]


def run_module(name, arguments):
    """`python -m name arguments`"""
    sys.argv[:] = ["-m", *arguments]
    replace_first_path_entry(os.getcwd())
    fresh_main()
    with as_python_does():
        runpy._run_module_as_main(name)


def run_script(path, arguments):
    """`python path arguments`; a directory or zip file is run by its `__main__.py`."""
    import pkgutil

    sys.argv[:] = [path, *arguments]
    if not os.path.exists(path):
        fail(f"cannot run {path!r}: there is no such file")
    if pkgutil.get_importer(path) is not None:
        replace_first_path_entry(path, always=True)
        fresh_main()
        with as_python_does():
            runpy._run_module_as_main("__main__", alter_argv=False)
        return
    replace_first_path_entry(os.path.dirname(os.path.realpath(path)))
    path = os.path.abspath(path)
    code, loader = load(path)
    main = fresh_main()
    main.__file__ = path
    main.__cached__ = None
    main.__loader__ = loader
    with as_python_does():
        exec(code, main.__dict__)


def load(path):
    """-> (code, loader) of a source or bytecode file"""
    import io

    if path.endswith(".pyc"):
        loader = SourcelessFileLoader("__main__", path)
        try:
            return loader.get_code("__main__"), loader
        except (ImportError, EOFError) as error:
            fail(f"cannot run {path!r}: {error}")
    try:
        with io.open_code(path) as file:
            source = file.read()
    except OSError as error:
        fail(f"cannot run {path!r}: {error.strerror or error}")
    with as_python_does():
        return compile(source, path, "exec", dont_inherit=True), SourceFileLoader("__main__", path)


def fresh_main():
    """A new `__main__`; the old one stays alive, this code runs in it."""
    main = ModuleType("__main__")
    main.__dict__["__builtins__"] = sys.modules["builtins"]
    main.__verdigris_started_by__ = sys.modules.get("__main__")
    sys.modules["__main__"] = main
    return main


def replace_first_path_entry(entry, always=False):
    """sys.path[0] is where python found verdigris' own command; it has to be where the program is."""
    safe = getattr(sys.flags, "safe_path", False)
    if not safe and sys.path:
        sys.path[0] = entry
    elif always or not safe:
        sys.path.insert(0, entry)


def fail(message):
    print(f"verdigris: {message}", file=sys.stderr)
    raise SystemExit(2)


class as_python_does:
    """Prints an uncaught exception without the frames of whoever started the program, and exits with 1.

    SystemExit and KeyboardInterrupt go on: the interpreter knows how to end for these.
    """

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if kind is None:
            return
        traceback = trim(traceback)
        error.__traceback__ = traceback
        if issubclass(kind, (SystemExit, KeyboardInterrupt)):
            return
        sys.last_type, sys.last_value, sys.last_traceback = kind, error, traceback
        sys.last_exc = error
        sys.excepthook(kind, error, traceback)
        raise SystemExit(1)


def trim(traceback):
    """What remains of a traceback after the frames of this file and of runpy."""
    while traceback is not None and traceback.tb_frame.f_globals.get("__name__") in (__name__, "runpy"):
        traceback = traceback.tb_next
    return traceback
