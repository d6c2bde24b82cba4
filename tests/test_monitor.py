"""The monitoring thread, called step by step instead of waited for."""

import pytest
import verdigris
from verdigris import _monitor, events
from verdigris._tracer import GreenletTracer


@pytest.fixture
def monitor(monkeypatch):
    """One whose thread does not run: the test looks itself."""
    hub = verdigris.get_hub()
    monkeypatch.setattr(_monitor, "start_new_thread", lambda function, arguments: 0)
    monitor = _monitor.PeriodicMonitoringThread(hub)
    hub.exception_stream = None
    yield monitor
    hub._exception_stream_set = False
    monitor.kill()


@pytest.fixture
def told():
    events_seen = []
    events.subscribers.append(events_seen.append)
    yield events_seen
    events.subscribers.remove(events_seen.append)


def test_a_greenlet_that_does_not_switch_is_reported(monitor, told):
    def body():
        assert monitor.monitor_blocking(verdigris.get_hub()) is None, "it was switched to since the last look"
        return monitor.monitor_blocking(verdigris.get_hub())

    greenlet = verdigris.spawn(body)
    event = greenlet.get()
    assert isinstance(event, events.EventLoopBlocked)
    assert event.greenlet is greenlet
    assert told == [event]
    assert any("appears to be blocked" in line for line in event.info)


def test_the_hub_itself_does_not_block(monitor):
    hub = verdigris.get_hub()
    seen = []

    def look_twice():
        seen.append(monitor.monitor_blocking(hub))
        seen.append(monitor.monitor_blocking(hub))

    hub.loop.run_callback(look_twice)
    verdigris.sleep(0)
    assert seen == [None, None]


def test_a_greenlet_can_ask_not_to_be_reported(monitor):
    def body():
        monitor.monitor_blocking(verdigris.get_hub())
        monitor.ignore_current_greenlet_blocking()
        ignored = monitor.monitor_blocking(verdigris.get_hub())
        monitor.monitor_current_greenlet_blocking()
        return ignored, monitor.monitor_blocking(verdigris.get_hub())

    ignored, reported = verdigris.spawn(body).get()
    assert ignored is None
    assert reported is not None


def test_functions_are_added_and_taken_away(monitor):
    def function(hub):
        raise AssertionError("not called here")

    monitor.add_monitoring_function(function, 0.01)
    assert monitor.calculate_sleep_time() == 0.01
    monitor.add_monitoring_function(function, None)
    assert [entry.function for entry in monitor.monitoring_functions()] == [monitor.monitor_blocking]
    with pytest.raises(ValueError, match="positive"):
        monitor.add_monitoring_function(function, -1)
    with pytest.raises(ValueError, match="callable"):
        monitor.add_monitoring_function(None, 1)


def test_the_tracer_takes_itself_back():
    from verdigris._core import gettrace

    before = gettrace()
    tracer = GreenletTracer()
    assert gettrace() is tracer
    tracer.kill()
    assert gettrace() is before
