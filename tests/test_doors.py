"""The doors: install_as_gevent(), verdigris run, and what their children find. Each test is a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import PROGRAM_LIMIT, Ended, Run, end_program, start_program


def verdigris(*arguments: str, folder: Path, **environment: str) -> Ended:
    process = subprocess.Popen(
        [sys.executable, "-m", "verdigris", *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return end_program(process)


def python(source: str, *options: str, folder: Path, **environment: str) -> Ended:
    process = subprocess.Popen(
        [sys.executable, *options, "-c", source],
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return end_program(process)


def test_gevent_and_greenlet_are_ours(program: Run) -> None:
    ended = program(
        """
        import verdigris
        verdigris.install_as_gevent()
        verdigris.install_as_gevent()
        import gevent, greenlet, verdigris.hub, verdigris._greenlet
        import gevent.hub, gevent.monkey.api
        from gevent import timeout
        assert gevent.hub is verdigris.hub and timeout is verdigris.timeout
        assert gevent.monkey.api is verdigris.monkey.api
        assert greenlet is verdigris._greenlet and greenlet.greenlet
        assert gevent.sleep is verdigris.sleep is gevent.hub.sleep
        assert gevent.__version__ == "26.9.0" and tuple(gevent.version_info) == (20, 0, 0, "dev", 0)
        assert verdigris.hub.__spec__.name == "verdigris.hub"
        assert gevent.Timeout.__module__ == "gevent.timeout"
        import importlib.metadata
        assert importlib.metadata.version("gevent") == "26.9.0"
        try:
            import gevent.no_such_module
        except ModuleNotFoundError as error:
            assert "no_such_module" in str(error)
        else:
            raise SystemExit("imported")
        exec("from gevent import *")
        """,
        patched=False,
    )
    assert (ended.status, ended.stderr) == (0, "")


def test_the_door_is_light(tmp_path: Path) -> None:
    heavy = "threading socket ssl subprocess selectors logging asyncio"
    source = f"""if 1:
        import sys
        before = set(sys.modules)
        import verdigris
        verdigris.install_as_gevent()
        assert "verdigris._core" not in sys.modules
        import gevent
        gevent.sleep(0)
        print(sorted(set({heavy.split()!r}) & set(sys.modules) - before))
    """
    assert python(source, folder=tmp_path) == Ended(0, "[]\n", "")


def test_too_late(tmp_path: Path) -> None:
    (tmp_path / "greenlet.py").write_text("")
    ended = python("import greenlet, verdigris\nverdigris.install_as_gevent()", folder=tmp_path)
    assert ended.status == 1
    assert "RuntimeError: install_as_gevent() came too late: greenlet already imported from" in ended.stderr


def test_a_script(tmp_path: Path) -> None:
    ended = end_program(
        start_program(
            tmp_path,
            """
            import os, sys, gevent
            import gevent.monkey
            assert gevent.monkey.is_module_patched("socket")
            assert __name__ == "__main__" and sys.modules["__main__"].__dict__ is globals()
            assert __spec__ is None and __package__ is None
            print(__file__, sys.argv, sys.path[0])
            """,
            "-m",
            "--no-patch",
        )
    )
    script = tmp_path / "program.py"
    assert ended == Ended(0, f"{script} {[str(script), '-m', '--no-patch']} {tmp_path}\n", "")


def test_a_module_a_package_a_directory_a_zip_file(tmp_path: Path) -> None:
    text = "import sys, gevent; print(__name__, __spec__.name, sys.argv[1:]); import helper"
    (tmp_path / "module.py").write_text(text)
    (tmp_path / "helper.py").write_text("")
    package = tmp_path / "package"
    package.mkdir()
    for name, source in (("__init__.py", ""), ("__main__.py", text), ("helper.py", "")):
        (package / name).write_text(source)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", text)
        archive.writestr("helper.py", "")
    for arguments, name in (
        (["-m", "module"], "module"),
        (["-mmodule"], "module"),
        (["-m", "package"], "package.__main__"),
        (["package"], "__main__"),
        (["archive.zip"], "__main__"),
    ):
        ended = verdigris("run", "--no-patch", *arguments, "-x", folder=tmp_path)
        assert ended == Ended(0, f"__main__ {name} ['-x']\n", "")


def test_exit_codes_and_tracebacks(program: Run) -> None:
    assert program("raise SystemExit(3)").status == 3
    assert program("raise SystemExit('bye')") == Ended(1, "", "bye\n")
    ended = program("def f():\n    1 / 0\nf()\n")
    assert ended.status == 1
    assert ended.stderr.splitlines()[0] == "Traceback (most recent call last):"
    assert ended.stderr.splitlines()[1].endswith('program.py", line 3, in <module>')
    assert ended.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"
    ended = program("def f(:\n")
    assert ended.status == 1 and "SyntaxError" in ended.stderr and "verdigris" not in ended.stderr


def test_nothing_to_run(tmp_path: Path) -> None:
    ended = verdigris("run", "not_there.py", folder=tmp_path)
    assert ended == Ended(2, "", "verdigris: cannot run 'not_there.py': there is no such file\n")
    ended = verdigris("run", "-m", "not_there", folder=tmp_path)
    assert ended.status == 1 and "No module named not_there" in ended.stderr
    for arguments in ([], ["-m"], ["--no-patch"], ["--bogus", "x.py"]):
        ended = verdigris("run", *arguments, folder=tmp_path)
        assert ended.status == 2 and "usage: verdigris run" in ended.stderr
    assert verdigris("--version", folder=tmp_path).stdout.startswith("verdigris 0.")
    assert "run a program" in verdigris(folder=tmp_path).stdout


@pytest.mark.parametrize(
    "waiting", ["time.sleep(60)", "threading.Event().wait()", "[time.sleep(0) for _ in iter(int, 1)]"]
)
def test_interrupted(tmp_path: Path, waiting: str) -> None:
    process = start_program(
        tmp_path,
        f"""
        import threading, time
        keeps_the_hub_alive = threading.Thread(target=time.sleep, args=(60,), daemon=True)
        keeps_the_hub_alive.start()
        print("ready", flush=True)
        {waiting}
        """,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    ended = end_program(process, PROGRAM_LIMIT)
    assert ended.status == -signal.SIGINT
    assert ended.stderr.splitlines()[-1] == "KeyboardInterrupt"


def test_children(program: Run) -> None:
    source = """
        import subprocess, sys
        child = "import gevent, gevent.monkey as m; print(gevent.__version__, m.is_anything_patched())"
        print(subprocess.run([sys.executable, "-c", child], capture_output=True, text=True))
    """
    assert "26.9.0 False" in program(source).stdout


def test_patched_children(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'import gevent.monkey as m; print(m.is_module_patched(\"socket\"))'])\n"
    )
    assert verdigris("run", "--patch-children", "parent.py", folder=tmp_path) == Ended(0, "True\n", "")


def test_children_left_alone(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(
        "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import sys; print(sys.meta_path[0])'])\n"
    )
    assert "DoorFinder" not in verdigris("run", "--no-children", "parent.py", folder=tmp_path).stdout


def test_the_variable_of_children_without_a_door(tmp_path: Path) -> None:
    assert python("import gevent; print('in')", folder=tmp_path, VERDIGRIS_DOOR="open").stdout == "in\n"
    assert (
        python("import sys; print('verdigris' in sys.modules)", folder=tmp_path, VERDIGRIS_DOOR="").stdout == "False\n"
    )


def test_gevents_own_command_line(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import sys, socket; print(sys.argv, 'gevent' in repr(socket.socket), __name__)"
    )
    source = "import runpy, sys; sys.argv[1:] = ['{0}', 'x']; runpy.run_module('gevent.monkey', run_name='__main__', alter_sys=True)"
    ended = python(source.format("script.py"), folder=tmp_path, VERDIGRIS_DOOR="open")
    assert ended == Ended(0, "['script.py', 'x'] True __main__\n", "")
