"""The benchmarks' report: whatever was measured, it can be written, and its charts can be read. Nothing is measured here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

SERVED = {"rate": 1e5, "cpu_us": 8.5, "p99_us": 4000.0, "p999_us": 8000.0, "resident_each": 7000.0}
RESULTS = {
    "python": "3.11",
    "machine": [["date", "today"]],
    "rounds": 2,
    "full": True,
    "micro": {"switch": {"gevent": [320.0, 330.0], "verdigris": [40.0, 41.0]}},
    "servers": {
        "echo-100": {"verdigris": [SERVED, SERVED], "gevent": [SERVED], "bare epoll loop": [SERVED]},
        "http-client": {"verdigris": [SERVED]},
    },
    "scaling": {
        "connections": {"verdigris": {"10": 8.0, "1000": 8.1}, "gevent": {"10": 21.0}},
        "sleepers": {"verdigris": {"10": 200.0, "100000": 250.0}},
    },
}


def report_of(results, folder):
    """Runs the report as `make bench` does, in a process of its own: its modules have names that anybody may have."""
    (folder / "results.json").write_text(json.dumps(results))
    command = [sys.executable, BENCHMARKS / "run.py", "--from", folder / "results.json", "--output", folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return (folder / "performance.md").read_text()


def test_report_has_what_was_measured(tmp_path):
    text = report_of(RESULTS, tmp_path)
    assert "| switch there and back | 325 ns | 40 ns | 8.0 x |" in text
    assert "| TCP echo, 100 connections, 1 KiB | 8.5 | 8.5 | 8.5 |" in text
    assert "| 1,000 | 8.1 µs | - |" in text
    # A client is not asked for the latency that its server sees.
    assert "HTTP client" not in text.partition("99th percentile")[2]


def test_charts_are_drawn_and_linked(tmp_path):
    text = report_of(RESULTS, tmp_path)
    for name in ("performance-servers.svg", "performance-connections.svg", "performance-sleepers.svg"):
        assert f"({name})" in text
        drawn = ElementTree.parse(tmp_path / name).getroot()
        assert "verdigris" in "".join(drawn.itertext())


def test_each_python_has_a_page_that_names_the_others(tmp_path):
    report_of(RESULTS, tmp_path)
    report_of({**RESULTS, "python": "3.13"}, tmp_path)
    first, second = ((tmp_path / name).read_text() for name in ("performance.md", "performance-3.13.md"))
    assert "- other Pythons: [3.13](performance-3.13.md)" in first
    assert "- other Pythons: [3.11](performance.md)" in second
    assert "(performance-3.13-servers.svg)" in second
    assert (tmp_path / "performance-3.13-servers.svg").exists()


def test_servers_are_compared_by_ratios(tmp_path):
    slower = {**SERVED, "cpu_us": 17.0}
    text = report_of({**RESULTS, "servers": {"echo-100": {"verdigris": [SERVED], "gevent": [slower]}}}, tmp_path)
    assert "| TCP echo, 100 connections, 1 KiB | 0.50 x |" in text


@pytest.mark.parametrize("kind", ["micro", "servers", "scaling"])
def test_report_of_one_kind(tmp_path, kind):
    text = report_of({**RESULTS, **{other: {} for other in ("micro", "servers", "scaling") if other != kind}}, tmp_path)
    assert text.count("\n## ") == 1
