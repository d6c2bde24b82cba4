"""The whole-server benchmarks: which cases, which libraries, and one measurement of one case in one library.

A server runs on one core, the load generator (`load`, in Rust) on another:

    generator   prints the port it listens on, if it does (it is what a client program or a proxy connects to)
    program     prints the port it listens on, unless it is a client
    generator   is told the program's process and port, and prints its figures
"""

import json
import os
import resource
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile

HERE = Path(__file__).resolve().parent

#: Descriptors that the largest cases need, when the system gives that many.
DESCRIPTORS = 250_000


@dataclass(frozen=True)
class Case:
    """What is asked of a server."""

    title: str
    program: str
    connections: int
    size: int = 1024
    idle: int = 0
    mode: str = ""
    #: What is read off: ``rate`` (requests per second), ``cpu_us``, ``p99_us``, ... of the generator's report.
    figures: tuple = ("rate", "cpu_us", "p99_us", "p999_us")
    more: dict = field(default_factory=dict)
    #: How many times as many rounds as others it gets: where each of two processes waits for the other, or a thousand queue up,
    #: one round says little.
    patience: int = 1

    def options(self, seconds):
        chosen = {
            "connections": self.connections,
            "bytes": self.size,
            "idle": self.idle,
            "seconds": seconds,
            **self.more,
        }
        return [self.mode or self.program, *(f"{name}={value}" for name, value in chosen.items())]


CASES = {
    "echo-1": Case("TCP echo, 1 connection, 1 KiB", "echo", 1, patience=2),
    "echo-100": Case("TCP echo, 100 connections, 1 KiB", "echo", 100),
    "echo-1000": Case("TCP echo, 1,000 connections, 1 KiB", "echo", 1000, patience=3),
    "echo-1-small": Case("TCP echo, 1 connection, 64 B", "echo", 1, 64),
    "echo-100-small": Case("TCP echo, 100 connections, 64 B", "echo", 100, 64),
    "echo-1000-small": Case("TCP echo, 1,000 connections, 64 B", "echo", 1000, 64),
    "echo-1-large": Case("TCP echo, 1 connection, 64 KiB", "echo", 1, 65536),
    "echo-100-large": Case("TCP echo, 100 connections, 64 KiB", "echo", 100, 65536),
    "echo-1000-large": Case("TCP echo, 1,000 connections, 64 KiB", "echo", 1000, 65536),
    "tls-100": Case("TLS echo, 100 connections, 1 KiB", "tls", 100, mode="echo", more={"tls": "yes"}),
    "udp-100": Case("UDP echo, 100 sockets, 1 KiB", "udp", 100),
    "accept": Case("accept and close", "accept", 50),
    "idle-10000": Case(
        "TCP echo, 100 connections beside 10,000 idle ones",
        "echo",
        100,
        idle=10_000,
        figures=("rate", "cpu_us", "p99_us", "p999_us", "resident_each"),
    ),
    "http-client": Case("HTTP client, 200 connections", "http", 200, figures=("rate", "cpu_us")),
    "proxy-100": Case("TCP proxy, 100 connections, 1 KiB", "proxy", 100),
}

#: What `--quick` measures.
QUICK = ("echo-1", "echo-100", "echo-1000", "accept", "http-client")

LIBRARIES = ("verdigris", "gevent", "eventlet", "asyncio", "uvloop", "uvloop streams", "bare epoll loop")


@dataclass(frozen=True)
class Bench:
    """Where the programs are."""

    #: An interpreter with verdigris, one with the other libraries.
    own: str
    peer: str
    #: The load generator.
    load: str

    def command(self, library, case):
        """The program of a library for a case, or None if it has none."""
        green, asynchronous = HERE / "programs" / "green.py", HERE / "programs" / "asynchronous.py"
        match library:
            case "verdigris":
                return [self.own, green, library, case.program]
            case "gevent" | "eventlet":
                return [self.peer, green, library, case.program]
            case "bare epoll loop":
                return (
                    [self.load, "bare", f"what={case.program}"] if case.program in ("echo", "udp", "accept") else None
                )
        loop, _, style = library.partition(" ")
        if case.program == "http" or (case.program == "udp" and style):
            return None
        return [self.peer, asynchronous, loop, style or "protocol", case.program]

    def measure(self, library, case, seconds):
        """One round: the generator's report, or None if the library has no such program."""
        command = self.command(library, case)
        if command is None:
            return None
        cores = sorted(os.sched_getaffinity(0))
        with TemporaryFile("w+") as complaints:
            try:
                with started([self.load, *case.options(seconds)], cores[-1], complaints) as generator:
                    behind = port_of(generator) if case.program in ("http", "proxy") else 0
                    if case.program in ("http", "proxy"):
                        command = [*command, str(case.connections), str(behind)]
                    with started(command, cores[0], complaints) as program:
                        port = 0 if case.program == "http" else port_of(program)
                        report, _ = generator.communicate(f"{program.pid} {port}\n", timeout=120)
                return json.loads(report)
            except (ValueError, OSError, subprocess.TimeoutExpired) as problem:
                complaints.seek(0)
                raise RuntimeError(f"{case.title}: no figures for {library}:\n{complaints.read()[:2000]}") from problem


@contextmanager
def started(command, core, complaints):
    """A process on one core, ended with the block."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            [str(part) for part in command], stdin=pipe, stdout=pipe, stderr=complaints, text=True
        )
    finally:
        os.sched_setaffinity(0, before)
    with process:
        try:
            yield process
        finally:
            process.kill()


def port_of(process):
    """The port that a program says it listens on."""
    line = process.stdout.readline()
    if not line.startswith("port "):
        raise ValueError(f"it did not start: {process.args}")
    return int(line.split()[1])


def raise_descriptor_limit():
    """As many descriptors as the largest cases need, if we may; how many there are."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limits in ((DESCRIPTORS, max(hard, DESCRIPTORS)), (hard, hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            break
        except (ValueError, OSError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
