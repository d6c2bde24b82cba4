"""Random programs in which everything meets that touches a thread's state or a stack: for `make stress`.

    python tests/random_mixture.py --seconds 60 [--seed 1]

A program has greenlets, in several threads, that switch among themselves and throw into each other while they are in the middle of
handlers, generators, callbacks of C functions, finalizers and deep recursion; that start threads, fork, collect garbage, tie
themselves into cycles, leave frames to others, put trace functions of four kinds in place and take them away; that are
dropped while suspended, in their own thread or in another; and greenlets of the hub that are killed.

No model says who runs next (`random_greenlets.py` has one). What must hold, whoever runs, is checked after each step:

    who I am       getcurrent(), my context variable and the exception I am handling are as I left them
    my stack       local variables, also those on deep stacks, are what they were
    what arrives   a value that was sent, or an exception that a program raises; nothing else
    trace events   each tells of the greenlet that really runs
    the end        `finally` ran once for every greenlet that began (but for those whose thread ended first); a child process ends
                   with status 0; what is garbage is gone; and all stacks are back

Everything follows from the seed, as far as the threads of the system allow.
"""

import _thread
import argparse
import collections
import contextvars
import faulthandler
import functools
import gc
import os
import random
import re
import signal
import sys
import time
import traceback
import warnings
import weakref

from verdigris import _core, get_hub, joinall, sleep, spawn
from verdigris._core import GreenletExit, error, getcurrent, greenlet
from verdigris._hub_local import get_hub_if_exists
from verdigris.exceptions import InvalidSwitchError, LoopExit

own = contextvars.ContextVar("own", default=None)
FAILED = []
TOTALS = collections.Counter()
STACKS = collections.Counter()
MAIN_THREAD = _thread.get_ident()
#: The world of the thread.
HERE = _thread._local()


class Difference(BaseException):
    """Something did not hold. It ends the program from wherever it is found."""


class Planned(Exception):
    """An error that belongs to a program."""


class PlannedBase(BaseException):
    """One that `except Exception` does not stop."""


PLANNED = (Planned, PlannedBase)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=5.0)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)  # fork in a process with threads is what this is about
    sys.unraisablehook = ignored
    faulthandler.enable(sys.__stderr__)
    sys.stderr = Survivors()
    sys.setswitchinterval(1e-4)
    get_hub()  # imports what it needs: a child must not find another thread importing
    end = time.monotonic() + given.seconds
    seed = given.seed
    while time.monotonic() < end and not FAILED:
        print(f"\rseed {seed} ", end="", file=sys.__stderr__, flush=True)
        try:
            run_program(seed)
        except Difference:
            pass  # it is in FAILED
        except BaseException as failure:
            FAILED.append(f"{failure!r}\n{text_of(failure.__traceback__)}")
        seed += 1
    if FAILED:
        print(f"\nseed {seed - 1}: {FAILED[0]}", file=sys.__stderr__, flush=True)
    print(", ".join(f"{count} {name}" for name, count in sorted(TOTALS.items())))
    sys.stdout.flush()
    if FAILED:
        os._exit(1)  # its threads may still run


def run_program(seed):
    """One program: a world in this thread, which may start others in threads of their own."""
    program = Program(seed)
    world = World(program, random.Random(seed), 600)
    world.run()
    for thread in program.threads:
        ends = thread.acquire(timeout=200)
        if not ends:
            faulthandler.dump_traceback(sys.__stderr__)
        check(ends, "a thread that does not end")
    while _core.get_total_main_greenlets() > 1:
        time.sleep(0.0001)  # they are about to drop what is theirs
    program.exchange.clear()
    program.frames.clear()
    gc.collect()
    world.end()
    for _ in range(200):
        if world.begun - world.ended <= STACKS["survivors"]:
            break
        time.sleep(0.005)  # what a thread leaves is cleaned up after its end,
        gc.collect()
        greenlet(int).switch()  # and those that it dropped are killed at this thread's next switch
    # Who was dropped by another thread and survived its killing is in nobody's hands.
    lost = world.begun - world.ended
    check(0 <= lost <= STACKS["survivors"], "greenlets that did not run their finally", lost, STACKS)
    leaves = program.leaves
    del world, program
    gc.collect()
    used = _core.statistics()["stacks_in_use"]
    STACKS[leaves] += used - STACKS[None]
    STACKS[None] = used
    # What a thread leaves suspended may be in cycles that nobody sees, before CPython 3.15.
    check(
        leaves or STACKS[False] <= 1 + STACKS["hubs"] + STACKS["survivors"], "stacks in use, beside the hub's", STACKS
    )
    TOTALS["programs"] += 1


