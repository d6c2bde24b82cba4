"""Random programs of greenlets, run for real and on a model of gevent's order of events.

A program is made from a seed. Each of its greenlets runs a *body*: a generator that chooses what to do next (spawn, sleep,
kill, join, switch, wait for an event ...), yields it as a request, and writes down what came of it. The same bodies run twice:

```text
    Real    a request is performed by the library: a greenlet really parks, is really killed
    Model   a request is looked up in the rules: 300 lines of Python, no greenlets, no loop, no clock
                 |
    both write a log of (pass, who, what, outcome); the logs must be equal, line by line
```

What is deterministic in gevent's rules (the order of callbacks, links, kills, wake-ups) is thereby compared exactly. Time is
not deterministic, so the model asks the real log which timer came next, and checks that this one was allowed to.
`random_programs.py` beside this leaves the order free and looks at many more things.

`python tests/random_order.py [--seed N] [--seconds S] [--genuine]` runs it by hand; with `--genuine` on gevent itself.
"""

from __future__ import annotations

import gc
import random
import sys
import weakref
from collections import deque
from contextvars import ContextVar

MOST_GREENLETS = 40
DELAYS = (0.0003, 0.0011, 0.0023)
"""Delays that a program may choose from. Of one delay, who starts first ends first."""


class Boom(Exception):
    """An error that a body raises, or that is thrown into one."""


class Exit(BaseException):
    """Stands for GreenletExit in the requests, so that the model needs no library."""


def text(outcome):
    """What the log says of a value or an exception."""
    if isinstance(outcome, BaseException):
        name = type(outcome).__name__
        if name in ("Exit", "GreenletExit"):
            return "GreenletExit"
        if name == "IndexError":
            return "InvalidSwitchError"  # gevent's wait() pops from an empty list, then
        return f"{name}{outcome.args}" if isinstance(outcome, Boom) else name
    return repr(outcome)


# ---- the programs


OPERATIONS = (
    ("sleep0", 10),
    ("sleep", 5),
    ("spawn", 8),
    ("spawn_later", 2),
    ("kill", 4),
    ("join", 4),
    ("join_timeout", 3),
    ("get", 3),
    ("link", 3),
    ("unlink", 1),
    ("callback", 3),
    ("stop_callback", 1),
    ("throw_soon", 2),
    ("raw_new", 3),
    ("raw_switch", 5),
    ("raw_throw", 1),
    ("to_parent", 2),
    ("switch_soon", 1),
    ("timeout", 3),
    ("collect", 1),
    ("raise", 1),
    ("return", 1),
    ("wait_any", 2),
    ("event_wait", 3),
    ("event_wait_timeout", 2),
    ("event_set", 4),
    ("event_clear", 2),
    ("event_link", 1),
    ("acquire", 4),
    ("acquire_timeout", 1),
    ("release", 4),
)
NAMES = [name for name, _ in OPERATIONS]
WEIGHTS = [weight for _, weight in OPERATIONS]


def body(world, me, depth):
    """What a greenlet does: `world` tells who exists and takes the log, `me` is its number."""
    choice = random.Random(f"{world.seed}/{me}")
    world.note(me, "begin")
    swallows = choice.random() < 0.4
    inside = []  # the timeouts that are running, innermost last
    try:
        for _ in range(choice.randrange(1, 9)):
            try:
                request = choose(world, me, choice, depth)
                if request[0] == "timeout":
                    if len(inside) < 3:
                        number = yield ("timeout", request[1])
                        inside.append(number)
                    continue
                if request[0] == "raise":
                    raise Boom(me)
                if request[0] == "return":
                    break
                outcome = yield request
                world.note(me, *request, text(outcome))
            except BaseException as error:
                world.note(me, "caught", text(error))
                if world.closed or not swallows:
                    raise
                if inside and choice.random() < 0.5:
                    yield ("cancel", inside.pop())
        return f"value of {me}"
    finally:
        while inside:
            yield ("cancel", inside.pop())
        if not world.closed:
            world.note(me, "end")


