"""Random programs of raw greenlets, in step with a model of what each switch does.

    python tests/random_greenlets.py --seconds 60 [--seed 1]        (with `greenlet` or verdigris, whichever is there)

Each greenlet of a program takes random steps: it makes others, switches to them, throws into them, moves them to another parent,
drops them, returns, raises. Before each step the model is told, and says who runs next and what reaches it; whoever
wakes up compares. Steps are taken at the top of the stack and below frames of C and Python of many kinds.

    model of a greenlet     new -> suspended <-> running -> dead, and its parent
    switch, throw           go to the target; past dead ones to the first parent that lives
    end of a greenlet       its result or its error goes to its parent; GreenletExit is a result
    drop                    a suspended greenlet that nothing refers to gets GreenletExit, and who dropped it goes on

Everything follows from the seed. Two threads run programs of their own at the same time.
"""

import argparse
import collections
import contextvars
import gc
import random
import re
import sys
import threading
import time
import traceback
import weakref

try:
    from verdigris._core import GreenletExit, getcurrent, greenlet
except ImportError:  # to compare
    from greenlet import GreenletExit, getcurrent, greenlet

MAIN = 0
own = contextvars.ContextVar("own", default=None)


class Difference(BaseException):
    """The program and the model disagree. It ends the program from wherever it is found."""


class Planned(Exception):
    """An error that belongs to the program."""


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=5.0)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    totals, failed = collections.Counter(), []
    end = time.monotonic() + given.seconds

    def run_programs(seed, step):
        while time.monotonic() < end and not failed:
            program = Program(seed)
            try:
                program.run()
            except BaseException:
                failed.append(f"seed {seed}, step {program.model.steps}: {traceback.format_exc()}")
            totals.update(programs=1, greenlets=len(program.model.status), steps=program.model.steps)
            seed += step

    sys.setswitchinterval(1e-4)
    other = threading.Thread(target=run_programs, args=(given.seed + 1, 2))
    other.start()
    run_programs(given.seed, 2)
    other.join()
    for failure in failed:
        print(failure, file=sys.stderr)
    print(", ".join(f"{count} {name}" for name, count in totals.items()))
    sys.exit(bool(failed))


class Model:
    """What is known of greenlets, by number; 0 is the thread's main greenlet."""

    def __init__(self):
        self.status = {MAIN: "running"}
        self.parent = {MAIN: None}
        self.current = MAIN
        self.inbox = {}  # what reaches a greenlet when it runs next: ("value", x) or ("error", x)
        self.calling = {}  # the greenlet whose switch or throw a suspended one is in: it holds a reference
        self.self_referring = set()  # those whose own frames refer to them
        self.steps = 0

    def make(self, parent):
        number = len(self.status)
        self.status[number], self.parent[number] = "new", parent
        return number

    def alive(self):
        return [number for number, status in self.status.items() if status != "dead"]

    def living(self, number):
        """The greenlet that a switch to this one reaches."""
        while self.status[number] == "dead":
            number = self.parent[number]
        return number

    def go(self, target, kind, content):
        """The current greenlet switches to another (or throws into it)."""
        self.calling[self.current] = target
        self.suspend()
        target = self.living(target)
        if kind == "error" and self.status[target] == "new":
            self.end(target, kind, content)
        else:
            self.wake(target, kind, content)

    def end(self, number, kind, content):
        """A greenlet has ended."""
        self.status[number] = "dead"
        self.inbox.pop(number, None)
        self.calling.pop(number, None)
        if kind == "error" and isinstance(content, GreenletExit):
            kind = "value"
        parent = self.living(self.parent[number])
        if kind == "error" and self.status[parent] == "new":
            self.end(parent, kind, content)
        else:
            self.wake(parent, kind, content)

    def suspend(self):
        self.status[self.current] = "suspended"

    def wake(self, number, kind, content):
        if self.status[number] == "new" and isinstance(content, GreenletExit):
            content = ()  # a greenlet that begins because another has ended by GreenletExit gets no arguments
        self.status[number] = "running"
        self.current = number
        self.inbox[number] = (kind, content)

    def is_ancestor(self, number, of):
        while of is not None:
            if of == number:
                return True
            of = self.parent[of]
        return False

    def can_be_dropped(self, number):
        """Whether only the program's table refers to it: no child, not even a dead one, and nobody inside a call of it."""
        return (
            number != MAIN
            and self.status[number] != "running"
            and number not in self.parent.values()
            and number not in self.calling.values()
            and (number not in self.self_referring or self.status[number] == "dead")
        )

    def drop(self, number):
        before = self.status[number]
        self.status[number] = "dead"
        self.inbox.pop(number, None)
        self.calling.pop(number, None)
        if number not in self.self_referring:  # those may live on, with their parents, until garbage is collected
            del self.parent[number]
        return before


