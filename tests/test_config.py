"""The settings."""

from __future__ import annotations

import subprocess
import sys

import pytest
from verdigris import _config


@pytest.fixture
def config() -> _config.Config:
    return _config.Config()


@pytest.mark.parametrize(
    ("name", "variable", "text", "value"),
    [
        ("max_blocking_time", "GEVENT_MAX_BLOCKING_TIME", "0.5", 0.5),
        ("max_memory_usage", "GEVENT_MONITOR_MEMORY_MAX", "10mb", 10 * 1024**2),
        ("track_greenlet_tree", "GEVENT_TRACK_GREENLET_TREE", "off", False),
        ("monitor_thread", "GEVENT_MONITOR_THREAD_ENABLE", "Yes", True),
        ("libev_backend", "GEVENT_BACKEND", "poll,select", ["poll", "select"]),
        ("resolver_nameservers", "GEVENT_RESOLVER_NAMESERVERS", "1.2.3.4, 5.6.7.8", ["1.2.3.4", "5.6.7.8"]),
        ("threadpool_idle_task_timeout", "GEVENT_THREADPOOL_IDLE_TASK_TIMEOUT", "-1", -1),
        ("ares_tries", "GEVENTARES_TRIES", "3", 3),
        ("stack_sweep_interval", "GEVENT_STACK_SWEEP_INTERVAL", "1.5", 1.5),
        ("stack_sweep_interval", "GEVENT_STACK_SWEEP_INTERVAL", "off", None),
    ],
)
def test_environment(config, monkeypatch, name: str, variable: str, text: str, value: object) -> None:
    monkeypatch.setenv(variable, text)
    assert getattr(config, name) == value
    monkeypatch.setenv(variable, "")
    assert getattr(config, name) == value  # fixed at its first use
    assert getattr(_config.Config(), name) == _config.SETTINGS[name].default


def test_our_own_prefix_wins(config, monkeypatch) -> None:
    monkeypatch.setenv("GEVENT_MAX_BLOCKING_TIME", "1")
    monkeypatch.setenv("VERDIGRIS_MAX_BLOCKING_TIME", "2")
    assert config.max_blocking_time == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_blocking_time", -1),
        ("max_blocking_time", "x"),
        ("track_greenlet_tree", "hmm"),
        ("max_memory_usage", "10foo"),
        ("memory_monitor_period", 0),
        ("threadpool_idle_task_timeout", -3),
        ("stack_sweep_interval", -1),
        ("stack_sweep_interval", "soon"),
    ],
)
def test_values_that_are_refused(config, name: str, value: object) -> None:
    with pytest.raises(ValueError):
        setattr(config, name, value)
    assert getattr(config, name) == _config.SETTINGS[name].default


def test_names(config) -> None:
    assert set(dir(config)) == set(config.settings)
    with pytest.raises(AttributeError, match="No configuration setting for: 'nonsense'"):
        _ = config.nonsense
    with pytest.raises(AttributeError):
        config.set("nonsense", 1)


def test_classes_by_name(config) -> None:
    from verdigris.resolver.blocking import Resolver as Blocking
    from verdigris.resolver.thread import Resolver as Thread

    assert config.resolver is Thread
    for value in ("block", "gevent.resolver.blocking.Resolver", ["nonsense.Resolver", "block"], Blocking):
        config.resolver = Thread
        config.resolver = value
        assert config.resolver is Blocking
    for value in ("nonsense", "nonsense.Resolver", "verdigris.resolver.thread.Nonsense", []):
        with pytest.raises(ImportError):
            config.resolver = value
    assert config.loop.__name__ == "loop"


def test_the_list_of_them() -> None:
    text = subprocess.run(
        [sys.executable, "-m", "verdigris._config"], capture_output=True, text=True, check=True
    ).stdout
    assert "GEVENT_RESOLVER" in text and "max_blocking_time" in text
