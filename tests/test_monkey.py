"""Patching the standard library: what is replaced, who is told, what is remembered. Each test is a process of its own."""

from __future__ import annotations

import pytest
from conftest import Run


def test_all_that_blocks_is_replaced(program: Run) -> None:
    ended = program(
        """
        from verdigris import monkey
        assert not monkey.is_anything_patched() and monkey.saved == {}
        assert monkey.patch_all() is True
        import os, queue, select, selectors, signal, socket, ssl, subprocess, threading, time, _thread
        import verdigris.hub, verdigris.time, verdigris._hub_local
        from verdigris import socket as green_socket, thread, local, event, queue as green_queue
        assert time.sleep is verdigris.time.sleep
        assert socket.socket is green_socket.socket and socket.getaddrinfo is green_socket.getaddrinfo
        assert _thread.start_new_thread is thread.start_new_thread
        assert threading.Lock is _thread.allocate_lock is thread.LockType
        assert threading.local is local.local and threading.Event is event.Event
        assert queue.Queue is green_queue.Queue and queue.SimpleQueue is green_queue.SimpleQueue
        assert not hasattr(select, "epoll") and not hasattr(selectors, "EpollSelector")
        assert ssl.SSLContext.__module__ == "verdigris.ssl"
        for module in (os, socket, ssl, subprocess, time, select, selectors, signal, queue, threading, _thread):
            assert monkey.is_module_patched(module.__name__), module
        assert monkey.is_object_patched("os", "fork") and not monkey.is_object_patched("os", "open")
        assert not monkey.is_module_patched("math")
        # patching alone needs no hub
        assert verdigris._hub_local.get_hub_if_exists() is None
        """,
        patched=False,
    )
    assert (ended.status, ended.stderr) == (0, "")


def test_the_originals_are_kept(program: Run) -> None:
    ended = program(
        """
        import time, threading
        sleep, lock, popen = time.sleep, threading.Lock, __import__("subprocess").Popen
        from verdigris import monkey
        monkey.patch_all()
        monkey.patch_all()
        monkey.patch_subprocess()
        assert monkey.get_original("time", "sleep") is sleep
        assert monkey.get_original("time", ["sleep", "time"]) == [sleep, time.time]
        assert monkey.get_original("subprocess", "Popen") is popen
        for module, names in monkey.saved.items():
            assert all(monkey.is_object_patched(module, name) for name in names)
        try:
            monkey.get_original("time", "no_such_name")
        except AttributeError:
            pass
        else:
            raise SystemExit("found")
        """,
        patched=False,
    )
    assert (ended.status, ended.stderr) == (0, "")


def test_parts_are_left_out(program: Run) -> None:
    ended = program(
        """
        import socket, time, threading, os, queue
        before = time.sleep, socket.getaddrinfo, threading.Thread, threading.Lock, os.fork
        from verdigris import monkey
        monkey.patch_all(time=False, dns=False, thread=False, os=False, signal=False)
        assert (time.sleep, socket.getaddrinfo, threading.Thread, threading.Lock, os.fork) == before
        assert monkey.is_object_patched("socket", "socket") and not monkey.is_object_patched("socket", "getaddrinfo")
        monkey.patch_dns()
        assert monkey.is_object_patched("socket", "getaddrinfo")
        """,
        patched=False,
    )
    assert (ended.status, ended.stderr) == (0, "")


def test_patching_again(program: Run) -> None:
    ended = program(
        """
        import warnings
        from verdigris import monkey
        assert monkey.patch_all(os=False, signal=False) is True
        assert monkey.patch_all(os=False, signal=False) is None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert monkey.patch_all(os=False, signal=False, time=False) is None
            [warning] = caught
            assert issubclass(warning.category, monkey.MonkeyPatchWarning)
            assert "more than once" in str(warning.message) and warning.filename == __file__
            assert not monkey.is_module_patched("os")
            assert monkey.patch_all() is True
            assert monkey.is_module_patched("os")
        """,
        patched=False,
    )
    assert (ended.status, ended.stderr) == (0, "")


def test_events_in_order_and_a_veto(program: Run) -> None:
    ended = program(
        """
        from verdigris import events, monkey
        seen = []
        def subscriber(event):
            seen.append(event)
            if isinstance(event, events.GeventWillPatchModuleEvent) and event.module_name == "ssl":
                raise events.DoNotPatch
        events.subscribers.append(subscriber)
        assert monkey.patch_all(thread=False, extra=42) is True
        assert isinstance(seen[0], events.GeventWillPatchAllEvent)
        assert seen[0].patch_all_kwargs == {"extra": 42} and seen[0].patch_all_arguments["thread"] is False
        assert seen[0].will_patch_module("socket") and not seen[0].will_patch_module("thread")
        assert isinstance(seen[-2], events.GeventDidPatchBuiltinModulesEvent)
        assert isinstance(seen[-1], events.GeventDidPatchAllEvent)
        will = [e.module_name for e in seen if isinstance(e, events.GeventWillPatchModuleEvent)]
        did = [e.module_name for e in seen if isinstance(e, events.GeventDidPatchModuleEvent)]
        assert will == ["os", "time", "socket", "select", "selectors", "ssl", "subprocess", "signal", "queue"]
        assert did == [name for name in will if name != "ssl"]
        assert not monkey.is_module_patched("ssl")
        """,
        patched=False,
    )
    assert (ended.status, ended.stderr) == (0, "")


