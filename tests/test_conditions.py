"""What verdigris promises as a whole, each promise as a program of its own under `verdigris run`.

The programs are ordinary Python: they know gevent or nothing. Whether their waits run at once is never told by a clock. Where a
server is in play, it answers nobody until all have asked (`barrier_server.py`); elsewhere the program counts who is in
the middle of a wait. Time limits are far above what any of it takes.

With `GENUINE_GEVENT=/path/to/python` in the environment, the same programs run on gevent itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from conftest import GENUINE, Ended, Run, barrier_server, end_program, start_program

UNDER_SANITIZER = "VERDIGRIS_ASAN" in os.environ

# Blocking calls run at once -------------------------------------------------------------------------------------------

CLIENTS = {
    "requests": """
        import requests
        def fetch(url):
            return requests.get(url).text
    """,
    "urllib": """
        import urllib.request
        def fetch(url):
            with urllib.request.urlopen(url) as response:
                return response.read().decode()
    """,
    "http.client": """
        import http.client
        from urllib.parse import urlsplit
        def fetch(url):
            connection = http.client.HTTPConnection(urlsplit(url).netloc)
            connection.request("GET", "/")
            return connection.getresponse().read().decode()
    """,
    "socket": """
        import socket
        from urllib.parse import urlsplit
        def fetch(url):
            with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port)) as connection:
                connection.sendall(b"GET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
                with connection.makefile("rb") as stream:
                    return stream.read().partition(b"\\r\\n\\r\\n")[2].decode()
    """,
    "ssl": """
        import socket, ssl
        from urllib.parse import urlsplit
        context = ssl.create_default_context(cafile=CERTIFICATE)
        def fetch(url):
            with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port)) as plain:
                with context.wrap_socket(plain, server_hostname="localhost") as connection:
                    connection.sendall(b"GET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
                    answer = b""
                    while piece := connection.recv(1000):
                        answer += piece
                    return answer.partition(b"\\r\\n\\r\\n")[2].decode()
    """,
}

WAYS = {
    "greenlets": """
        import gevent
        def all_at_once(function, arguments):
            jobs = [gevent.spawn(function, argument) for argument in arguments]
            gevent.joinall(jobs)
            return [job.get() for job in jobs]
    """,
    "pool of threads": """
        from concurrent.futures import ThreadPoolExecutor
        def all_at_once(function, arguments):
            with ThreadPoolExecutor(len(arguments)) as pool:
                return list(pool.map(function, arguments))
    """,
    "threads": """
        import threading
        def all_at_once(function, arguments):
            results = []
            threads = [threading.Thread(target=lambda a=a: results.append(function(a))) for a in arguments]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            return results
    """,
}

COUNT_ANSWERS = """
    import collections, sys
    url, count = sys.argv[1], int(sys.argv[2])
    print(sorted(collections.Counter(all_at_once(fetch, [url] * count)).items()))
    print("threads:", sum(line.startswith("Threads:") and int(line.split()[1]) for line in open("/proc/self/status")))
"""


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("way", WAYS)
def test_two_hundred_requests_wait_at_once(program: Run, client: str, way: str) -> None:
    count = 200
    certificate = Path(__file__).with_name("data") / "localhost.pem"
    source = join(f"CERTIFICATE = {str(certificate)!r}", CLIENTS[client], WAYS[way], COUNT_ANSWERS)
    with barrier_server(count, tls=client == "ssl") as url:
        ended = program(source, url, str(count), environment={"NO_PROXY": "*"})
    assert ended.stderr == ""
    answers, threads = ended.stdout.splitlines()
    assert answers == f"[('all {count} requests came', {count})]"
    assert int(threads.removeprefix("threads:")) < 30, "the waits took threads of the operating system"
    assert ended.status == 0


def test_fifty_subprocesses_run_at_once(program: Run, tmp_path: Path) -> None:
    """Each child ends only when a file is there, and the file is made when all fifty are being waited for."""
    ended = program(
        """
        import os, subprocess, threading
        waiting = 0
        def run(number):
            global waiting
            waiting += 1
            if waiting == 50:
                open("gate", "w").close()
            shell = f"until [ -e gate ]; do sleep 0.01; done; sleep 0.2; echo child {number}"
            results[number] = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout
        results = {}
        threads = [threading.Thread(target=run, args=(number,)) for number in range(50)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert results == {number: f"child {number}\\n" for number in range(50)}, results
        print(len(results), "children")
        """
    )
    assert (ended.status, ended.stdout, ended.stderr) == (0, "50 children\n", "")


def test_a_hundred_thousand_greenlets_sleep_at_once(program: Run) -> None:
    """One after another they would sleep for a day."""
    ended = program(
        """
        import gevent, time
        def sleep():
            time.sleep(1)
            return 1
        jobs = [gevent.spawn(sleep) for _ in range(100_000)]
        gevent.joinall(jobs)
        print(sum(job.get() for job in jobs))
        print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")))
        """
    )
    assert ended.stderr == ""
    woken, peak_kb = ended.stdout.split()
    assert int(woken) == 100_000
    assert ended.status == 0
    if not UNDER_SANITIZER and not GENUINE:
        assert int(peak_kb) < 700 * 1024


# Servers --------------------------------------------------------------------------------------------------------------

ECHO_SERVER = """
    import resource, sys
    from gevent.server import StreamServer
    limit = int(sys.argv[1])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(limit, hard)))
    def echo(connection, address):
        while data := connection.recv(4096):
            connection.sendall(data)
    server = StreamServer(("127.0.0.1", 0), echo, backlog=4096)
    server.start()
    print(server.server_port, flush=True)
    server.serve_forever()