class Program:
    """One random program."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.model = Model()
        self.table = {MAIN: getcurrent()}
        self.ended = set()
        self.limit = self.random.randrange(20, 1500)
        self.difference = None

    def run(self):
        own.set(MAIN)
        outer = sys.exc_info()[1]
        self.handled = {MAIN: outer}
        while self.model.steps < self.limit:
            try:
                self.step(MAIN, 0)
            except (Planned, GreenletExit):
                pass  # reached main, as the model said
            self.check_state(MAIN)
        self.end_all()

    def end_all(self):
        """Throws into all that are left; each ends, wherever it is, and main goes on."""
        model = self.model
        for number in [number for number in model.alive() if number != MAIN]:
            last = self.table[number]
            last.parent = self.table[MAIN]
            model.status[number] = "dead"
            self.dropping = number if last else None
            self.expect(isinstance(last.throw(), GreenletExit), "throw() into one left over")
            self.expect(last.dead and not last and self.dropping is None, "not dead at the end", number)

    def body(self, number):
        def run(*arguments):
            try:
                own.set(number)
                self.handled[number] = None
                self.receive(number, arguments)
                while self.random.random() < 0.98:
                    try:
                        self.step(number, 0)
                    except (Planned, GreenletExit):
                        if self.dropping == number or self.random.random() < 0.5:
                            raise
                if self.random.random() < 0.3:
                    raise self.planned()
                result = self.token()
                self.model.end(number, "value", result)
                return result
            except (Planned, GreenletExit) as error:
                if self.dropping == number:
                    self.dropping = None
                else:
                    self.model.end(number, "error", error)
                raise
            finally:
                self.ended.add(number)

        return run

    dropping = None

    # Steps: each is taken by the greenlet `me`, which is the current one

    def step(self, me, depth):
        if self.difference:
            raise self.difference
        if self.model.steps >= self.limit and me != MAIN:
            # The program is over: back to main, and never return from there.
            self.switch(me, MAIN)
            return
        self.model.steps += 1
        choose = self.random.random()
        if choose < 0.15:
            self.make(me)
        elif choose < 0.55:
            self.switch(me, self.anyone())
        elif choose < 0.65:
            self.throw(me, self.anyone())
        elif choose < 0.70:
            self.adopt(me)
        elif choose < 0.76:
            self.drop(me)
        elif choose < 0.77:
            gc.collect(0)
        elif depth < 6:
            below = self.random.choice(FRAMES)
            below(self, me, lambda: self.step(me, depth + 1))
        self.check_state(me)

    def anyone(self):
        return self.random.choice(list(self.table))

    def make(self, me):
        if len(self.table) >= 60:
            return
        parent = self.random.choice([number for number in self.table if number in self.model.alive()])
        number = self.model.make(parent)
        if self.random.random() < 0.5:
            self.table[number] = greenlet(self.body(number), self.table[parent])
        else:
            self.model.self_referring.add(number)
            self.table[number] = Subclass(self, number, self.table[parent])

    def switch(self, me, target):
        content = self.token()
        self.model.go(target, "value", content)
        result = self.call(me, lambda: self.table[target].switch(content))
        self.receive(me, result)

    def throw(self, me, target):
        error = self.planned() if self.random.random() < 0.7 else GreenletExit()
        model = self.model
        if isinstance(error, GreenletExit) and model.status[target] == "dead":
            model.go(target, "value", error)  # to the dead, it is what they end with
        else:
            model.go(target, "error", error)
        result = self.call(me, lambda: self.table[target].throw(error))
        self.receive(me, result)

    def call(self, me, function):
        try:
            return function()
        except (Planned, GreenletExit) as error:
            if self.dropping != me:
                self.receive_error(me, error)
            raise

    def receive(self, me, content):
        """Compares what reached this greenlet with what the model says reaches it."""
        if isinstance(content, tuple) and len(content) == 1:
            content = content[0]
        self.expect(self.model.current == me, "another was to run", me, self.model.current)
        expected = self.model.inbox.pop(me, None)
        self.model.calling.pop(me, None)
        self.expect(expected is not None and expected[0] == "value" and expected[1] is content, me, content, expected)

    def receive_error(self, me, error):
        self.expect(self.model.current == me, "another was to get the error", me, self.model.current, error)
        expected = self.model.inbox.pop(me, None)
        self.model.calling.pop(me, None)
        self.expect(expected is not None and expected[0] == "error" and expected[1] is error, me, error, expected)

    def adopt(self, me):
        child, parent = self.anyone(), self.anyone()
        if child == MAIN:
            return
        model = self.model
        try:
            self.table[child].parent = self.table[parent]
        except ValueError:
            self.expect(model.is_ancestor(child, parent), "no cycle", child, parent)
        else:
            self.expect(not model.is_ancestor(child, parent), "a cycle of parents", child, parent)
            model.parent[child] = parent

    def drop(self, me):
        number = self.anyone()
        if not self.model.can_be_dropped(number):
            return
        was = self.model.drop(number)
        gone = weakref.ref(self.table[number])
        if was == "suspended":
            self.dropping = number
        del self.table[number]
        self.expect(self.dropping is None, "dropped and did not end", number)
        self.expect(was != "suspended" or number in self.ended, "dropped and did not run its finally", number)
        self.expect(was == "dead" or gone() is None, "dropped and still there", number)

    def check_state(self, me):
        self.expect(getcurrent() is self.table[me], "I am another", me)
        self.expect(own.get() == me, "another's context", me, own.get())
        self.expect(
            sys.exc_info()[1] is self.handled[me], "another's exception", me, sys.exc_info()[1], self.handled[me]
        )
        number = self.anyone()
        one, status = self.table[number], self.model.status[number]
        self.expect(one.dead == (status == "dead"), "dead", number, status)
        self.expect(bool(one) == (status in ("suspended", "running")), "active", number, status)
        self.expect((one.gr_frame is None) == (status != "suspended"), "frame", number, status)
        if number != MAIN:
            self.expect(one.parent is self.table.get(self.model.parent[number], one.parent), "parent", number)

    # Helpers

    def token(self):
        return object()

    def planned(self):
        return Planned(self.model.steps)

    def expect(self, condition, *what):
        if not condition:
            self.difference = self.difference or Difference(*what)
            raise self.difference


class Subclass(greenlet):
    """The same greenlets, as a subclass with `run` and attributes."""

    def __init__(self, program, number, parent):
        super().__init__(parent=parent)
        self.program, self.number = program, number

    def run(self, *arguments):
        return self.program.body(self.number)(*arguments)


# Frames that a step may be taken below


def below_nothing(program, me, step):
    step()


def below_sorted(program, me, step):
    sorted([1], key=lambda _: step() or 0)


def below_map(program, me, step):
    list(map(lambda _: step(), [1]))  # noqa: C417 - the C frame of map is what this is about


def below_regular_expression(program, me, step):
    re.sub("a", lambda match: step() or "b", "a")


def below_recursion(program, me, step, levels=30):
    if levels:
        below_recursion(program, me, step, levels - 1)
    else:
        step()


def below_generator(program, me, step):
    def numbers():
        yield 1
        step()
        yield 2

    program.expect(list(numbers()) == [1, 2], "a generator out of step")


def below_handler(program, me, step):
    before = program.handled[me]
    try:
        raise Planned("handled")
    except Planned as error:
        program.handled[me] = error
        try:
            step()
        finally:
            program.handled[me] = before


def below_import(program, me, step):
    class Thing:
        def __getattr__(self, name):
            step()
            return 1

    program.expect(Thing().anything == 1)


def below_context(program, me, step):
    contextvars.copy_context().run(step)


FRAMES = [value for name, value in list(globals().items()) if name.startswith("below_")]

if __name__ == "__main__":
    main()