def ignored(unraisable):
    """What a finalizer or a killed greenlet raises may only be the program's own."""
    if not isinstance(unraisable.exc_value, (*PLANNED, GreenletExit, RecursionError, Difference)):
        FAILED.append(
            f"ignored: {unraisable.exc_value!r} in {unraisable.object!r}\n{text_of(unraisable.exc_traceback)}"
        )


def text_of(trace):
    return "".join(traceback.format_tb(trace)) if trace else ""


def check(condition, *what):
    if not condition:
        FAILED.append(f"{what}\n{''.join(traceback.format_stack()[-12:])}")
        raise Difference(*what)


class Program:
    """What the worlds of one program share."""

    def __init__(self, seed):
        self.seed = seed
        #: Whether threads end with greenlets suspended.
        self.leaves = seed % 2 == 0
        #: A lock for each, held until the thread ends. (They are not `threading`'s, which locks when it is asked something: a finalizer that
        #: switches away in the middle of that leaves it locked for the next greenlet.)
        self.threads = []
        #: Suspended greenlets that anybody may drop, from any thread.
        self.exchange = []
        #: Frames that outlive what they were taken from.
        self.frames = collections.deque(maxlen=20)


class World:
    """One thread's greenlets."""

    def __init__(self, program, chance, steps):
        self.program = program
        self.random = chance
        self.steps = steps
        self.me = getcurrent()
        self.table = []
        self.begun = self.ended = 0
        self.born = []
        self.jobs = 0
        self.over = False
        self.forked = None
        #: Levels of recursion that are under way, in whichever greenlet.
        self.deep = 0
        #: Whether one is about to reach the limit, and how many finalizers are under way in which greenlet. Before CPython 3.12 the collector may run
        #: while an exception is made, when the interpreter ends the process at 50 calls beyond the limit: finalizers keep away from it.
        self.overflows = False
        self.finalizing = collections.Counter()

    def run(self):
        """Runs the program in the greenlet that made this world."""
        HERE.world = self
        sent = object()
        token = own.set(sent)
        try:
            for _ in range(10):
                self.spawn()
            while self.steps > 0 and not FAILED:
                self.guarded(self.step)
                while self.forked:
                    # In a child, where this is not the greenlet that forked: one that was about to switch here did so though it was killed.
                    self.forked.switch()
                check(getcurrent() is self.me, "another than the first greenlet runs")
                check(own.get() is sent, "another greenlet's context")
                check(sys.exc_info()[1] is None, "another greenlet's exception", sys.exc_info()[1])
            self.end()
        finally:
            stop_tracing()
            own.reset(token)

    def end(self):
        """Ends all that are left; each must run its `finally`."""
        self.over = True
        stop_tracing()
        while (last := self.take()) is not None:
            self.end_one(last) if self.random.random() < 0.5 else None
            del last
        # Two that are in calls of each other keep each other.
        for born in self.born:
            last = born()
            for _ in range(100):  # one that is in a finalizer survives
                if last:
                    self.end_one(last)
            check(not last, "not dead at the end", last)
            del last

    def end_one(self, last):
        try:
            self.guarded(last.throw)
        except LoopExit:
            pass  # its parent was a greenlet of the hub that has ended

    def guarded(self, function):
        """Calls it; what the program may raise is no error."""
        try:
            return function()
        except PLANNED:
            return None

    # Greenlets

    def spawn(self):
        if len(self.table) > 40 or self.over:
            return
        parent = self.random.choice([self.me, getcurrent()])
        if parent not in self.table:
            parent = (
                self.me
            )  # one that a finalizer came to in the middle of a job: what ends would go to the hub after that one
        kind = self.random.choice(KINDS)
        made = kind(self.body, parent)
        if self.random.random() < 0.2:
            made.gr_context = contextvars.copy_context()
        self.table.append(made)
        self.born.append(weakref.ref(made))

    def body(self, *arguments, **keywords):
        me, marks = id(getcurrent()), [object() for _ in range(3)]  # no reference: it would keep itself alive
        first, second, third = marks
        own.set(first)
        self.begun += 1
        TOTALS["greenlets"] += 1
        finished = 0
        try:
            check(sys.exc_info()[1] is None, "begins with another's exception")
            while self.steps > 0 and not FAILED and self.random.random() < 0.97:
                try:
                    self.step()
                except PLANNED:
                    if self.random.random() < 0.3:
                        raise
                check(id(getcurrent()) == me, "I am another")
                check(own.get() is first, "another's context")
                check([first, second, third] == marks, "my variables")
            if self.random.random() < 0.2:
                raise self.planned()
            return first
        finally:
            check(finished == 0, "finally for the second time")
            finished += 1
            self.ended += 1
            own.set(None)
            self.forget(getcurrent())

    def planned(self):
        kind = self.random.choice(PLANNED)
        return kind(self.steps)

    def forget(self, gone):
        try:
            self.table.remove(gone)
        except ValueError:
            pass  # somebody was quicker: a finalizer can come in anywhere

    def take(self):
        try:
            return self.table.pop()
        except IndexError:
            return None

    def target(self):
        """Some greenlet of this world that can be switched to."""
        choices = [each for each in self.table if each is not getcurrent() and not each.dead]
        return self.random.choice([*choices, self.me, self.me])

    # Steps

    def step(self):
        if self.over or FAILED:
            return
        self.steps -= 1
        TOTALS["steps"] += 1
        before = sys.exc_info()[1]
        action = self.random.choices(ACTIONS, WEIGHTS)[0]
        action(self)
        check(sys.exc_info()[1] is before, "another's exception", sys.exc_info()[1], before)

    def hop(self):
        me, mine, before = id(getcurrent()), own.get(), sys.exc_info()[1]
        try:
            if self.random.random() < 0.5:
                self.target().switch()
            else:
                self.target().switch(self.steps, key=me)
        finally:
            check(id(getcurrent()) == me, "somebody else came back")
            check(own.get() is mine, "the context did not come back")
        check(sys.exc_info()[1] is before, "the handled exception did not come back", sys.exc_info()[1], before)

    def throw(self):
        target = self.target()
        if self.random.random() < 0.6 or target is self.me:
            target.throw(self.planned())
        elif self.random.random() < 0.5:
            target.throw()
        else:
            target.throw(Planned, Planned("with a traceback"), None)

    def adopt(self):
        child, parent = self.target(), self.target()
        if child is not self.me:
            try:
                child.parent = parent
            except ValueError:
                pass  # a cycle of parents

    def drop(self):
        others = [each for each in self.table if each is not getcurrent()]
        if others:
            victim = self.random.choice(others)
            del others
            self.forget(victim)
            if self.random.random() < 0.3:
                self.program.exchange.append(victim)
            del victim

    def drop_foreign(self):
        """Drops a greenlet that may be another thread's, after asking it things."""
        try:
            foreign = self.program.exchange.pop()
        except IndexError:
            return
        repr(foreign), bool(foreign), foreign.dead, foreign.parent
        if self.random.random() < 0.5:
            try:
                foreign.switch()
            except error:
                pass
        del foreign

    def tie(self):
        """A greenlet in a cycle: unstarted, suspended or dead."""
        holder = []
        me = getcurrent()

        def wait():
            self.guarded(me.switch)

        tied = greenlet(self.random.choice([wait, int]), me)
        tied.holder, tied.itself = holder, tied
        holder.append(tied)
        self.born.append(weakref.ref(tied))
        if self.random.random() < 0.7:
            self.guarded(tied.switch)

    def collect(self):
        if self.random.random() < 0.2:
            gc.collect()
        else:
            gc.collect(self.random.randrange(2))
        if self.random.random() < 0.1:
            gc.set_threshold(self.random.choice([5, 50, 700]))

    def look(self):
        """Looks at frames of others, and keeps some."""
        if sys.version_info < (3, 12):
            # There the collector runs in the middle of `f_back`, and a finalizer that resumes the greenlet looked at pulls the
            # frames away from under the interpreter. From 3.12 on it runs between instructions.
            if _thread._count() > 0:
                return  # another thread might enable it
            gc.disable()
        try:
            frame = self.target().gr_frame
            if frame is not None:
                check("".join(traceback.format_stack(frame)), "no frames")
                if self.random.random() < 0.2:
                    self.program.frames.append(frame)
        finally:
            gc.enable()
        try:
            raise Planned("to have a traceback")
        except Planned as planned:
            if self.random.random() < 0.05:
                self.program.frames.append(planned.__traceback__)

    # Steps with something below them

    def handle(self):
        try:
            raise Planned("handled")
        except Planned as planned:
            self.step()
            check(sys.exc_info()[1] is planned, "the exception that I handle", sys.exc_info()[1])
            try:
                raise KeyError(1)
            except KeyError:
                self.step()
            check(sys.exc_info()[1] is planned, "the exception that I handle", sys.exc_info()[1])

    def generate(self):
        def numbers(depth):
            if depth:
                yield from numbers(depth - 1)
            for number in range(3):
                self.step()
                yield number

        for number in numbers(self.random.randrange(3)):
            check(number in range(3), "a generator out of step")
            if self.random.random() < 0.2:
                break
            self.step()

    def call_back(self):
        kind = self.random.randrange(4)
        if kind == 0:
            check(sorted([2, 1], key=lambda item: (self.step(), item)[1]) == [1, 2], "sorted")
        elif kind == 1:
            check(list(map(lambda item: (self.step(), item)[1], [1])) == [1], "map")  # noqa: C417 (the frame of map)
        elif kind == 2:
            check(re.sub("a", lambda match: (self.step(), "b")[1], "a") == "b", "re.sub")
        else:
            contextvars.copy_context().run(self.step)

    def descend(self):
        """Deep in Python, or deep in C and Python by turns; a step at the bottom."""
        levels = self.random.choice([10, 100, 400])
        if self.deep + levels > 500:
            return
        self.deep += levels

        def down(level):
            mark = object()
            kept = mark
            if level:
                down(level - 1)
            else:
                self.step()
            check(kept is mark, "a variable far down")

        def down_in_c(level):
            return sorted([level], key=lambda _: down_in_c(level - 1))[0] if level else (self.step(), 0)[1]

        try:
            if self.random.random() < 0.7:
                down(levels)
            else:
                check(down_in_c(min(levels, 60)) in range(61), "sorted in sorted")
        except RecursionError:
            pass  # steps below steps
        finally:
            self.deep -= levels

    def overflow(self):
        """To the recursion limit and back, with a few switches on the way."""
        if self.deep > 100 or (sys.version_info < (3, 12) and self.finalizing[id(getcurrent())]):
            return
        self.deep += 400

        def down(level):
            if level in (100, 300):
                self.step()
            if level == 400:
                self.overflows = True
            down(level + 1)

        try:
            down(0)
            check(False, "a recursion without an end")
        except RecursionError:
            pass
        finally:
            self.overflows = False
            self.deep -= 400
        self.step()

    def finalize(self):
        Finalizer(self)
        kept = [Finalizer(self)]
        kept.append(kept)
        weakref.finalize(kept[0], Finalizer(self).__del__).atexit = False

    # What belongs to the thread

    def trace_switches(self):
        """A trace function of greenlets; it may do things, and it may fail (but for greenlets of the hub, which it would lose)."""
        fails = self.random.random() < 0.1
        world = self

        def traced(event, arguments):
            origin, target = arguments
            check(event in ("switch", "throw"), "an unknown event", event)
            check(target is getcurrent(), "a target that does not run", target)
            check(isinstance(origin, greenlet), "an origin that is none", origin)
            TOTALS["events"] += 1
            if world.random.random() < 0.01:
                gc.collect(0)
            if fails and not world.jobs and world.random.random() < 0.1:
                raise Planned("trace function")

        steps = self.steps
        _core.settrace(traced)
        # A finalizer may have taken a step in between.
        check(_core.gettrace() is traced or self.steps != steps, "another trace function")

    def trace_lines(self):
        def traced(frame, event, argument):
            TOTALS["lines"] += 1
            return traced if TOTALS["lines"] % 3 else None

        self.random.choice([sys.settrace, sys.setprofile])(traced)

    def monitor(self):
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is None or _thread.get_ident() != MAIN_THREAD:
            return
        if monitoring.get_tool(4):
            monitoring.free_tool_id(4)
            return
        monitoring.use_tool_id(4, "stress")
        events = monitoring.events
        wanted = self.random.choice([events.PY_START, events.PY_YIELD | events.PY_RESUME, events.PY_UNWIND])
        monitoring.register_callback(4, events.PY_START, lambda *_: TOTALS.update(monitored=1))
        monitoring.register_callback(4, events.PY_UNWIND, lambda *_: TOTALS.update(monitored=1))
        monitoring.set_events(4, wanted)

    def stop_tracing(self):
        stop_tracing()

    def fork(self):
        """A child that goes on in the middle of this: it drops all the others, and makes new ones."""
        if self.program.seed % 3 or self.random.random() < 0.5:
            return
        if self.jobs:
            return  # the hub would go on in the child with what waits for it, which would take this for its own process
        TOTALS["forks"] += 1
        here, child = os.getpid(), os.fork()
        if child == 0:
            signal.alarm(120)
            try:
                self.be_a_child()
            except BaseException:
                FAILED.append(traceback.format_exc())
            if FAILED:
                os.write(2, f"\nin a child: {FAILED[0]}\n".encode())
            os._exit(1 if FAILED else 0)
        end = time.monotonic() + 100
        while os.getpid() == here and (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
            if time.monotonic() > end:
                os.kill(child, signal.SIGABRT)  # faulthandler says where it was
                end += 20
            time.sleep(0.001)
        if os.getpid() != here:
            return  # a finalizer switched away here, and another greenlet forked: the child is its parent's, which is not this process
        check(ended[1] == 0, "a child ended with status", ended[1])

    def be_a_child(self):
        me = getcurrent()
        self.forked = None if me is self.me else me
        self.over = True  # finalizers take no steps any more
        stop_tracing()
        self.program.exchange.clear()
        while (victim := self.take()) is not None:
            if victim is not me:
                self.guarded(lambda victim=victim: None)
            del victim
        gc.collect()
        results = []
        for number in range(5):
            made = greenlet(lambda number=number: results.append(me.switch(number)))
            check(made.switch() == number, "a foreign value in a child")
            made.switch("back")
        check(results == ["back"] * 5, "results in a child", results)
        spawn(results.clear).join()
        check(results == [], "a greenlet of the hub in a child")

    def start_thread(self):
        """Another world, in a thread; it may end with greenlets suspended."""
        alive = [thread for thread in self.program.threads if thread.locked()]
        if len(alive) > 2 or len(self.program.threads) > 12:
            return
        seed = self.random.randrange(1 << 30)
        leaves = self.program.leaves and self.random.random() < 0.5
        running = _thread.allocate_lock()
        running.acquire()

        def run():
            try:
                world = World(self.program, random.Random(seed), 150)
                if leaves:
                    world.end = lambda: None
                world.run()
                hub = get_hub_if_exists()
                if hub is not None:
                    hub.destroy(destroy_loop=True)
                    STACKS["hubs"] += 1  # suspended for ever, as gevent's
            except BaseException as failure:
                if not FAILED:
                    FAILED.append(f"in a thread: {failure!r}\n{text_of(failure.__traceback__)}")
            finally:
                running.release()

        self.program.threads.append(running)
        TOTALS["threads"] += 1
        _thread.start_new_thread(run, ())

    def use_the_hub(self):
        """Greenlets of the hub, each with raw ones of its own; some are killed."""
        if getcurrent() is not self.me or self.random.random() < 0.5:
            return
        count = [0, 0]

        def job(seed):
            count[0] += 1
            try:
                chance, me = random.Random(seed), getcurrent()
                child = greenlet(lambda: [me.switch(each) for each in range(3)])
                for number in range(3):
                    check(child.switch() == number, "a foreign value under the hub")
                    sleep(chance.choice([0, 0, 0.0005]))
                    check(getcurrent() is me, "the hub resumed another")
            finally:
                count[1] += 1
                child.throw()  # its frames know this greenlet, and what killed this one knows them

        get_hub().NOT_ERROR = (*PLANNED, GreenletExit)
        jobs = [spawn(job, self.random.random()) for _ in range(5)]
        steps, stuck = self.steps, []

        def wait():
            sleep(0)
            for victim in jobs[:2]:
                victim.kill(self.random.choice([GreenletExit, Killed]), block=self.random.random() < 0.5)
            joinall(jobs)

        self.jobs += 1
        while not all(job.dead for job in jobs):
            try:
                self.guarded(functools.partial(stuck.pop().throw, Killed) if stuck else wait)
            except InvalidSwitchError:
                pass  # a raw greenlet that the collector was to kill switched here
            except LoopExit:
                # The same, but it did so from the middle of a job, which waits for its return.
                check(self.steps != steps, "a greenlet of the hub that nobody wakes", jobs)
                stuck = [job for job in jobs if not job.dead]
        self.jobs -= 1
        check(count[0] == count[1], "jobs that did not end", count)


class Survivors:
    """Stands for stderr, where greenlets are announced that GreenletExit did not kill: they were in a finalizer."""

    def write(self, text):
        STACKS["survivors"] += text.startswith("GreenletExit did not kill")

    def flush(self):
        pass


class Killed(GreenletExit):
    """What jobs are killed with, at times."""


class Subclass(greenlet):
    """With attributes, and a finalizer of Python."""

    def __del__(self):
        TOTALS["finalized"] += 1


class Slotted(greenlet):
    __slots__ = ("holder",)


class Finalizer:
    """Whoever drops it takes a step."""

    def __init__(self, world):
        self.world = world

    def __del__(self):
        # The collector may find it in a thread whose greenlets are not its world's, or in a job of the hub.
        at_home = getattr(HERE, "world", None) is self.world and type(getcurrent()) in KINDS
        if at_home and not self.world.over and not self.world.overflows:
            me = id(getcurrent())
            self.world.finalizing[me] += 1
            try:
                self.world.guarded(self.world.step)
            finally:
                self.world.finalizing[me] -= 1


KINDS = (greenlet, Subclass, Slotted)


def stop_tracing():
    _core.settrace(None)
    sys.settrace(None)
    sys.setprofile(None)


CHANCES = {
    World.hop: 30,
    World.throw: 6,
    World.spawn: 14,
    World.adopt: 3,
    World.drop: 6,
    World.drop_foreign: 4,
    World.tie: 4,
    World.collect: 2,
    World.look: 4,
    World.handle: 8,
    World.generate: 5,
    World.call_back: 8,
    World.descend: 5,
    World.overflow: 1,
    World.finalize: 3,
    World.trace_switches: 2,
    World.trace_lines: 1,
    World.monitor: 1,
    World.stop_tracing: 2,
    World.fork: 1,
    World.start_thread: 1,
    World.use_the_hub: 3,
}
ACTIONS, WEIGHTS = list(CHANCES), list(CHANCES.values())

if __name__ == "__main__":
    main()