"""


def test_ten_thousand_connections_echo(tmp_path: Path) -> None:
    """All are open before the first one speaks; among them, some stall, some reset and some leave without a word."""
    count = 10_000
    descriptors = 30_000
    raise_descriptor_limit(descriptors, needed=count + 500)
    with echo_server(tmp_path, resource.getrlimit(resource.RLIMIT_NOFILE)[0]) as (port, _):
        connections = [connect(port) for _ in range(count)]
        stalled, reset, left, speaking = (
            connections[:200],
            connections[200:400],
            connections[400:600],
            connections[600:],
        )
        for connection in stalled:
            connection.sendall(b"never read")
        for connection in reset:
            connection.sendall(b"reset")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        for connection in left:
            connection.close()
        for turn in range(3):
            for number, connection in enumerate(speaking):
                connection.sendall(b"%06d of turn %d" % (number, turn))
            for number, connection in enumerate(speaking):
                expected = b"%06d of turn %d" % (number, turn)
                assert receive(connection, len(expected)) == expected
        for connection in [*speaking, *stalled]:
            connection.close()


def test_running_out_of_descriptors_pauses_accepting(tmp_path: Path) -> None:
    """A server that has no descriptor left says so once, and serves those who wait when others have gone."""
    with echo_server(tmp_path, 64) as (port, errors):
        connections = [connect(port) for _ in range(100)]
        for number, connection in enumerate(connections):
            connection.sendall(b"%03d" % number)
        accepted = connections[:40]
        for number, connection in enumerate(accepted):
            assert receive(connection, 3) == b"%03d" % number
        wait_until(lambda: os.strerror(errno.EMFILE) in errors.read_text())
        for number, connection in enumerate(accepted * 20):  # those inside are served meanwhile
            connection.sendall(b"%03d" % number)
            assert receive(connection, 3) == b"%03d" % number
        if not GENUINE:
            assert errors.read_text().count(os.strerror(errno.EMFILE)) == 1, errors.read_text()
        for connection in accepted:
            connection.close()
        for number, connection in enumerate(connections[40:80], 40):
            assert receive(connection, 3) == b"%03d" % number
        for connection in connections[40:80]:
            connection.close()
        for number, connection in enumerate(connections[80:], 80):
            assert receive(connection, 3) == b"%03d" % number
        for connection in connections[80:]:
            connection.close()


@contextlib.contextmanager
def echo_server(folder: Path, descriptors: int) -> Iterator[tuple[int, Path]]:
    """Runs a StreamServer that echoes; gives its port and the file with its errors. It must still be alive at the end."""
    errors = folder / "errors"
    with errors.open("wb") as stderr:
        process = start_program(folder, ECHO_SERVER, str(descriptors), stderr=stderr.fileno())
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, errors.read_text()
        yield int(line), errors
        assert process.poll() is None, errors.read_text()
    finally:
        process.kill()
        process.communicate()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def receive(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (piece := connection.recv(count - len(data))):
        data += piece
    return data


def raise_descriptor_limit(wanted: int, needed: int) -> None:
    """Raises this process's limit of open files to `wanted`, or as far as permitted; skips the test below `needed`."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for limit in (wanted, hard):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(limit, hard)))
            break
    permitted = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if permitted < needed:
        pytest.skip(f"NOT TESTED: {needed} open files are needed, this machine permits {permitted} (ulimit -n)")