def test_a_veto_of_it_all(program: Run) -> None:
    ended = program(
        """
        from verdigris import events, monkey
        def subscriber(event):
            raise events.DoNotPatch
        events.subscribers.append(subscriber)
        assert monkey.patch_all() is False
        import time
        assert time.sleep.__name__ == "sleep" and not monkey.is_module_patched("time")
        """,
        patched=False,
    )
    assert (ended.status, ended.stderr) == (0, "")


def test_modules_of_ones_own(program: Run) -> None:
    ended = program(
        """
        from types import ModuleType
        from verdigris import monkey
        source, target = ModuleType("source"), ModuleType("target")
        target.a, target.b, target.c = 1, 2, 3
        try:
            monkey.patch_module(target, source)
        except AttributeError as error:
            assert "__implements__" in str(error)
        else:
            raise SystemExit("patched")
        calls = []
        source.a, source.b = 10, 20
        source.__implements__ = ["a", "b"]
        def will(target_module, items, warn, **kwargs):
            calls.append("will")
            items.remove("b")
        source._gevent_will_monkey_patch = will
        source._gevent_did_monkey_patch = lambda target_module, items, warn, **kwargs: calls.append(items)
        assert monkey.patch_module(target, source) is True
        assert (target.a, target.b, calls) == (10, 2, ["will", ["a"]])
        assert monkey.get_original("target", "a") == 1
        assert monkey.saved["target"] == {"a": 1}
        monkey.remove_item(target, "c")
        assert not hasattr(target, "c") and monkey.saved["target"] == {"a": 1, "c": 3}
        """,
        patched=False,
    )
    assert (ended.status, ended.stderr) == (0, "")


@pytest.mark.parametrize("subclass", ["from ssl import SSLContext\nclass Mine(SSLContext): pass\n", "import ssl\n"])
def test_ssl_used_before(program: Run, subclass: str) -> None:
    ended = program(
        subclass
        + """
import warnings
from verdigris import monkey
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    monkey.patch_all()
print(len(caught), *("NOT patched" in str(warning.message) for warning in caught))
""",
        patched=False,
    )
    assert (ended.stdout, ended.stderr) == ("1 True\n" if "class" in subclass else "0\n", "")


def test_locks_made_before(program: Run) -> None:
    """Locks of known places that exist when it is patched become locks that greenlets can wait for."""
    ended = program(
        """
        import concurrent.futures.thread, logging, threading
        logging.basicConfig()
        python_lock = threading._RLock()
        python_lock.acquire()
        with threading.RLock():
            from verdigris import monkey
            monkey.patch_all()
        from verdigris.thread import LockType
        assert isinstance(concurrent.futures.thread._global_shutdown_lock, LockType)
        assert isinstance(logging._lock._block, LockType)
        assert isinstance(logging.root.handlers[0].lock._block, LockType)
        assert isinstance(python_lock._block, LockType)
        python_lock.release()
        logging.warning("logged")
        """,
        patched=False,
    )
    assert (ended.status, ended.stderr) == (0, "WARNING:root:logged\n")


def test_while_a_module_is_imported(program: Run, tmp_path) -> None:
    (tmp_path / "outer.py").write_text("import inner\n")
    (tmp_path / "inner.py").write_text("from verdigris import monkey; monkey.patch_all()\nimport later\n")
    (tmp_path / "later.py").write_text("")
    assert (program("import outer", patched=False).status, program("import outer").stderr) == (0, "")


def test_two_greenlets_import_one_module(program: Run, tmp_path) -> None:
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(0.01)\nready = True\n")
    ended = program(
        """
        import threading
        def use():
            import slow
            print(slow.ready)
        threads = [threading.Thread(target=use) for _ in range(3)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        """
    )
    assert (ended.stdout, ended.stderr) == ("True\n" * 3, "")


def test_patch_sys(program: Run) -> None:
    ended = program(
        """
        import sys
        from verdigris import monkey
        monkey.patch_all(sys=True)
        print("out")
        print("err", file=sys.stderr)
        """,
        patched=False,
    )
    assert (ended.status, ended.stdout, ended.stderr) == (0, "out\n", "err\n")


def test_gevents_command_line(program: Run, tmp_path) -> None:
    (tmp_path / "script.py").write_text("import sys, time, verdigris.monkey as m; print(sys.argv, sorted(m.saved))")
    command = """
        import runpy, sys
        sys.argv[1:] = {!r}
        runpy.run_module("verdigris.monkey", run_name="__main__", alter_sys=True)
        """

    def run(*arguments: str):
        return program(command.format(list(arguments)), patched=False)

    assert "'time'" in run("script.py", "x").stdout and "['script.py', 'x']" in run("script.py", "x").stdout
    assert "'time'" not in run("--no-time", "script.py").stdout
    only = run("--time", "script.py").stdout
    assert "'time'" in only and "'socket'" not in only
    assert "usage" in run().stdout
    wrong = run("--bogus", "script.py")
    assert wrong.status == 1 and "Cannot patch 'bogus'" in wrong.stderr