def choose(world, me, choice, depth):
    """The next request of greenlet `me`."""
    name = choice.choices(NAMES, WEIGHTS)[0]
    pick = choice.randrange(1 << 30)
    if name in ("spawn", "spawn_later", "raw_new") and (len(world.bodies) >= MOST_GREENLETS or depth > 4):
        name = "sleep0"
    if name in ("spawn", "raw_new"):
        return (name, world.new_number(name == "raw_new", depth + 1))
    if name == "spawn_later":
        return (name, world.new_number(False, depth + 1), pick % len(DELAYS))
    if name in ("sleep", "timeout"):
        return (name, pick % len(DELAYS))
    if name in ("kill", "throw_soon"):
        error = ("exit", "boom")[choice.random() < 0.3]
        return (name, world.pick(pick), error, choice.random() < 0.5 and name == "kill")
    if name in ("join", "get", "unlink", "switch_soon"):
        return (name, world.pick(pick))
    if name == "join_timeout":
        return (name, world.pick(pick), pick % len(DELAYS))
    if name == "link":
        return (name, world.pick(pick), choice.random() < 0.5)
    if name in ("raw_switch", "raw_throw"):
        target = world.pick_raw(pick)
        return ("sleep0",) if target is None else (name, target)
    if name == "wait_any":
        return (
            name,
            tuple(dict.fromkeys(world.pick(choice.randrange(1 << 30)) for _ in range(3))),
            choice.random() < 0.5,
        )
    if name.startswith("event"):
        return (
            (name, pick % world.EVENTS, pick // 7 % len(DELAYS))
            if name.endswith("timeout")
            else (name, pick % world.EVENTS)
        )
    if name in ("acquire", "release"):
        return (name, pick % world.SEMAPHORES)
    if name == "acquire_timeout":
        return (name, pick % world.SEMAPHORES, pick // 7 % len(DELAYS))
    return (name,)


def link_body(world, me, target):
    """What a link does in the greenlet that is made for it."""
    world.note(me, "link runs", target)
    yield ("sleep0",)
    world.note(me, "link ends", target)


class World:
    """What both runs share: the numbers of the greenlets, and the log."""

    EVENTS = 2
    SEMAPHORES = 2

    def __init__(self, seed):
        self.seed = seed
        self.bodies = []  # what each number is: (raw?, generator or None)
        self.plain = []
        self.raw = []
        self.log = []
        self.passes = 0
        self.closed = False
        self.link_names = 0

    def new_link(self, me):
        self.link_names += 1
        return f"link {self.link_names} of {me}"

    def new_number(self, raw, depth):
        number = len(self.bodies)
        self.bodies.append((raw, depth))
        (self.raw if raw else self.plain).append(number)
        return number

    def make_body(self, number):
        return body(self, number, self.bodies[number][1])

    def pick(self, pick):
        return self.plain[pick % len(self.plain)]

    def pick_raw(self, pick):
        return self.raw[pick % len(self.raw)] if self.raw else None

    def note(self, *what):
        if not self.closed:
            self.log.append((self.passes, *what))


# ---- the real run

INHERITED = ContextVar("inherited", default=None)


class Real(World):
    """Performs the requests with the library."""

    def __init__(self, seed, library):
        super().__init__(seed)
        self.lib = library
        self.objects = {}
        self.gone = []
        self.callbacks = []
        self.timeouts = {}
        self.links = {}
        self.results = {}
        self.events = [library.Event() for _ in range(self.EVENTS)]
        self.semaphores = [library.Semaphore(1) for _ in range(self.SEMAPHORES)]
        self.running = None

    def run(self):
        lib = self.lib
        hub = lib.get_hub()
        hub.handle_error = self.hub_error
        start_count = hub.loop.activecnt
        prepare = hub.loop.prepare(ref=False)
        prepare.start(self.count_pass)
        choice = random.Random(self.seed)
        for _ in range(choice.randrange(1, 5)):
            self.perform(None, ("spawn", self.new_number(False, 0)))
        hub.join()
        for _ in range(100):
            alive = [number for number in self.plain if not self.objects[number].ready()]
            if not alive:
                break
            self.note("main", "kills", len(alive))
            for number in alive:
                self.objects[number].kill(block=False)
            hub.join()
        else:
            raise AssertionError("a greenlet does not end")
        results = [self.result(number, self.objects[number]) for number in self.plain]
        self.closed = True
        prepare.stop()
        prepare.close()
        for number in self.raw:
            # One that waits for an event holds it, and is held by it: only its end frees them, here and in gevent.
            if self.objects[number]:
                hub.loop.run_callback(self.objects[number].throw)
                hub.join()
        self.drop()
        gc.collect()
        hub.join()
        gc.collect()
        hub.loop.verify()
        del hub.handle_error
        lost = [number for number, reference in self.gone if reference() is not None]
        assert not lost, f"greenlets that were not freed: {lost}"
        assert hub.loop.activecnt == start_count, (hub.loop.activecnt, start_count)
        assert hub.loop.pendingcnt == 0, hub.loop.pendingcnt
        return results

    @staticmethod
    def result(number, greenlet):
        return (number, greenlet.dead, greenlet.successful(), text(greenlet.value), text(greenlet.exception))

    def drop(self):
        self.objects.clear()
        self.callbacks.clear()
        self.timeouts.clear()
        self.links.clear()
        self.events.clear()
        self.semaphores.clear()

    def count_pass(self):
        self.passes += 1

    def hub_error(self, context, kind, value, traceback):
        self.note("hub", "error", text(value))

    def enter(self, me):
        """Runs in every greenlet, first thing."""
        return self.drive(me, self.make_body(me))

    def enter_raw(self, me, *_values):
        return self.drive(me, self.make_body(me))

    def drive(self, me, generator):
        assert INHERITED.get() is None, "a new greenlet's context is not empty"
        INHERITED.set(me)
        value = error = None
        while True:
            try:
                request = generator.send(value) if error is None else generator.throw(error)
            except StopIteration as stop:
                return stop.value
            finally:
                value = error = None
            try:
                value = self.nested(me, request)
            except BaseException as caught:
                error = caught
            assert INHERITED.get() == me, "the context of another greenlet"
            assert self.lib.getcurrent() is self.objects[me] if not self.closed and me in self.objects else True

    def nested(self, me, request):
        """Performs a request from deep inside something, so that there is more to be kept than one frame."""
        way = (len(self.log) + me) % 7 if isinstance(me, int) else 0
        if way == 1:
            return max([0], key=lambda _: self.hold(me, request)) or self.held(me)
        if way == 2:
            return next(self.perform(me, request) for _ in (1,))
        if way == 3:
            try:
                raise Boom("handled")
            except Boom as handled:
                outcome = self.perform(me, request)
                assert sys.exc_info()[1] is handled, "the handled exception of another greenlet"
                return outcome
        if way == 4:
            return self.deep(20, me, request)
        return self.perform(me, request)

    def hold(self, me, request):
        self.results[me] = self.perform(me, request)
        return 0

    def held(self, me):
        return self.results.pop(me)

    def deep(self, depth, me, request):
        return self.deep(depth - 1, me, request) if depth else self.perform(me, request)

    def perform(self, me, request):
        return getattr(self, "do_" + request[0])(me, *request[1:])

    def error(self, kind, me):
        return Boom(me) if kind == "boom" else self.lib.GreenletExit()

    def remember(self, number, greenlet):
        self.objects[number] = greenlet
        self.gone.append((number, weakref.ref(greenlet)))

    def do_sleep0(self, me):
        self.lib.sleep(0)

    def do_sleep(self, me, delay):
        self.lib.sleep(DELAYS[delay])

    def do_spawn(self, me, child):
        self.remember(child, self.lib.spawn(self.enter, child))

    def do_spawn_later(self, me, child, delay):
        self.remember(child, self.lib.Greenlet.spawn_later(DELAYS[delay], self.enter, child))

    def do_kill(self, me, target, kind, block):
        self.objects[target].kill(self.error(kind, me), block=block)

    def do_throw_soon(self, me, target, kind, _block):
        self.lib.get_hub().loop.run_callback(self.objects[target].throw, self.error(kind, me))

    def do_switch_soon(self, me, target):
        self.lib.get_hub().loop.run_callback(self.switch_if_started, target)

    def switch_if_started(self, target):
        greenlet = self.objects.get(target)
        if greenlet is not None and greenlet.gr_frame is not None:
            greenlet.switch("switched")

    def do_join(self, me, target):
        self.objects[target].join()

    def do_join_timeout(self, me, target, delay):
        self.objects[target].join(DELAYS[delay])

    def do_get(self, me, target):
        return self.objects[target].get()

    def do_link(self, me, target, raw):
        name = self.new_link(me)
        if raw:

            def link(greenlet):
                self.note(name, "raw link runs", target)

            self.objects[target].rawlink(link)
        else:

            def link(greenlet):
                return self.drive(name, link_body(self, name, target))

            self.objects[target].link(link)
        self.links[target] = link

    def do_unlink(self, me, target):
        link = self.links.pop(target, None)
        if link is not None:
            self.objects[target].unlink(link)

    def do_callback(self, me):
        number = len(self.callbacks)
        self.callbacks.append(self.lib.get_hub().loop.run_callback(self.note, "callback", number))

    def do_stop_callback(self, me):
        if self.callbacks:
            self.callbacks[-1].stop()

    def do_raw_new(self, me, child):
        self.remember(child, self.lib.greenlet(lambda *values: self.enter_raw(child, *values)))

    def do_raw_switch(self, me, target):
        return self.objects[target].switch(f"from {me}")

    def do_raw_throw(self, me, target):
        return self.objects[target].throw(Boom(me))

    def do_to_parent(self, me):
        if not self.bodies[me][0]:
            return None
        return self.lib.getcurrent().parent.switch(f"from child {me}")

    def do_timeout(self, me, delay):
        number = len(self.timeouts)
        timeout = self.timeouts[number] = self.lib.Timeout(DELAYS[delay], Boom(f"timeout {number}"))
        timeout.start()
        return number

    def do_cancel(self, me, number):
        if number in self.timeouts:
            self.timeouts[number].cancel()

    def do_collect(self, me):
        gc.collect()

    def do_event_wait(self, me, event):
        return self.events[event].wait()

    def do_event_wait_timeout(self, me, event, delay):
        return self.events[event].wait(DELAYS[delay])

    def do_event_set(self, me, event):
        self.events[event].set()

    def do_event_clear(self, me, event):
        self.events[event].clear()

    def do_event_link(self, me, event):
        name = self.new_link(me)
        self.events[event].rawlink(lambda event: self.note(name, "event link runs"))

    def do_acquire(self, me, semaphore):
        return self.semaphores[semaphore].acquire()

    def do_acquire_timeout(self, me, semaphore, delay):
        return self.semaphores[semaphore].acquire(timeout=DELAYS[delay])

    def do_release(self, me, semaphore):
        self.semaphores[semaphore].release()

    def do_wait_any(self, me, targets, count):
        ready = self.lib.wait([self.objects[target] for target in targets], count=1 if count else None)
        return sorted(number for number in targets if self.objects[number] in ready)


# ---- the model


class Difference(AssertionError):
    """The library did something else than the model says."""


class ModelError(Exception):
    """An exception of the library, known by its name."""


class InvalidSwitchError(ModelError):
    """A parked greenlet was switched to by somebody who does not wake it."""


HUB = None


class ModelGreenlet:
    """A greenlet in the model: a generator, what it waits for, and who wants to know when it is done."""

    def __init__(self, number, parent, raw):
        self.number = number
        self.parent = parent
        self.raw = raw
        self.start = "unasked"
        self.timer = None  # the one that starts it
        self.generator = None
        self.dead = False
        self.result = None
        self.links = deque()
        self.telling = False
        self.wait = None  # what it is parked in

    def ready(self):
        return self.dead or self.start == "cancelled"


class ModelEvent:
    """An event or a semaphore in the model: a number, and who waits for it to be more than nothing."""

    def __init__(self, count, tells_all):
        self.count = count
        self.tells_all = tells_all
        self.due = (
            deque()
        )  # of an event: who is there when the telling begins, and who comes while it is set and they are told
        self.links = deque()
        self.telling = False

    def ready(self):
        return self.count > 0


class Wait:
    """One wait of a greenlet: what is to be taken back when it is over, and what comes of its wake-up.

    `foreign` says what a switch from somebody who is not its waker does: "raise" InvalidSwitchError, "accept" it as if it
    were the wake-up, or give its "value".
    """

    def __init__(self, greenlet, foreign, end=lambda: ("value", None)):
        self.greenlet = greenlet
        self.foreign = foreign
        self.end = end
        self.undo = []  # however it ends
        self.abandon = None  # if an exception ends it
        self.open = True
        self.timed_out = False


class Timer:
    """A timer in the model: what it does when it is due, and the line that the library writes then."""

    def __init__(self, delay, kind, action, line, started):
        self.delay = delay
        self.kind = kind
        self.action = action
        self.line = line
        self.started = started

    def leads_to(self, line):
        return line[1 : 1 + len(self.line)] == self.line

    def comes_before(self, other):
        """Whether it must fire first. The time-outs of waits count from the loop's time, not from now: there may be draws."""
        older = self.started < other.started if self.kind == "wait" else True
        return self.kind == other.kind and self.delay <= other.delay and older

    def __repr__(self):
        return f"{self.kind} {self.line}"


class Model(World):
    """Works out what a program must do."""

    def __init__(self, seed, real_log):
        super().__init__(seed)
        self.real_log = real_log
        self.greenlets = {}
        self.queue = deque()
        self.timers = []
        self.callbacks = []
        self.timeouts = {}
        self.last_links = {}
        self.events = [ModelEvent(0, True) for _ in range(self.EVENTS)]
        self.semaphores = [ModelEvent(1, False) for _ in range(self.SEMAPHORES)]
        self.difference = None  # the first one: a body that is left with it makes others

    def note(self, *what):
        """Writes a line, and compares it with the library's. The pass is the library's: time decides that."""
        if self.closed:
            return
        line = self.next_real() or (0, "nothing")
        if line[1:] != what and self.difference is None:
            self.difference = Difference(f"line {len(self.log)}: the library has {line[1:]}, the model {what}")
        if self.difference is not None:
            raise self.difference
        self.passes = line[0]
        self.log.append(line)

    def next_real(self):
        """The line that the library wrote next, if any."""
        place = len(self.log)
        return self.real_log[place] if place < len(self.real_log) else None

    def run(self):
        choice = random.Random(self.seed)
        for _ in range(choice.randrange(1, 5)):
            self.do_spawn(None, self.new_number(False, 0))
        self.run_loop()
        for _ in range(100):
            alive = [number for number in self.plain if not self.greenlets[number].ready()]
            if not alive:
                break
            self.note("main", "kills", len(alive))
            for number in alive:
                self.do_kill(None, number, "exit", False)
            self.run_loop()
        if len(self.log) != len(self.real_log):
            raise Difference(f"the library goes on: {self.next_real()}")
        results = []
        for number in self.plain:
            how, outcome = self.greenlets[number].result
            value, error = (outcome, None) if how == "value" else (None, outcome)
            results.append((number, True, how == "value", text(value), text(error)))
        self.closed = True
        for greenlet in self.greenlets.values():
            if greenlet.generator is not None:
                self.end_body(greenlet.generator)
        return results

    @staticmethod
    def end_body(generator):
        """Ends a body that nobody came back to; one that waits again in its `finally` is ended again."""
        for _ in range(100):
            try:
                generator.close()
                return
            except RuntimeError:  # it ignored GeneratorExit
                continue

    # the loop

    def run_loop(self):
        """Callbacks until there are none; then one timer, and again."""
        while self.queue or self.timers:
            while self.queue:
                self.queue.popleft()()
            if self.timers:
                self.fire(self.due(self.next_real()))
                while self.timers and self.goes_on(self.next_real()):
                    self.fire(self.due(self.next_real()))

    def due(self, line):
        """The timer that leads to the library's next line; checks that none should have been before it."""
        if line is None:
            raise Difference(f"timers are left that never fire: {self.timers}")
        for timer in self.timers:
            if timer.leads_to(line):
                break
        else:
            raise Difference(f"line {len(self.log)}: nothing can lead to {line}; timers: {self.timers}")
        for other in self.timers:
            if other is timer:
                break
            if other.comes_before(timer):
                raise Difference(f"line {len(self.log)}: {timer} was before {other}, which was started first")
        self.passes = line[0]
        return timer

    def goes_on(self, line):
        """Whether another timer fires before the callbacks that wait now: one that was due in the same pass."""
        return line is not None and line[0] == self.passes and any(timer.leads_to(line) for timer in self.timers)

    def fire(self, timer):
        self.timers.remove(timer)
        timer.action()

    def add_timer(self, delay, kind, action, *line):
        timer = Timer(delay, kind, action, line, self.passes)
        self.timers.append(timer)
        return timer

    def cancel_timer(self, timer):
        if timer in self.timers:
            self.timers.remove(timer)

    # switching

    def switch(self, target, how, payload):
        """The hub switches to `target`; returns when the hub is switched to."""
        while True:
            target = self.alive(target)
            if target is HUB:
                if how == "throw":
                    self.note("hub", "error", text(payload))
                return
            if target.generator is None and how == "throw":
                # Nothing of it ever runs; the exception goes to the parent at once.
                target.dead = True
                target, (how, payload) = target.parent, self.exit_as_value(payload)
            else:
                target, how, payload = self.go_on(target, how, payload)

    def alive(self, target):
        while target is not HUB and target.dead:
            target = target.parent
        return target

    @staticmethod
    def exit_as_value(error):
        return ("value", error) if isinstance(error, Exit) else ("throw", error)

    def go_on(self, greenlet, how, payload):
        """Runs one greenlet until it leaves: gives whom it switches to, and with what."""
        if greenlet.generator is None:
            greenlet.start = "begun"
            greenlet.generator = self.make_generator(greenlet)
            outcome = ("value", None)
        else:
            outcome = self.end_wait(greenlet.wait, how, payload)
        while True:
            if outcome is None:
                outcome = ("value", None)
            how, payload = outcome[0], outcome[-1]
            if how == "again":
                outcome = payload()
                continue
            if how == "park":
                greenlet.wait = payload
                return HUB, "value", None
            if how == "switch":
                target = self.alive(outcome[1])
                if target is not greenlet:
                    greenlet.wait = Wait(greenlet, "value")
                    return target, outcome[2], payload
                how = outcome[2]
            try:
                request = greenlet.generator.send(payload) if how == "value" else greenlet.generator.throw(payload)
            except StopIteration as stop:
                return self.die(greenlet, "value", stop.value)
            except BaseException as error:
                if isinstance(error, Difference):
                    raise
                return self.die(greenlet, *self.exit_as_value(error))
            outcome = getattr(self, "do_" + request[0])(greenlet, *request[1:])

    def make_generator(self, greenlet):
        if isinstance(greenlet.number, int):
            return self.make_body(greenlet.number)
        return link_body(self, *greenlet.number)

    def end_wait(self, wait, how, payload):
        """What a parked greenlet gets when it is switched to: its wake-up, an exception, or a value from elsewhere."""
        wait.open = False
        for undo in wait.undo:
            undo()
        if how == "value" and wait.foreign == "value":
            return ("value", payload)
        if how == "value" and wait.foreign == "raise":
            how, payload = "throw", InvalidSwitchError()
        if how == "throw":
            if wait.abandon:
                wait.abandon()
            return ("throw", payload)
        return wait.end()

    def wake(self, wait):
        if wait.open:
            self.switch(wait.greenlet, "woken", None)

    def die(self, greenlet, how, payload):
        greenlet.dead = True
        if greenlet.raw:
            return greenlet.parent, how, payload
        self.finish(greenlet, how, payload)
        return HUB, "value", None

    def finish(self, greenlet, how, payload):
        greenlet.result = (how, payload)
        self.tell_soon(greenlet)
        if how == "throw":
            self.note("hub", "error", text(payload))

    # links

    def tell_soon(self, source):
        if source.links and not source.telling:
            source.telling = True
            tell = self.tell_event if isinstance(source, ModelEvent) else self.tell
            self.queue.append(lambda: tell(source))

    def tell(self, greenlet):
        while greenlet.links:
            greenlet.links.popleft()()
        greenlet.telling = False

    def tell_event(self, event):
        """Of an event, all who are due are told, set or not; of a semaphore, as long as it is free."""
        if event.tells_all:
            event.due.extendleft(reversed(event.links))
            event.links.clear()
            while event.due:
                event.due.popleft()()
        else:
            while event.links and event.ready():
                event.links.popleft()()
        event.telling = False
        if event.ready():
            self.tell_soon(event)

    def add_link(self, greenlet, link):
        greenlet.links.append(link)
        if greenlet.ready():
            self.tell_soon(greenlet)

    @staticmethod
    def remove_link(source, link):
        for links in (source.links, getattr(source, "due", ())):
            if link in links:
                links.remove(link)
                break

    def park_on(self, me, target, end, delay=None, line=()):
        """Waits until `target` is done, or `delay` has passed."""
        wait = Wait(me, "raise", end)

        def link():
            self.wake(wait)

        target.links.append(link)
        if target.ready() and not isinstance(target, ModelEvent):
            self.tell_soon(target)
        wait.undo.append(lambda: self.remove_link(target, link))
        if delay is not None:
            self.time_out(wait, delay, line)
        return ("park", wait)

    def time_out(self, wait, delay, line):
        def expire():
            wait.timed_out = True
            self.wake(wait)

        timer = self.add_timer(DELAYS[delay], "wait", expire, *line)
        wait.undo.append(lambda: self.cancel_timer(timer))

    # what greenlets ask for. The outcome: ("value", x), ("throw", error), ("park", wait), ("switch", target, how, payload);
    # None is ("value", None)

    def do_sleep0(self, me):
        wait = Wait(me, "accept")
        self.queue.append(lambda: self.wake(wait))
        return ("park", wait)

    def do_sleep(self, me, delay):
        wait = Wait(me, "raise")
        timer = self.add_timer(DELAYS[delay], "sleep", lambda: self.wake(wait), me.number, "sleep", delay)
        wait.undo.append(lambda: self.cancel_timer(timer))
        return ("park", wait)

    def make(self, child, parent, raw=False):
        greenlet = self.greenlets[child] = ModelGreenlet(child, parent, raw)
        return greenlet

    def begin(self, greenlet):
        if greenlet.start in ("soon", "later"):
            self.switch(greenlet, "value", None)

    def do_spawn(self, me, child):
        greenlet = self.make(child, HUB)
        greenlet.start = "soon"
        self.queue.append(lambda: self.begin(greenlet))

    def do_spawn_later(self, me, child, delay):
        greenlet = self.make(child, HUB)
        greenlet.start = "later"
        greenlet.timer = self.add_timer(DELAYS[delay], "later", lambda: self.begin(greenlet), child, "begin")

    def error(self, kind, me):
        return Boom(me) if kind == "boom" else Exit()

    def do_kill(self, me, target, kind, block):
        error = self.error(kind, me.number if me else None)
        target = self.greenlets[target]
        self.cancel_start(target)
        if target.ready():
            if target.result is None:
                self.finish(target, *self.exit_as_value(error))
            return None
        wait = Wait(me, "accept", lambda: ("again", lambda: self.join(me, target)))

        def kill():
            if not target.ready():
                self.switch(target, "throw", error)
            if block:
                self.wake(wait)

        self.queue.append(kill)
        return ("park", wait) if block else None

    def cancel_start(self, target):
        if target.generator is None and not target.dead:
            target.start = "cancelled"
            self.cancel_timer(target.timer)

    def do_throw_soon(self, me, target, kind, _block):
        error = self.error(kind, me.number)
        target = self.greenlets[target]

        def throw():
            self.cancel_start(target)
            if not target.ready():
                self.switch(target, "throw", error)
            elif target.result is None:
                self.finish(target, *self.exit_as_value(error))

        self.queue.append(throw)

    def do_switch_soon(self, me, target):
        target = self.greenlets[target]

        def switch():
            if target.generator is not None and not target.dead:
                self.switch(target, "value", "switched")

        self.queue.append(switch)

    def join(self, me, target):
        return None if target.ready() else self.park_on(me, target, lambda: ("value", None))

    def do_join(self, me, target):
        return self.join(me, self.greenlets[target])

    def do_join_timeout(self, me, target, delay):
        greenlet = self.greenlets[target]
        if greenlet.ready():
            return None
        return self.park_on(me, greenlet, lambda: ("value", None), delay, (me.number, "join_timeout", target, delay))

    def do_get(self, me, target):
        target = self.greenlets[target]
        return target.result if target.ready() else self.park_on(me, target, lambda: target.result)

    def do_wait_any(self, me, targets, one):
        greenlets = [self.greenlets[target] for target in targets]
        wanted = 1 if one else len(greenlets)
        ready = deque()
        found = []
        links = []
        waits = []

        def link_of(number):
            def link():
                ready.append(number)
                if waits and waits[-1].open:
                    self.wake(waits[-1])

            return link

        def undo():
            for greenlet, link in links:
                self.remove_link(greenlet, link)

        def collect():
            while ready:
                found.append(ready.popleft())
                if len(found) == wanted:
                    undo()
                    return ("value", sorted(found))
            return park()

        def park():
            wait = Wait(me, "raise", lambda: ("again", collect))
            wait.abandon = undo
            waits.append(wait)
            return ("park", wait)

        for target, greenlet in zip(targets, greenlets, strict=True):
            links.append((greenlet, link_of(target)))
            self.add_link(*links[-1])
        return collect()

    def do_link(self, me, target, raw):
        name = self.new_link(me.number)

        def link():
            if raw:
                self.note(name, "raw link runs", target)
            else:
                self.switch(ModelGreenlet((name, target), HUB, True), "value", None)

        self.last_links[target] = link
        self.add_link(self.greenlets[target], link)

    def do_unlink(self, me, target):
        link = self.last_links.pop(target, None)
        if link is not None:
            self.remove_link(self.greenlets[target], link)

    def do_callback(self, me):
        number = len(self.callbacks)
        waiting = [True]

        def callback():
            if waiting.pop():
                self.note("callback", number)

        self.callbacks.append(waiting)
        self.queue.append(callback)

    def do_stop_callback(self, me):
        if self.callbacks:
            self.callbacks[-1][:] = [False]

    def do_raw_new(self, me, child):
        self.make(child, me, raw=True)

    def do_raw_switch(self, me, target):
        return ("switch", self.greenlets[target], "value", f"from {me.number}")

    def do_raw_throw(self, me, target):
        return ("switch", self.greenlets[target], "throw", Boom(me.number))

    def do_to_parent(self, me):
        return ("switch", me.parent, "value", f"from child {me.number}") if me.raw else None

    def do_timeout(self, me, delay):
        number = len(self.timeouts)
        error = Boom(f"timeout {number}")
        self.timeouts[number] = self.add_timer(
            DELAYS[delay], "timeout", lambda: self.switch(me, "throw", error), me.number, "caught", text(error)
        )
        return ("value", number)

    def do_cancel(self, me, number):
        self.cancel_timer(self.timeouts[number])

    def do_collect(self, me):
        return None

    def wait_event(self, me, event, delay=None, line=()):
        if event.ready() and not event.telling:
            return ("value", True)
        outcome = self.park_on(me, event, lambda: ("value", not wait.timed_out), delay, line)
        wait = outcome[1]
        if event.ready():
            event.due.append(event.links.pop())
        return outcome

    def do_event_wait(self, me, event):
        return self.wait_event(me, self.events[event])

    def do_event_wait_timeout(self, me, event, delay):
        return self.wait_event(me, self.events[event], delay, (me.number, "event_wait_timeout", event, delay))

    def do_event_set(self, me, event):
        self.events[event].count = 1
        self.tell_soon(self.events[event])

    def do_event_clear(self, me, event):
        self.events[event].count = 0

    def do_event_link(self, me, event):
        name = self.new_link(me.number)
        self.add_link(self.events[event], lambda: self.note(name, "event link runs"))

    def acquire(self, me, semaphore, delay=None, line=()):
        if semaphore.count > 0:
            semaphore.count -= 1
            return ("value", True)

        def end():
            if semaphore.count > 0:
                semaphore.count -= 1
                return ("value", True)
            return ("value", False)

        return self.park_on(me, semaphore, end, delay, line)

    def do_acquire(self, me, semaphore):
        return self.acquire(me, self.semaphores[semaphore])

    def do_acquire_timeout(self, me, semaphore, delay):
        return self.acquire(me, self.semaphores[semaphore], delay, (me.number, "acquire_timeout", semaphore, delay))

    def do_release(self, me, semaphore):
        self.semaphores[semaphore].count += 1
        self.tell_soon(self.semaphores[semaphore])


# ---- running them


def library(genuine=False):
    """The names that `Real` uses, of verdigris or of gevent itself."""
    import types

    if not genuine:
        import verdigris

        if "gevent" not in sys.modules:
            verdigris.install_as_gevent()
    import gevent
    import gevent.event
    import gevent.hub
    import gevent.lock
    import greenlet

    names = types.SimpleNamespace(
        greenlet=greenlet.greenlet,
        Event=gevent.event.Event,
        Semaphore=gevent.lock.Semaphore,
        get_hub=gevent.hub.get_hub,
    )
    for name in ("getcurrent", "spawn", "sleep", "Greenlet", "GreenletExit", "Timeout", "wait"):
        setattr(names, name, getattr(gevent, name))
    gevent.setswitchinterval(1000)
    return names


def check(seed, names):
    """Runs one program for real and on the model; raises `Difference` if they do not agree."""
    real = Real(seed, names)
    try:
        results = real.run()
    except AssertionError as error:
        raise Difference(f"seed {seed}: {error}") from error
    model = Model(seed, real.log)
    try:
        expected = model.run()
    except Difference as difference:
        lines = "\n".join(map(str, real.log[max(0, len(model.log) - 60) : len(model.log) + 3]))
        raise Difference(f"seed {seed}: {difference}\nthe library's log around there:\n{lines}") from None
    if results != expected:
        pairs = [(one, other) for one, other in zip(results, expected, strict=True) if one != other]
        raise Difference(f"seed {seed}: results differ (library, model): {pairs}")
    return len(real.log)


def main():
    import argparse
    import time

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=None, help="run this one only")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--genuine", action="store_true", help="on gevent itself")
    options = parser.parse_args()
    names = library(options.genuine)
    if options.seed is not None:
        print(check(options.seed, names), "lines agree")
        return
    end = time.monotonic() + options.seconds
    seed, lines = options.first, 0
    while time.monotonic() < end:
        lines += check(seed, names)
        seed += 1
    print(f"{seed - options.first} programs, {lines} lines agree")


if __name__ == "__main__":
    main()