# An interrupt from the keyboard ---------------------------------------------------------------------------------------

MIDDLES = {
    "sleeping": "time.sleep(1000)",
    "sleeping the gevent way": "gevent.sleep(1000)",
    "joining": "gevent.joinall([gevent.spawn(time.sleep, 1000) for _ in range(100)])",
    "switching": """
        def switch():
            while True:
                gevent.sleep(0)
        gevent.joinall([gevent.spawn(switch) for _ in range(10)])
    """,
    "computing": """
        while True:
            pass
    """,
    "computing in a greenlet": """
        def compute():
            while True:
                pass
        gevent.spawn(compute).join()
    """,
    "receiving": "pair = socket.socketpair(); pair[0].recv(1)",
    "accepting": """
        listener = socket.create_server(("127.0.0.1", 0))
        listener.accept()
    """,
    "selecting": "pair = socket.socketpair(); select.select([pair[0]], [], [])",
    "waiting for an event": "gevent.spawn_later(1000, print); threading.Event().wait()",
    "waiting for a lock": """
        lock = threading.Lock()
        lock.acquire()
        gevent.spawn_later(1000, print)
        lock.acquire()
    """,
    "waiting for a queue": "gevent.spawn_later(1000, print); queue.Queue().get()",
    "waiting for a child": 'subprocess.run(["sleep", "1000"])',
    "joining a thread": """
        thread = threading.Thread(target=time.sleep, args=(1000,), daemon=True)
        thread.start()
        thread.join()
    """,
    "serving": 'StreamServer(("127.0.0.1", 0), print).serve_forever()',
    "waiting for an OS thread": "gevent.get_hub().threadpool.apply(original_sleep, (0.5,)); time.sleep(1000)",
}

INTERRUPTED = """
    import gevent, gevent.monkey, queue, select, socket, subprocess, sys, threading, time
    from gevent.server import StreamServer
    original_sleep = gevent.monkey.get_original("time", "sleep")
    def middle():
{middle}
    try:
        gevent.getcurrent()
        print("ready", flush=True)
        middle()
    except KeyboardInterrupt:
        print("interrupted in", "main" if gevent.getcurrent().parent is None else "another", flush=True)
    print("went on", flush=True)
"""


@pytest.mark.parametrize("middle", MIDDLES)
def test_interrupt_reaches_main(tmp_path: Path, middle: str) -> None:
    source = INTERRUPTED.format(middle=indent(MIDDLES[middle], 8))
    ended = interrupt(tmp_path, source)
    assert ended.stdout == "interrupted in main\nwent on\n", ended.stderr
    assert ended.status == 0, ended.stderr


@pytest.mark.parametrize("middle", ["sleeping", "joining", "switching", "computing in a greenlet", "receiving"])
def test_interrupt_that_nobody_catches_ends_the_program(tmp_path: Path, middle: str) -> None:
    source = INTERRUPTED.format(middle=indent(MIDDLES[middle], 8)).replace(
        "except KeyboardInterrupt", "except ZeroDivisionError"
    )
    ended = interrupt(tmp_path, source)
    assert ended.stdout == ""
    assert ended.stderr.splitlines()[-1] == "KeyboardInterrupt"
    assert ended.status == -signal.SIGINT


def interrupt(folder: Path, source: str) -> Ended:
    """Runs a program until it prints `ready`, waits until it has nothing more to do or is busy, and sends it SIGINT."""
    process = start_program(folder, source)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()
    settle(process.pid)
    process.send_signal(signal.SIGINT)
    return end_program(process)


def settle(pid: int) -> None:
    """Waits until a process is in its middle: it sleeps and has been left alone for many looks, as its children have,
    or it has used some time of the processor since.

    Sleeping alone says little: a program that starts a child sleeps until that has begun, and an interrupt then
    leaves a child behind that nobody knows.
    """
    watched = psutil.Process(pid)
    busy = sum(watched.cpu_times()[:2]) + 0.2
    seen: list[tuple[object, ...]] = []

    def in_its_middle() -> bool:
        if sum(watched.cpu_times()[:2]) > busy:
            return True
        children = watched.children(recursive=True)
        now = (watched.status(), *watched.num_ctx_switches(), *(child.cmdline() for child in children))
        if now[0] != psutil.STATUS_SLEEPING or (seen and seen[-1] != now):
            seen.clear()
        seen.append(now)
        return len(seen) > 20

    wait_until(in_its_middle)


