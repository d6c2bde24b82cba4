"""What coverage.py measures of greenlets: prints the lines and the arcs, the same on genuine greenlet and gevent.

Each of its ways to measure, with concurrency "greenlet" and "gevent", lines and branches. `test_greenlet_tools.py` compares.

After genuine gevent's `joinall` and `kill`, which are compiled, coverage.py loses the next line; with ours it does not. That is why they
are not waited in here.
"""

import importlib.util
import sys
import tempfile
import warnings
from pathlib import Path

try:
    import verdigris

    verdigris.install_as_gevent()
except ImportError:
    pass
import coverage
import gevent
from gevent.event import Event
from greenlet import getcurrent, greenlet

SOURCE = """
def raw(getcurrent, greenlet):
    def inner(number):
        if number > 2:
            got = getcurrent().parent.switch(number)
        else:
            got = None
        return got

    def body(number):
        try:
            inner(number)
            for each in generator(number):
                getcurrent().parent.switch(each)
        except KeyError:
            getcurrent().parent.switch("caught")
        finally:
            last = sorted([2, 1], key=lambda item: getcurrent().parent.switch(item) or item)
        return last

    def generator(number):
        while number:
            yield inner(number)
            number -= 1
        yield "never" if number else "end"

    def untouched():
        return 1

    made = [greenlet(body) for _ in range(4)]
    for number, one in enumerate(made):
        one.switch(number)
    made[3].throw(KeyError)
    while made:
        for one in list(made):
            if one.dead:
                made.remove(one)
            else:
                one.switch()
    kept = greenlet(body)
    kept.switch(3)
    return kept


def hub(gevent, Event):
    ready = Event()
    done = []

    def wait(number):
        if number % 2:
            ready.wait()
        else:
            gevent.sleep(0)
        try:
            gevent.sleep(0.001)
            if number == 3:
                raise gevent.GreenletExit
        finally:
            done.append(number)
        return number

    def never():
        gevent.sleep(100)
        return "never"

    waiting = [gevent.spawn(wait, number) for number in range(6)]
    endless = gevent.spawn(never)
    gevent.sleep(0)
    ready.set()
    endless.kill(block=False)
    while any(waiting) or endless:
        gevent.sleep(0.001)
    with gevent.Timeout(0.001, False):
        gevent.sleep(100)
        done.append("never")
    pool = gevent.get_hub().threadpool.spawn(sum, [1, 2])
    return sorted(done), pool.get()
"""


def measured(path, core, concurrency, branch):
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        measure = coverage.Coverage(
            data_file=None, config_file=False, branch=branch, concurrency=concurrency, include=[str(path)]
        )
        measure.set_option("run:core", core)
        measure.start()
        spec = importlib.util.spec_from_file_location("measured", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        kept = module.raw(getcurrent, greenlet)
        result = module.hub(gevent, Event)
        measure.stop()
    while not kept.dead:
        kept.switch()
    data = measure.get_data()
    print(core, concurrency, "branches" if branch else "lines", result)
    for warning in warned:
        print("  warning:", str(warning.message).split(";")[0].split(":")[0])
    for file in data.measured_files():
        print("  lines", sorted(data.lines(file)))
        if branch:
            print("  arcs", sorted(data.arcs(file)))


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "measured.py"
        path.write_text(SOURCE)
        ways = [("ctrace", "greenlet"), ("ctrace", "gevent"), ("pytrace", "greenlet")]
        if hasattr(sys, "monitoring"):
            # What it says of "greenlet" and does then; by itself it keeps nothing for each thread, and is right with greenlets, too.
            ways += [("sysmon", "greenlet"), ("sysmon", "gevent"), ("sysmon", "thread")]
        for core, concurrency in ways:
            for branch in (False, True):
                if (core, concurrency, branch) == ("sysmon", "thread", True) and sys.version_info < (3, 14):
                    continue  # It would fall back to the other core, which takes all greenlets for one then.
                try:
                    measured(path, core, concurrency, branch)
                except coverage.CoverageException as error:
                    print(core, concurrency, type(error).__name__, error)


main()
