"""verdigris.events: classes, interfaces, subscribers, entry points."""

from __future__ import annotations

from conftest import Run
from verdigris import events


def test_events_say_what_they_are() -> None:
    event = events.GeventWillPatchModuleEvent("os", 1, 2, ["fork"])
    assert (event.module_name, event.source, event.target, event.target_item_names) == ("os", 1, 2, ["fork"])
    assert repr(event).startswith("<GeventWillPatchModuleEvent source=1 target=2 at ")
    event = events.GeventWillPatchAllEvent({"os": True}, {"more": 1})
    event.patch_all_arguments["os"] = False
    assert event.will_patch_module("os") and event.patch_all_kwargs == {"more": 1}
    assert repr(events.MemoryUsageThresholdExceeded(1, 2, 3)) == "<MemoryUsageThresholdExceeded used=1 max=2 details=3>"
    assert events.MemoryUsageUnderThreshold(1, 2, 3, 4).max_memory_usage == 4
    assert not issubclass(events.DoNotPatch, Exception)


def test_entry_points(program: Run, tmp_path) -> None:
    """Distributions that are installed may listen, after the subscribers; gevent's own are ours already."""
    (tmp_path / "listener.py").write_text("def heard(event): print('entry point', type(event).__name__)\n")
    information = tmp_path / "listener-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: listener\nVersion: 1\n")
    (information / "entry_points.txt").write_text(
        "[gevent.plugins.monkey.will_patch_all]\nmine = listener:heard\ngevents = gevent.monkey:_subscribe_signal_os\n"
    )
    ended = program(
        """
        from verdigris import events, monkey
        def heard(event):
            if isinstance(event, events.GeventWillPatchAllEvent):
                print("subscriber")
        events.subscribers.append(heard)
        monkey.patch_all()
        """,
        patched=False,
    )
    assert (ended.stdout, ended.stderr) == ("subscriber\nentry point GeventWillPatchAllEvent\n", "")


def test_patching_signal_without_os_warns(program: Run) -> None:
    ended = program("from verdigris import monkey; monkey.patch_all(os=False)", patched=False)
    assert ended.stderr.count("MonkeyPatchWarning: Patching signal but not os") == 1
