"""Seeded random programs of raw greenlets; the outcome is a digest of everything that was observable.

    python greenlet_torture.py SEED [ROUNDS]

Runs on any module named `greenlet`, with nothing else: the genuine one gives the digests that
`test_greenlet_torture.py` expects. What is observed is the order of events, the values and exceptions that arrive, which exception
is being handled, context variables, generators and deaths: all that belongs to a greenlet and must survive switching.

The greenlets switch among themselves at random, in the middle of: except blocks, generators, recursion, callbacks of C functions
(sorted, map, re.sub), `__del__`, Context.run, comprehension and with statements. They throw into each other, drop each other
while suspended, make children, and collect garbage.
"""

import contextvars
import gc
import hashlib
import random
import re
import sys
from contextlib import contextmanager

from greenlet import GreenletExit, getcurrent, greenlet

VARIABLE = contextvars.ContextVar("variable", default=0)


class Boom(Exception):
    """What the program raises on purpose."""


class SwitchesInDel:
    """Its last reference may go anywhere; it then runs another greenlet."""

    def __init__(self, world):
        self.world = world

    def __del__(self):
        self.world.note("del", self.world.name())
        self.world.hop()


class World:
    """One random program."""

    def __init__(self, seed, rounds):
        self.random = random.Random(seed)
        self.rounds = rounds
        self.digest = hashlib.sha256()
        self.events = 0
        self.alive = []
        self.born = 0
        self.main = getcurrent()
        self.main.label = "main"
        self.quiet = False

    # What is seen

    def note(self, *event):
        self.events += 1
        self.digest.update(repr(event).encode())
        if len(sys.argv) > 3:
            print(self.events, *event, flush=True)

    def name(self):
        return getcurrent().label

    def handled(self):
        """The exception being handled here, with the chain behind it."""
        chain = []
        exception = sys.exc_info()[1]
        while exception is not None and len(chain) < 5:
            chain.append((type(exception).__name__, exception.args))
            exception = exception.__context__
        return chain

    # Moving

    def hop(self):
        """Switches to some greenlet that can be switched to, or nowhere; what comes back is seen."""
        if self.quiet or self.rounds <= 0:
            return None
        self.rounds -= 1
        before = (self.name(), self.handled(), VARIABLE.get())
        choices = [each for each in self.alive if each is not getcurrent() and not each.dead]
        if getcurrent() is not self.main:
            choices.append(self.main)
        if not choices:
            return None
        target = self.random.choice(choices)
        del choices
        number = self.random.randrange(10)
        self.note("hop", before[0], target.label, number)
        try:
            if number == 0:
                answer = target.throw(Boom("thrown", self.events))
            elif number == 1:
                answer = target.switch(self.events, key=before[0])
            elif number == 2:
                answer = target.switch()
            else:
                answer = target.switch(self.events)
        finally:
            del target
            self.note("back", self.name(), VARIABLE.get())
            assert self.name() == before[0]
            assert VARIABLE.get() == before[2], "another greenlet's context"
        assert self.handled() == before[1], "another greenlet's exception"
        self.note("answer", answer)
        return answer

    def spawn(self):
        self.born += 1
        name = f"g{self.born}"
        parent = self.random.choice([self.main, getcurrent()])
        made = greenlet(self.body, parent)
        made.label = name
        del parent
        if self.random.random() < 0.3:
            made.gr_context = contextvars.copy_context()
        self.alive.append(made)
        self.note("spawn", self.name(), name)

    def drop(self):
        """The world forgets a greenlet; if nobody else knows it, that is its death."""
        candidates = [each for each in self.alive if each is not getcurrent()]
        if candidates:
            victim = self.random.choice(candidates)
            self.note("drop", victim.label, victim.dead)
            self.alive.remove(victim)
            del candidates
            del victim
            self.note("dropped", self.name())

    # What a greenlet does

    def body(self, *args, **kwargs):
        name = self.name()
        self.note("start", name, args, kwargs, self.handled(), VARIABLE.get())
        try:
            steps = self.random.randrange(1, 12)
            for _ in range(steps):
                self.step()
            return (name, steps)
        except GreenletExit:
            self.note("exit", name, self.handled())
            if self.random.random() < 0.2:
                self.hop()
            raise
        except Boom as boom:
            self.note("boom", name, boom.args)
            if self.random.random() < 0.4:
                raise
            return "survived"
        finally:
            self.note("end", name)
            if self.random.random() < 0.1:
                self.hop()
            mine = getcurrent()
            if mine in self.alive:
                self.alive.remove(mine)

    def step(self):
        action = self.random.choice(self.ACTIONS)
        action(self)

    def plain(self):
        self.hop()

    def in_except(self):
        try:
            raise Boom("own", self.name())
        except Boom:
            before = sys.exc_info()[1]
            self.hop()
            assert sys.exc_info()[1] is before
            try:
                raise KeyError(self.name())
            except KeyError:
                self.hop()
                self.note("handled", self.handled())
            assert sys.exc_info()[1] is before

    def in_generator(self):
        def generator(depth):
            if depth:
                yield from generator(depth - 1)
            for number in range(3):
                self.hop()
                try:
                    yield number
                except Boom:
                    self.note("into generator", self.handled())

        running = generator(self.random.randrange(3))
        for number in running:
            self.note("generated", self.name(), number)
            if self.random.random() < 0.2:
                try:
                    running.throw(Boom("into"))
                except StopIteration:
                    break
            self.hop()

    def deep(self):
        def descend(depth):
            return self.hop() if depth == 0 else (descend(depth - 1), depth)

        descend(self.random.randrange(60))

    def in_callback(self):
        kind = self.random.randrange(4)
        if kind == 0:
            result = sorted([3, 1, 2], key=lambda item: (self.hop(), item)[1])
        elif kind == 1:
            result = list(map(lambda item: (self.hop(), item)[1], range(3)))  # noqa: C417 (the frame of map)
        elif kind == 2:
            result = re.sub("a", lambda match: (self.hop(), "b")[1], "banana")
        else:
            result = {str(item): (self.hop(), item)[1] for item in range(2)}
        self.note("callback", self.name(), result)

    def in_del(self):
        SwitchesInDel(self)
        keep = [SwitchesInDel(self)]
        self.hop()
        keep.clear()

    def in_context(self):
        token = VARIABLE.set(self.events)
        self.hop()
        if self.random.random() < 0.5:
            VARIABLE.reset(token)
        context = contextvars.copy_context()
        context.run(lambda: (VARIABLE.set(-self.events), self.hop()))
        self.note("context", self.name(), VARIABLE.get())

    def in_with(self):
        @contextmanager
        def manager():
            self.hop()
            try:
                yield self.name()
            except KeyError:
                self.note("with", self.handled())
            finally:
                self.hop()

        with manager():
            self.hop()
            raise KeyError("in with")

    def collect(self):
        if sys.version_info < (3, 15):  # from then on it finds suspended greenlets, in whatever order
            gc.collect()
        self.note("collected", self.name())

    def throw(self):
        others = [each for each in self.alive if each is not getcurrent() and each]
        if others:
            victim = self.random.choice(others)
            del others
            kind = self.random.choice([Boom, GreenletExit, Boom("instance")])
            self.note("throw", victim.label)
            self.note("thrown", victim.throw(kind))

    ACTIONS = [
        plain,
        plain,
        plain,
        in_except,
        in_except,
        in_generator,
        deep,
        in_callback,
        in_del,
        in_context,
        in_with,
        collect,
        throw,
        spawn,
        spawn,
        drop,
    ]

    def run(self):
        for _ in range(20):
            self.spawn()
        while self.rounds > 0:
            self.rounds -= 1
            try:
                if len(self.alive) < 10:
                    self.spawn()
                self.step()
            except Boom as boom:
                self.note("main got", boom.args)
            assert self.handled() == []
        self.quiet = True
        while self.alive:
            last = self.alive.pop()
            try:
                del last
            except Boom as boom:
                self.note("late", boom.args)
        self.collect()
        return self.events, self.digest.hexdigest()


def main():
    seed = int(sys.argv[1])
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 4000
    gc.disable()
    sys.unraisablehook = lambda args: None
    print(*World(seed, rounds).run())


if __name__ == "__main__":
    main()
