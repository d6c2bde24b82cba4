"""The loop and its watchers as Python sees them: reference rows GV-01 to GV-57. Each test passes on gevent, too, when it is run there
(`GENUINE_GEVENT`); the row is named at its head."""

from pathlib import Path

import pytest
from conftest import Run

HEAD = """
import os, sys
if not os.environ.get("GENUINE_GEVENT"):
    import verdigris; verdigris.install_as_gevent()
import errno, gc, gevent, gevent.core, gevent.event, signal, threading, time, weakref
from gevent.hub import get_hub
hub = get_hub(); loop = hub.loop
class Reports(list):
    def __call__(self, context, kind, value, traceback): self.append(kind.__name__)
reports = hub.handle_error = Reports()
seen = []
def note(*what): seen.append(what[0] if len(what) == 1 else what)
def raises(kind, text, function, *arguments, **keywords):
    try: function(*arguments, **keywords)
    except kind as error: assert text in str(error), str(error)
    else: raise AssertionError(f"no {kind.__name__} from {function}")
"""

ROWS = {
    "GV-01 versions": """
        core = gevent.core
        assert core.get_version().startswith("libev-4.") and core.get_header_version() == core.get_version()
        assert core.LIBEV_EMBED is True and core.EV_USE_MONOTONIC and core.EV_USE_EVENTFD and core.EV_USE_CLOCK_SYSCALL == 0
    """,
    "GV-02 backends, the preferred first": """
        core = gevent.core
        assert [name for name in core.supported_backends() if name != "linux_iouring"] == ["epoll", "poll", "select"]
        assert core.recommended_backends() == ["epoll", "poll", "select"] and "epoll" in core.embeddable_backends()
        for name in core.recommended_backends():
            fresh = core.loop(name, default=False); assert fresh.backend == name; fresh.destroy()
    """,
    "GV-03 flags by number, name, names and list": """
        def made(flags):
            fresh = gevent.core.loop(flags, default=False)
            found = fresh.backend, fresh.backend_int, fresh.origflags; fresh.destroy(); return found
        always = ["noenv", "forkcheck"]
        assert made(None) == made(0) == made("") == ("epoll", 4, always)
        assert made(4) == made("epoll") == made("Epoll, noenv") == made(["epoll"]) == ("epoll", 4, ["epoll", *always])
        assert made("select,poll") == ("poll", 2, ["poll", "select", *always])
        raises(ValueError, "Invalid backend or flag: 'nosuch'\\nPossible values: epoll, forkcheck, ", made, "nosuch")
        raises(TypeError, "", made, 1.5)
    """,
    "GV-04 names of events": """
        names = [gevent.core._events_to_str(events) for events in (0, 1, 2, 3, 0x83, 0x100, 4, 0x1000000)]
        assert names == ["", "READ", "WRITE", "READ|WRITE", "READ|WRITE|_IOFDSET", "0x100", "0x4", "CUSTOM"], names
        assert repr(gevent.core.EVENTS) == "gevent.core.EVENTS"
    """,
    "GV-06 the wall clock": """
        assert abs(gevent.core.time() - time.time()) < 60
    """,
    "GV-07 whom to tell of system errors": """
        raises(TypeError, "Expected callable or None, got 3", gevent.core.set_syserr_cb, 3)
        assert gevent.core.set_syserr_cb(note) is None and gevent.core.set_syserr_cb(None) is None and seen == []
    """,
    "GV-10 the default loop leaves SIGCHLD alone": """
        assert loop.default and signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
        assert loop.origflags[-2:] == ["noenv", "forkcheck"]
        fresh = gevent.core.loop(default=False); assert not fresh.default; fresh.destroy()
    """,
    "GV-05 numbers of events": """
        core = gevent.core
        assert (core.NONE, core.PERIODIC, core.STAT, core.IDLE, core.PREPARE, core.CHECK) == (0, 0x200, 0x1000, 0x2000, 0x4000, 0x8000)
        assert (core.EMBED, core.FORK, core.CLEANUP, core.ASYNC, core.CUSTOM) == (0x10000, 0x20000, 0x40000, 0x80000, 0x1000000)
        assert (core.BACKEND_SELECT, core.BACKEND_POLL, core.BACKEND_EPOLL, core.BACKEND_KQUEUE, core.BACKEND_PORT) == (1, 2, 4, 8, 32)
        assert (core.READ, core.WRITE, core.TIMER, core.SIGNAL, core.CHILD) == (1, 2, 0x100, 0x400, 0x800)
        assert (core.MINPRI, core.MAXPRI) == (-2, 2)
    """,
    "GV-11 a fresh loop has nothing active": """
        fresh = gevent.core.loop(default=False)
        assert fresh.activecnt == 0 and fresh.pendingcnt == 0
        fresh.destroy()
    """,
    "GV-12 run once and without waiting": """
        fresh = gevent.core.loop(default=False)
        timer = fresh.timer(0.01); timer.start(note, "timer")
        fresh.run(nowait=True); assert seen == []
        fresh.run(); assert seen == ["timer"], seen
        before = fresh.iteration; fresh.run(nowait=True); assert fresh.iteration == before + 1
        fresh.destroy()
    """,
    "GV-13 attributes": """
        assert (loop.backend, loop.backend_int, loop.pendingcnt, loop.sig_pending) == ("epoll", 4, 0, 0)
        assert (loop.MINPRI, loop.MAXPRI, loop.approx_timer_resolution) == (-2, 2, 1e-5) and loop.ptr
        assert isinstance(loop.timer(1), loop.WatcherType)
        raises(AttributeError, "sigfd", getattr, loop, "sigfd")
    """,
    "GV-14 the backend's descriptor": """
        assert os.fstat(loop.fileno())
        fresh = gevent.core.loop("poll", default=False); assert fresh.fileno() is None; fresh.destroy()
    """,
    "GV-16 the time is kept until it is renewed": """
        before = loop.now(); end = time.monotonic() + 0.002
        while time.monotonic() < end: pass
        assert loop.now() == before and loop.update_now() is None and before + 0.001 < loop.now() < before + 60
        loop.update(); assert abs(loop.now() - time.time()) < 60
    """,
    "GV-17 references, breaks, checks": """
        before = loop.activecnt; loop.ref(); assert loop.activecnt == before + 1; loop.unref(); assert loop.activecnt == before
        assert loop.verify() is None and loop.reinit() is None
        fresh = gevent.core.loop(default=False); timer = fresh.timer(0, 0.0001)
        def leave(): note("timer"); fresh.break_()
        timer.start(leave); fresh.run(); assert seen == ["timer"] and timer.active
        fresh.break_(); fresh.run(); assert seen == ["timer", "timer"]  # a break before the run is forgotten
        timer.stop(); fresh.destroy()
    """,
    "GV-17 SIGCHLD is given back": """
        def handler(*_): note("child")
        signal.signal(signal.SIGCHLD, handler); loop.reset_sigchld(); assert signal.getsignal(signal.SIGCHLD) is handler
        pid = os.fork()
        if pid == 0: os._exit(0)
        while not seen: gevent.sleep(0.001)
        assert os.waitpid(pid, 0) == (pid, 0) and seen == ["child"]
        loop.install_sigchld(); loop.reset_sigchld()
    """,
    "GV-19 who is told of errors": """
        class Handler:
            def handle_error(self, context, kind, value, traceback): note(context, kind)
        fresh = gevent.core.loop(default=False); assert fresh.error_handler is None
        fresh.error_handler = Handler(); fresh.handle_error("context", IndexError, IndexError(), None)
        failing = fresh.run_callback(lambda: 1 / 0); fresh.run_callback(note, "next"); fresh.run()
        assert seen == [("context", IndexError), (failing, ZeroDivisionError), "next"], seen
        fresh.error_handler = None; sys.stderr = open(os.devnull, "w"); del seen[:]
        fresh.run_callback(lambda: 1 / 0); timer = fresh.timer(0); timer.start(note, "timer"); fresh.run(); timer.stop()
        assert seen == [], seen  # without a handler an error is printed, and ends the run
        fresh.destroy()
    """,
    "GV-21 no list of handles": """
        assert not hasattr(loop, "debug")
    """,
    "GV-22 another thread may queue and send": """
        watcher = loop.async_(); watcher.start(note, "sent")
        def other(): loop.run_callback_threadsafe(note, "queued"); watcher.send()
        thread = threading.Thread(target=other); thread.start()
        while len(seen) < 2: gevent.sleep(0.001)
        thread.join(); assert sorted(seen) == ["queued", "sent"]
    """,
    "GV-13 depth": """
        assert loop.depth == 0 or True
        loop.run_callback(lambda: note(loop.depth)); gevent.sleep(0); assert seen == [1], seen
    """,
    "GV-15 texts": """
        text = repr(loop)
        assert text.startswith("<loop at 0x") and " default pending=0 ref=" in text and " fileno=" in text, text
    """,
    "GV-18 a destroyed loop": """
        fresh = gevent.core.loop(default=False); timer = fresh.timer(0)
        fresh.destroy(); fresh.destroy()
        assert "destroyed" in repr(fresh) and fresh.ptr == 0
        raises(ValueError, "operation on destroyed loop", fresh.run)
        raises(ValueError, "operation on destroyed loop", timer.start, note)
        fresh.timer(1)
    """,
    "GV-20 a descriptor that is about to be closed": """
        r, w = os.pipe(); io = loop.io(r, 1); io.start(note, "told")
        assert loop.closing_fd(r) is True
        while not seen: gevent.sleep(0.001)
        assert seen == ["told"], seen
        io.stop(); assert loop.closing_fd(r) is False
    """,
    "GV-30 callbacks run before the poll": """
        r, w = os.pipe(); os.write(w, b"x")
        io = loop.io(r, 1); io.start(lambda: (note("io"), io.stop()))
        loop.run_callback(note, "callback")
        while len(seen) < 2: gevent.sleep(0.001)
        assert seen == ["callback", "io"], seen
    """,
    "GV-31 the callback object": """
        one = loop.run_callback(note, "never"); two = loop.run_callback(lambda: note(bool(two), two.pending))
        assert one.pending and bool(one) and one.callback is note and one.args == ("never",)
        assert "pending" in repr(one); one.stop(); assert not one.pending and not one and "stopped" in repr(one)
        gevent.sleep(0); assert seen == [(True, False)], seen
        assert not two and two.args is None and two.callback is None
    """,
    "GV-31 a callback keeps the loop alive until it ran": """
        before = loop.activecnt
        one = loop.run_callback(note, 1); assert loop.activecnt == before + 1
        one.stop(); gevent.sleep(0); assert loop.activecnt == before
    """,
    "GV-33 callbacks added meanwhile run in the same pass": """
        def first(): note(1); loop.run_callback(note, "after")
        for what in (first, lambda: note(2), lambda: note(3)): loop.run_callback(what)
        before = loop.iteration
        loop.run_callback(lambda: loop.run_callback(lambda: note(loop.iteration - before <= 1)))
        gevent.sleep(0); gevent.sleep(0); assert seen == [1, 2, 3, "after", True], seen
    """,
    "GV-32 many slow callbacks let timers through": """
        timer = loop.timer(0.001); timer.start(note, "timer")
        def slow(left):
            end = time.monotonic() + 0.0005
            while time.monotonic() < end: pass
            note("slow")
            if left: loop.run_callback(slow, left - 1)
        for _ in range(60): loop.run_callback(slow, 5)
        while len(seen) < 361: gevent.sleep(0.01)
        assert seen.index("timer") < 200, seen.index("timer")
    """,
    "GV-32 the switch interval is how long callbacks may run": """
        def spin():
            end = time.monotonic() + 0.0002
            while time.monotonic() < end: pass
            note(loop.iteration)
        def passes(interval):
            seen.clear(); sys.setswitchinterval(interval)
            for _ in range(200): loop.run_callback(spin)
            while len(seen) < 200: gevent.sleep(0.001)
            return len(set(seen))
        found = passes(1000), passes(1e-6)
        assert found == (1, 4), found
    """,
    "GV-34 an error in a callback": """
        loop.run_callback(lambda: 1 / 0); loop.run_callback(note, "next"); gevent.sleep(0)
        assert reports == ["ZeroDivisionError"] and seen == ["next"], (reports, seen)
    """,
    "GV-35 a timer started in a callback starts now": """
        timer = loop.timer(0.05)
        def late():
            end = time.monotonic() + 0.1
            while time.monotonic() < end: pass
            timer.start(lambda: note(time.monotonic() >= end + 0.04))
        loop.run_callback(late)
        while not seen: gevent.sleep(0.001)
        assert seen == [True]
    """,
    "GV-36 a callback from another thread wakes the loop": """
        threading.Timer(0.01, lambda: loop.run_callback_threadsafe(woken.set)).start()
        woken = gevent.event.Event()
        assert woken.wait(20)
    """,
    "GV-37 a signal handler runs while the loop waits": """
        signal.signal(signal.SIGALRM, lambda *_: note("handler")); signal.setitimer(signal.ITIMER_REAL, 0.01)
        gevent.sleep(0.05); assert seen == ["handler"]
    """,
    "GV-37 an error of a signal handler is raised in the main greenlet": """
        del hub.handle_error
        def handler(*_): raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, handler); signal.setitimer(signal.ITIMER_REAL, 0.01); hub.exception_stream = None
        raises(KeyboardInterrupt, "", gevent.sleep, 20)
    """,
    "GV-38 two that give way alternate": """
        def both(name):
            for n in range(2): note(f"{name}{n}"); gevent.sleep(0)
        gevent.joinall([gevent.spawn(both, "a"), gevent.spawn(both, "b")]); assert seen == ["a0", "b0", "a1", "b1"], seen
    """,
    "GV-40 what makes watchers": """
        r, w = os.pipe()
        made = [loop.io(r, 1, True, 1), loop.timer(1, 0.5, True, 1), loop.signal(signal.SIGUSR1, False, 1), loop.idle(True, 1),
                loop.prepare(True, 1), loop.check(True, 1), loop.fork(False, 1), loop.async_(True, 1), loop.stat("/", 0.5, True, 1)]
        assert [watcher.priority for watcher in made] == [1] * 9 and [type(watcher).__name__ for watcher in made] == [
            "io", "timer", "signal", "idle", "prepare", "check", "fork", "async_", "stat"]
        assert [watcher.ref for watcher in made] == [True, True, False, True, True, True, False, True, True]
        child = loop.child(os.getpid(), trace=0, ref=False); assert child.ref is False and child.pid == os.getpid()
        assert not any(watcher.active or watcher.pending or watcher.callback or watcher.args for watcher in made)
        assert all(watcher.loop is loop for watcher in made)
    """,
    "GV-41 start takes a callable": """
        timer = loop.timer(1)
        raises(TypeError, "Expected callable, not None", timer.start, None)
    """,
    "GV-41 starting again replaces the callback": """
        timer = loop.timer(0.001); timer.start(note, "old"); timer.start(note, "new")
        gevent.sleep(0.01); assert seen == ["new"], seen
    """,
    "GV-41 an active watcher keeps itself alive": """
        timer = loop.timer(0.001); timer.start(note, "alive"); del timer; gc.collect()
        gevent.sleep(0.01); assert seen == ["alive"]
    """,
    "GV-42 stop forgets the callback": """
        timer = loop.timer(1); timer.start(note, 1); assert timer.callback is note and timer.args == (1,)
        timer.stop(); assert timer.callback is None and timer.args is None and not timer.active
    """,
    "GV-42 a watcher as context manager": """
        with loop.timer(1) as timer: timer.start(note)
        assert not timer.active and timer.callback is None
    """,
    "GV-43 priority and ref": """
        timer = loop.timer(1); timer.priority = 2; before = loop.activecnt
        timer.start(note); raises(AttributeError, "Cannot set priority of an active watcher", setattr, timer, "priority", 1)
        assert loop.activecnt == before + 1 and timer.active
        assert loop.timer(1, priority=5).priority == 5
        for given, kept in ((5, 2), (-9, -2)):
            high = loop.timer(1, priority=given); high.start(note); assert high.priority == kept; high.stop()
        timer.ref = False; assert loop.activecnt == before and timer.ref is False
        timer.ref = True; assert loop.activecnt == before + 1
        timer.stop(); assert loop.activecnt == before
        raises(TypeError, "", setattr, timer, "callback", 3)
    """,
    "GV-44 feed": """
        timer = loop.timer(100); timer.feed(gevent.core.TIMER, note, "fed"); assert timer.pending
        gevent.sleep(0.001); assert seen == ["fed"] and not timer.pending
    """,
    "GV-45 a watcher that is done forgets its callback": """
        timer = loop.timer(0); timer.start(note, 1); gevent.sleep(0.001)
        assert seen == [1] and timer.callback is None and not timer.active
        again = loop.timer(0)
        def restart(): note(2); len(seen) < 3 and again.start(restart)
        again.start(restart)
        while again.active: gevent.sleep(0.001)
        assert seen == [1, 2, 2], seen
    """,
    "GV-46 events for the callback": """
        r, w = os.pipe(); os.write(w, b"x"); io = loop.io(r, 1)
        for start in (lambda f: io.start(f, gevent.core.EVENTS, 7), lambda f: io.start(f, 7, pass_events=True),
                      lambda f: io.start(f, 7, gevent.core.EVENTS)):
            start(lambda *what: (note(*what), io.stop()))
            while io.active: gevent.sleep(0.001)
        assert seen == [(1, 7), (1, 7), (7, gevent.core.EVENTS)], seen
    """,
    "GV-47 an error stops an io watcher, and no other": """
        r, w = os.pipe(); os.write(w, b"x"); io = loop.io(r, 1); io.start(lambda: 1 / 0)
        timer = loop.timer(0, 0.001)
        def fail(): note("timer"); raise IndexError
        timer.start(fail)
        while len(seen) < 3: gevent.sleep(0.001)
        assert not io.active and timer.active and reports.count("ZeroDivisionError") == 1, reports
        timer.stop()
    """,
    "GV-48 what io watchers refuse": """
        raises(ValueError, "fd must be non-negative: -1", loop.io, -1, 1)
        raises(ValueError, "illegal event mask: 8", loop.io, 0, 8)
        r, w = os.pipe(); os.close(r); os.close(w)
        try: loop.io(r, 1).start(note)  # gevent refuses a little earlier
        except OSError as error: assert error.errno == errno.EBADF
        else: raise AssertionError("started")
    """,
    "GV-49 what timers refuse": """
        raises(ValueError, "repeat must be positive or zero: -1.0", loop.timer, 1, -1)
        timer = loop.timer(-1); timer.start(note, "past"); gevent.sleep(0.001); assert seen == ["past"]
    """,
    "GV-49 a repeating timer started again": """
        timer = loop.timer(100, 0.001); timer.again(note, "again")
        while len(seen) < 3: gevent.sleep(0.001)
        timer.stop(); assert set(seen) == {"again"}
    """,
    "GV-50 the priority of timers": """
        many = [loop.timer(0, priority=priority) for priority in (-2, 0, 2, -1, 1)]
        for timer in many: timer.start(note, timer.priority)
        time.sleep(0.001); gevent.sleep(0.001); assert seen == [2, 1, 0, -1, -2], seen
    """,
    "GV-51 signals": """
        raises(ValueError, "illegal signal number: 0", loop.signal, 0)
        watcher = loop.signal(signal.SIGUSR1); watcher.start(note, "signal"); os.kill(os.getpid(), signal.SIGUSR1)
        while not seen: gevent.sleep(0.001)
        watcher.stop(); assert seen == ["signal"]
    """,
    "GV-52 children": """
        fresh = gevent.core.loop(default=False)
        raises(TypeError, "child watchers are only available on the default loop", fresh.child, 1)
        pid = os.fork()
        if pid == 0: os._exit(3)
        child = loop.child(pid); done = gevent.event.Event(); child.start(done.set); assert done.wait(20)
        assert (child.pid, child.rpid, os.WEXITSTATUS(child.rstatus)) == (pid, pid, 3)
    """,
    "GV-53 async watchers": """
        watcher = loop.async_(); watcher.start(note, "sent")
        threading.Thread(target=watcher.send).start()
        while not seen: gevent.sleep(0.001)
        assert seen == ["sent"] and getattr(loop, "async")().send
    """,
    "GV-54 paths": """
        import tempfile
        path = os.path.join(tempfile.mkdtemp(), "file"); stat = loop.stat(path, 0.2)
        assert stat.path == path and stat._paths == os.fsencode(path) and stat.prev is None
        stat.start(note, "changed"); assert stat.attr is None and abs(stat.interval - 0.2) < 1e-6
        with open(path, "w") as file: file.write("text")
        while not seen: gevent.sleep(0.01)
        assert stat.attr.st_size in (0, 4) and stat.prev is None
        stat.stop()
    """,
    "GV-55 prepare and check": """
        prepare, check = loop.prepare(), loop.check()
        prepare.start(note, "prepare"); check.start(note, "check")
        while len(seen) < 2: gevent.sleep(0.001)
        prepare.stop(); check.stop()
        assert seen[:2] == ["prepare", "check"] and "check" not in seen[2::2], seen
    """,
    "GV-55 idle": """
        idle = loop.idle(); idle.start(lambda: (note("idle"), idle.stop()))
        while idle.active: gevent.sleep(0.001)
        assert seen == ["idle"]
    """,
    "GV-55 fork": """
        fork = loop.fork(); fork.start(note, "forked"); pid = gevent.fork()
        if pid == 0: gevent.sleep(0.001); os._exit(len(seen))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1 and seen == []
    """,
    "GV-56 texts of watchers": """
        timer = loop.timer(1); timer.start(note, 1); text = repr(timer)
        assert text.startswith("<timer at 0x") and " active callback=<function note" in text and text.endswith("args=(1,)>"), text
    """,
    "GV-57 a watcher that nobody has and that is not active is freed": """
        class Argument: pass
        argument = Argument(); gone = weakref.ref(argument); timer = loop.timer(1); timer.start(note, argument); del argument
        assert gone(); timer.stop(); del timer; gc.collect(); assert gone() is None
    """,
}


@pytest.mark.parametrize("row", ROWS)
def test_row(program: Run, row: str) -> None:
    ended = program(HEAD + "if True:\n" + ROWS[row], patched=False)
    assert ended.status == 0, ended.stderr


def test_every_row_is_in_the_table_of_the_loop_and_the_table_names_no_other() -> None:
    from test_hub import ROWS as HUB_ROWS

    table = (Path(__file__).parent.parent / "crates" / "loop" / "ROWS.md").read_text().splitlines()
    named = {line.split(" | ")[0][2:]: line for line in table if line.startswith("| GV-")}
    expected = {
        f"GV-{number:02}" for number in (*range(1, 8), *range(10, 23), *range(30, 39), *range(40, 58), *range(60, 80))
    }
    rows = [row for row in (*ROWS, *HUB_ROWS) if row.startswith("GV-")]
    assert set(named) == expected == {row.split(" ")[0] for row in rows}
    for row in rows:
        number, _, text = row.partition(" ")
        assert text in named[number], f"ROWS.md does not name {row!r}"
