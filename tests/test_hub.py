"""The hub: reference rows GV-60 to GV-79. Each test passes on gevent, too, when it is run there (`GENUINE_GEVENT`)."""

import pytest
from conftest import Run

HEAD = """
import os, sys
if not os.environ.get("GENUINE_GEVENT"):
    import verdigris; verdigris.install_as_gevent()
import gc, gevent, gevent.event, gevent.exceptions, gevent.hub, greenlet, io, re, signal, threading, time, weakref
from gevent.hub import LoopExit, Waiter, get_hub
hub = get_hub(); loop = hub.loop
seen = []
def note(*what): seen.append(what[0] if len(what) == 1 else what)
def raises(kind, text, function, *arguments, **keywords):
    try: function(*arguments, **keywords)
    except kind as error: assert text in str(error), str(error)
    else: raise AssertionError(f"no {kind.__name__} from {function}")
def in_thread(function):
    box = []
    thread = threading.Thread(target=lambda: box.append(function())); thread.start(); thread.join(); return box[0]
"""

ROWS = {
    "GV-60 a hub for each thread": """
        assert get_hub() is hub and hub.main_hub and loop.default
        assert in_thread(lambda: (get_hub() is hub, get_hub().main_hub, get_hub().loop.default)) == (False, False, False)
        assert hub.name == "" and hub.thread_ident == threading.get_ident()
        assert re.match(r"<Hub '' at 0x\\w+ epoll default pending=\\d+ ref=\\d+ fileno=\\d+ thread_ident=0x\\w+>", repr(hub)), repr(hub)
    """,
    "GV-61 an interrupt in a callback is raised in the main greenlet": """
        hub.exception_stream = None
        def interrupt(): raise KeyboardInterrupt
        loop.run_callback(interrupt); raises(KeyboardInterrupt, "", gevent.sleep, 20)
    """,
    "GV-61 an interrupt in a greenlet is raised in the main greenlet": """
        hub.exception_stream = None
        def interrupt(): raise KeyboardInterrupt
        one = gevent.spawn(interrupt); raises(KeyboardInterrupt, "", gevent.sleep, 20)
        assert isinstance(one.exception, KeyboardInterrupt)
    """,
    "GV-62 an exit is not shown": """
        hub.exception_stream = io.StringIO()
        def leave(): raise gevent.GreenletExit
        gevent.spawn(leave).join(); assert hub.exception_stream.getvalue() == ""
    """,
    "GV-63 SystemExit in a greenlet": """
        one = gevent.spawn(sys.exit, 3)
        try: one.join()
        except SystemExit as error: assert error.code == 3
        else: raise AssertionError
        assert one.value is None and isinstance(one.exception, SystemExit)
    """,
    "GV-64 how an error is shown": """
        hub.exception_stream = io.StringIO(); loop.run_callback(lambda: 1 / 0); gevent.sleep(0)
        text = hub.exception_stream.getvalue()
        assert text.startswith("Traceback (most recent call last):\\n") and "ZeroDivisionError: division by zero\\n" in text
        assert re.search(r"\\n\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ <callback at 0x\\w+ args=\\(\\)> failed with ZeroDivisionError\\n\\n$", text), text
    """,
    "GV-64 an error without a context, and one without a value": """
        hub.exception_stream = io.StringIO(); hub.print_exception(None, ValueError, ValueError("x"), None)
        assert re.search(r"ValueError: x\\n\\S+Z\\n$", hub.exception_stream.getvalue()), hub.exception_stream.getvalue()
        hub.exception_stream = io.StringIO(); hub.print_exception("somewhere", ValueError, None, None)
        assert re.match(r"ValueError\\n\\S+Z somewhere failed with ValueError\\n\\n$", hub.exception_stream.getvalue())
    """,
    "GV-65 no stream, no text": """
        hub.exception_stream = None; gevent.spawn(lambda: 1 / 0).join(); assert hub.exception_stream is None
    """,
    "GV-66 nothing to wait for, again and again": """
        for _ in range(3): raises(LoopExit, "This operation would block forever", hub.switch)
        assert not hub.dead; gevent.sleep(0.001)
    """,
    "GV-67 the text of LoopExit": """
        try: hub.switch()
        except LoopExit as error: caught = error
        assert len(caught.args) == 3 and caught.args[1] is hub
        assert "\\tHub: <Hub" in str(caught) and "\\tHandles:\\n[]" in str(caught), str(caught)
    """,
    "GV-68 a greenlet is told that it is left": """
        class Told(gevent.Greenlet):
            def switch_out(self): note("out")
        class Refuses(gevent.Greenlet):
            def switch_out(self): raise IndexError
        Told.spawn(gevent.sleep, 0.001).join(); assert seen == ["out"], seen
        hub.exception_stream = None; one = Refuses.spawn(gevent.sleep, 0.001); one.join(); assert isinstance(one.exception, IndexError)
    """,
    "GV-68 the same when the method comes later": """
        class Told(gevent.Greenlet): pass
        def leave(): gevent.sleep(0); gevent.sleep(0)
        Told.spawn(leave).join(); Told.spawn(leave).join()
        one = Told(leave); one.switch_out = lambda: note("own"); one.start(); one.join(); assert seen == ["own"] * 2, seen
        Told.spawn(leave).join(); assert seen == ["own"] * 2, seen
        Told.switch_out = lambda self: note("class")
        Told.spawn(leave).join(); assert seen == ["own"] * 2 + ["class"] * 2, seen
        del Told.switch_out; Told.spawn(leave).join(); assert len(seen) == 4, seen
    """,
    "GV-69 the hub does not wait": """
        hub.exception_stream = None; hub.handle_error = lambda context, kind, value, traceback: note(kind.__name__, str(value))
        loop.run_callback(gevent.sleep, 1); gevent.sleep(0)
        assert seen == [("BlockingSwitchOutError", "Impossible to call blocking function in the event loop callback")], seen
    """,
    "GV-70 joining the hub": """
        one = gevent.spawn(gevent.sleep, 0.001)
        assert hub.join() is True and one.dead
        left = gevent.spawn(gevent.sleep, 100); assert hub.join(timeout=0.001) is False
        hub.exception_stream = None; one = gevent.spawn(hub.join); one.join()
        assert isinstance(one.exception, AssertionError) and "only possible from the MAIN greenlet" in str(one.exception)
        left.kill(); assert gevent.wait() is True
    """,
    "GV-71 a new hub after the end of one": """
        hub.destroy(); assert hub.loop is None and "destroyed" in repr(hub)
        assert get_hub() is not hub; gevent.sleep(0.001)
    """,
    "GV-72 the resolver and the pool are made when they are wanted": """
        assert hub._resolver is None and hub._threadpool is None
        assert hub.threadpool is hub.threadpool and hub.threadpool.maxsize == 10 and hub.resolver is hub.resolver
        assert type(hub.resolver).__module__ == "gevent.resolver.thread" and hub.threadpool.hub is hub
        hub.resolver = None; assert hub.resolver is not None
    """,
    "GV-73 a watcher waited for": """
        r, w = os.pipe(); gevent.spawn_later(0.001, os.write, w, b"x"); hub.wait(loop.io(r, 1)); assert os.read(r, 1) == b"x"
    """,
    "GV-74 a wait that is cancelled": """
        r, w = os.pipe(); watcher = loop.io(r, 1)
        waits = gevent.spawn(hub.wait, watcher); gevent.sleep(0); hub.exception_stream = None
        hub.cancel_wait(watcher, IndexError()); waits.join(); assert isinstance(waits.exception, IndexError)
        hub.cancel_wait(watcher, IndexError()); gevent.sleep(0)
    """,
    "GV-75 several waits are cancelled, then something is done": """
        r, w = os.pipe(); watchers = [loop.io(r, 1), loop.io(w, 1)]
        def wait(watcher):
            try: hub.wait(watcher)
            except OSError as error: note(error.errno)
        waiting = [gevent.spawn(wait, watcher) for watcher in watchers]; gevent.sleep(0)
        hub.cancel_waits_close_and_then(watchers, OSError(9, "closed"), note, "then")
        gevent.joinall(waiting); gevent.sleep(0.001)
        assert seen == [9, 9, "then"] and not any(watcher.active for watcher in watchers), seen
    """,
    "GV-76 waiters": """
        waiter = Waiter(); loop.run_callback(waiter.switch, 1); assert waiter.get() == 1
        waiter = Waiter(); waiter.switch(2); assert waiter.ready() and waiter.get() == 2
        waiter = Waiter(); waiter.throw(IndexError()); raises(IndexError, "", waiter.get)
        waiter = Waiter(); loop.run_callback(waiter.throw, IndexError()); raises(IndexError, "", waiter.get)
        waiter = Waiter(); first = gevent.spawn(waiter.get); gevent.sleep(0); raises(AssertionError, "already used", waiter.get)
        raises(AssertionError, "Hub greenlet", waiter.switch, 3)
        loop.run_callback(waiter.switch, 3); assert first.get() == 3
        waiter.clear(); assert not waiter.ready()
    """,
    "GV-77 sleeping": """
        order = []
        def sleeps(name, seconds): gevent.sleep(seconds); order.append(name)
        gevent.joinall([gevent.spawn(sleeps, "long", 0.02), gevent.spawn(sleeps, "short", 0.01), gevent.spawn(sleeps, "none", 0)])
        assert order == ["none", "short", "long"], order
    """,
    "GV-77 idle": """
        gevent.spawn(note, "spawned"); gevent.idle(); assert seen == ["spawned"]
    """,
    "GV-78 signal handlers that may wait": """
        def handler(name): gevent.sleep(0.001); note(name)
        handling = gevent.signal_handler(signal.SIGUSR1, handler, "handled"); os.kill(os.getpid(), signal.SIGUSR1)
        while not seen: gevent.sleep(0.001)
        handling.cancel(); assert seen == ["handled"]
    """,
    "GV-79 a child after fork": """
        pid = os.fork()
        if pid == 0: gevent.reinit(); gevent.sleep(0.001); os._exit(3)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    """,
    # What broke once.
    "a value switched into a wait by somebody else is refused by sleep, and taken by sleep(0)": """
        one, other = gevent.spawn(gevent.sleep, 20), gevent.spawn(gevent.sleep, 0); gevent.sleep(0)
        third = gevent.spawn(gevent.sleep, 0); hub.exception_stream = None
        loop.run_callback(one.switch, "foreign"); gevent.sleep(0); gevent.sleep(0)
        assert isinstance(one.exception, gevent.exceptions.InvalidSwitchError), one.exception
        assert other.successful() and third.successful()
    """,
    "a callback that switches to two greenlets runs them one after the other": """
        def parks(name): note(name); hub.switch(); note(name + " again")
        one, two = gevent.spawn(parks, "one"), gevent.spawn(parks, "two"); gevent.sleep(0)
        def both(): one.switch(); note("between"); two.switch(); note("after")
        loop.run_callback(note, "first"); loop.run_callback(both); loop.run_callback(note, "last"); gevent.sleep(0)
        assert seen == ["one", "two", "first", "one again", "between", "two again", "after", "last"], seen
    """,
    "a hub whose greenlet is left in a run of its own goes on": """
        left = gevent.spawn(loop.run, True); other = gevent.spawn(gevent.sleep, 0.001); gevent.sleep(0.01); assert other.dead
    """,
}


@pytest.mark.parametrize("row", ROWS)
def test_row(program: Run, row: str) -> None:
    ended = program(HEAD + "if True:\n" + ROWS[row], patched=False)
    assert ended.status == 0, ended.stderr


def test_a_greenlet_cannot_be_waited_for_in_another_thread(program: Run) -> None:
    """What it links is told in its own thread: a wait elsewhere would never end, or be woken from the wrong thread."""
    source = """
        import os
        if not os.environ.get("GENUINE_GEVENT"):
            import verdigris; verdigris.install_as_gevent()
        import gevent, greenlet, threading
        sleeper = gevent.spawn(gevent.sleep, 100)
        gevent.sleep(0)
        told = []
        def wait():
            for method in (sleeper.join, sleeper.get, lambda: sleeper.join(10)):
                try:
                    method()
                except greenlet.error as error:
                    told.append(str(error).startswith("Cannot switch to a different thread"))
        thread = threading.Thread(target=wait); thread.start(); thread.join()
        assert told == [True] * 3, told
        """
    ended = program(source, patched=False)
    assert ended.status == 0, ended.stderr