# Bad input: a clear error, no crash and no hang -----------------------------------------------------------------------

BAD_INPUT = {
    "negative sleep": ("time.sleep(-1)", "ValueError: sleep length must be non-negative"),
    "a sleep of no length": ("gevent.sleep(float('nan'))", "ValueError: "),
    "spawned what cannot be called": ("gevent.spawn(42)", "TypeError: "),
    "closed socket received": ("s = socket.socket(); s.close(); s.recv(1)", "OSError: [Errno 9] "),
    "closed socket sent": ("s = socket.socket(); s.close(); s.sendall(b'x')", "OSError: [Errno 9] "),
    "closed socket accepted": ("s = socket.create_server(('', 0)); s.close(); s.accept()", "OSError: [Errno 9] "),
    "socket closed by another": (
        "a, b = socket.socketpair(); gevent.spawn(a.close); a.recv(1)",
        "[Errno 9] File descriptor was closed in another greenlet",
    ),
    "thrown what is no exception": ("greenlet.greenlet(print).throw(42)", "TypeError: "),
    "thrown into by a string": ("greenlet.greenlet(print).throw('error')", "TypeError: "),
    "switched to what cannot be called": ("greenlet.greenlet(42).switch()", "TypeError: 'int' object is not callable"),
    "parent of a wrong type": ("greenlet.greenlet(print, 42)", "TypeError: "),
    "killed what is no greenlet": ("gevent.kill(42)", "AttributeError: "),
    "waited with nobody to wake": ("gevent.get_hub().switch()", "LoopExit: "),
    "joined with nobody to wake": ("gevent.event.Event().wait()", "LoopExit: "),
    "semaphore below zero": ("gevent.lock.Semaphore(-1)", "ValueError: "),
    "timeout of a wrong type": ("gevent.Timeout('soon').start()", "TypeError: "),
    "descriptor that is none": ("gevent.get_hub().loop.io(-1, 1)", "ValueError: "),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_a_clear_error(program: Run, case: str) -> None:
    if GENUINE and "sleep" in case:
        pytest.skip("gevent takes it for zero; the standard library and verdigris refuse it")
    code, error = BAD_INPUT[case]
    ended = program(f"import gevent, gevent.event, gevent.lock, greenlet, socket, time\n{code}\nprint('no error')\n")
    assert ended.stdout == ""
    last = next((line for line in reversed(ended.stderr.splitlines()) if error in line), "")
    assert last and not last.startswith(" "), ended.stderr
    assert ended.status == 1


def test_error_in_a_greenlet_is_printed_with_its_function_and_arguments(program: Run) -> None:
    ended = program(
        """
        import gevent
        def divide(number):
            return number / 0
        job = gevent.spawn(divide, 17)
        job.join()
        print("went on", repr(job.exception))
        """
    )
    assert ended.stdout == "went on ZeroDivisionError('division by zero')\n"
    assert "Traceback (most recent call last):" in ended.stderr
    assert "in divide" in ended.stderr
    assert "divide(17)" in ended.stderr and "failed with ZeroDivisionError" in ended.stderr
    assert ended.status == 0


@pytest.mark.skipif(GENUINE is not None, reason="about our own command")
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["run", "missing.py"], "missing.py"),
        (["run", "-m", "missing_module"], "missing_module"),
        (["run"], ""),
        (["walk"], "walk"),
    ],
)
def test_command_line_mistakes_are_told(tmp_path: Path, arguments: list[str], error: str) -> None:
    command = [sys.executable, "-m", "verdigris", *arguments]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert ended.returncode != 0
    assert error in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.skipif(GENUINE is not None, reason="about our own function")
@pytest.mark.parametrize("name", ["gevent", "greenlet"])
def test_installing_after_the_genuine_ones_is_refused(program: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text("")
    ended = program(f"import {name}, verdigris\nverdigris.install_as_gevent()\nprint('no error')\n", patched=False)
    assert ended.stdout == ""
    assert name in ended.stderr.splitlines()[-1]
    assert ended.status == 1


# Helpers --------------------------------------------------------------------------------------------------------------


def wait_until(condition: Callable[[], bool]) -> None:
    """Waits for something that another process does; the test's time limit ends what never comes."""
    while not condition():
        time.sleep(0.005)


def join(*sources: str) -> str:
    return "\n".join(indent(source, 0) for source in sources)


def indent(source: str, columns: int) -> str:
    return textwrap.indent(textwrap.dedent(source).strip("\n"), " " * columns)
