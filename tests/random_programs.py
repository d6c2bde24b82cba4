"""Random programs of greenlets, checked against a model while they run.

    verdigris run tests/random_programs.py --seconds 60 [--seed 1]      (or: python -m gevent.monkey ...)

A program is a world of shared things (semaphores, queues, events, results) and of workers: greenlets that take random steps, often one
inside another: they spawn, kill, sleep, lock, wait with timeouts, raise, iterate, collect garbage, drop suspended greenlets.
Beside each shared thing stands its model, plain numbers and lists, changed in the same breath. Whatever interleaving
comes about, this must hold, and is checked after each step:

    who I am          getcurrent(), context variables, thread-locals and the exception being handled are as I left them
    locks             never more holders than permits; all permits are back at the end
    queues            what comes out was put in, once; what was put in comes out or is still there, except where a kill or a
                      timeout hit the very call
    results           a job ends with its own value or error, or with what it was killed with; nothing else
    timeouts          the one that is raised is mine and is the one that ran out
    ends              `finally` runs exactly once; all workers end (else the program hangs, and the test with it)

The choices follow from the seed; with timers the interleaving need not.
"""

import argparse
import collections
import contextvars
import gc
import random
import socket
import sys
import threading
import time
import traceback

import gevent
import gevent.event
import gevent.lock
import gevent.pool
import gevent.queue
from greenlet import getcurrent, greenlet

TICK = 0.001
LONG = 10.0
"""Seconds after which a worker that has not ended is taken for hanging."""

owner = contextvars.ContextVar("owner", default=None)
local = threading.local()


class Difference(BaseException):
    """The program and the model disagree. Nothing in a program catches it."""


class Planned(Exception):
    """An error that belongs to the program."""


class Killed(Exception):
    """What a worker is killed with, if not with GreenletExit."""


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=5.0)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    gevent.get_hub().NOT_ERROR += (Planned, Killed)
    end = time.monotonic() + given.seconds
    totals = collections.Counter()
    seed = given.seed
    while time.monotonic() < end:
        print(f"\rseed {seed} ", end="", file=sys.stderr, flush=True)
        totals += World(seed).run()
        totals["programs"] += 1
        seed += 1
    print(", ".join(f"{count} {name}" for name, count in totals.items()))


def check(condition, *what):
    if not condition:
        raise Difference(*what)


class World:
    """The shared things of one program, and their models."""

    def __init__(self, seed):
        self.seed = seed
        self.random = random.Random(seed)
        self.locks = [Lock(index, make) for index, make in enumerate(Lock.KINDS * 2)]
        self.queues = [ModelledQueue(make) for make in ModelledQueue.KINDS]
        self.events = [gevent.event.Event() for _ in range(3)]
        self.events_set = [False] * 3
        self.results = [gevent.event.AsyncResult() for _ in range(3)]
        self.workers = []
        self.differences = []
        self.steps = 0

    def run(self):
        for _ in range(self.random.randrange(3, 20)):
            self.spawn(self.random.randrange(1, 30))
        reached = 0
        deadline = time.monotonic() + LONG
        while reached < len(self.workers) and not self.differences:  # workers make workers
            worker = self.workers[reached]
            worker.job.join(timeout=max(0.0, deadline - time.monotonic()))
            if not worker.job.ready():
                where = "".join(traceback.format_stack(worker.job.gr_frame))
                self.differences.append(f"worker {worker.number} hangs in {worker.at}: {worker.job!r}\n{where}")
            reached += 1
        for worker in self.workers:
            self.attempt(worker.check_end)
        for thing in [*self.locks, *self.queues]:
            self.attempt(thing.check_end)
        if self.differences:
            print(f"seed {self.seed}: the program and the model differ:", file=sys.stderr)
            for difference in self.differences:
                print(f"  {difference}", file=sys.stderr)
            sys.exit(1)
        return collections.Counter(workers=len(self.workers), steps=self.steps)

    def attempt(self, function):
        try:
            function()
        except Difference as difference:
            self.differences.append(difference)

    def spawn(self, steps):
        worker = Worker(self, len(self.workers), steps, self.random.getrandbits(32))
        self.workers.append(worker)
        worker.start(self.random)
        return worker


class Lock:
    """A lock of some kind, and how often it is held."""

    KINDS = (
        (1, lambda: gevent.lock.Semaphore(1)),
        (3, lambda: gevent.lock.BoundedSemaphore(3)),
        (1, gevent.lock.RLock),
        (1, threading.Lock),
        (2, lambda: threading.Semaphore(2)),
    )

    def __init__(self, index, kind):
        self.index = index
        self.permits, make = kind
        self.lock = make()
        self.held = 0
        # The standard library's semaphore is Python code: an exception thrown into the very call may come before or after
        # the permit was counted (a finalizer that switches is enough to make its inner lock wait).
        self.is_plain_python = isinstance(self.lock, threading.Semaphore)
        self.uncertain = 0

    def acquire(self, timeout):
        try:
            return self._acquire(timeout)
        except Difference:
            raise
        except BaseException:
            self.uncertain += 1
            raise

    def _acquire(self, timeout):
        if timeout is None:
            got = self.lock.acquire()
        elif timeout == 0:
            got = self.lock.acquire(blocking=False)
        else:
            got = self.lock.acquire(timeout=timeout)
        if got:
            self.held += 1
            check(self.held <= self.permits, "lock held by too many", self.lock)
        return got

    def release(self):
        self.held -= 1
        try:
            self.lock.release()
        except BaseException:
            self.uncertain += 1
            raise

    def check_end(self):
        check(self.held == 0, "lock still held", self.lock)
        got = [self.lock.acquire(blocking=False) for _ in range(self.permits)]
        missing = got.count(False)
        check(missing <= (self.uncertain if self.is_plain_python else 0), "permits lost", self.lock, got)


class ModelledQueue:
    """A queue of some kind, and where its items are."""

    KINDS = (
        gevent.queue.Queue,
        lambda: gevent.queue.Queue(2),
        gevent.queue.PriorityQueue,
        gevent.queue.LifoQueue,
        lambda: gevent.queue.JoinableQueue(3),
    )

    def __init__(self, make):
        self.queue = make()
        self.put_surely, self.put_perhaps, self.got = set(), set(), set()
        self.broken_gets = 0
        self.last = 0

    def put(self, timeout):
        self.last += 1
        item = self.last
        self.put_perhaps.add(item)
        try:
            self.queue.put(item, timeout=timeout)
        except gevent.queue.Full:
            return
        self.put_perhaps.discard(item)
        self.put_surely.add(item)

    def get(self, timeout):
        try:
            item = self.queue.get(timeout=timeout)
        except gevent.queue.Empty:
            return
        except BaseException:
            self.broken_gets += 1
            raise
        self.take(item)

    def take(self, item):
        check(item in self.put_surely or item in self.put_perhaps, "item from nowhere", item, self.queue)
        check(item not in self.got, "item twice", item, self.queue)
        self.got.add(item)

    def check_end(self):
        while True:
            try:
                self.take(self.queue.get(block=False))
            except gevent.queue.Empty:
                break
        lost = self.put_surely - self.got
        check(len(lost) <= self.broken_gets, "items lost", lost, self.queue)


class Worker:
    """A greenlet that takes random steps, and what is known of it."""

    def __init__(self, world, number, steps, seed):
        self.world = world
        self.number = number
        self.steps = steps
        self.random = random.Random(seed)
        self.value = object()
        self.error = Planned(number) if self.random.random() < 0.2 else None
        self.at = "the start"
        self.started = self.ended = 0
        self.killers = []
        self.timeouts = []
        self.held = []
        self.depth = 0
        self.context = self.handled = None

    def start(self, choice):
        way = choice.randrange(4)
        if way == 0:
            self.job = gevent.spawn(self.run)
        elif way == 1:
            self.job = gevent.spawn_later(choice.choice((0, TICK)), self.run)
        elif way == 2:
            self.job = Job(self)
            self.job.start()
        else:
            self.job = gevent.Greenlet(self.run)
            self.job.start()

    def run(self):
        self.started += 1
        self.context = self
        owner.set(self)
        local.owner = self
        try:
            for _ in range(self.steps):
                self.step()
            if self.error:
                raise self.error
            return self.value
        except Difference as difference:
            self.world.differences.append(f"worker {self.number} at {self.at}: {difference!r}")
            return None
        finally:
            self.ended += 1

    def check_end(self):
        check(self.job.ready() and self.job.dead, "not ended", self.number)
        check(self.started == self.ended, "finally did not run once", self.number, self.started, self.ended)
        if self.job.successful():
            fine = self.job.value is self.value or any(self.job.value is killer for killer in self.killers)
            fine = fine or (self.killers and isinstance(self.job.value, gevent.GreenletExit))
            check(fine, "ended with a foreign value", self.number, self.job.value)
        else:
            fine = self.job.exception is self.error or any(self.job.exception is killer for killer in self.killers)
            check(fine, "ended with a foreign error", self.number, repr(self.job.exception), self.killers)

    # Steps

    def step(self):
        if self.depth >= 4:
            return
        self.world.steps += 1
        name = self.random.choice(STEPS)
        before, self.at = self.at, name
        self.depth += 1
        held = len(self.held)
        try:
            getattr(self, name)()
        except gevent.Timeout as timeout:
            check(timeout in self.timeouts, "somebody else's timeout", timeout)
            raise
        except (gevent.GreenletExit, Killed) as death:
            check(self.killers, "killed by nobody", death)
            raise
        finally:
            self.depth -= 1
            check(len(self.held) == held, "model: locks")
        self.check_identity()
        self.at = before

    def check_identity(self):
        check(getcurrent() is self.job, "I am another", getcurrent())
        check(owner.get() is self.context, "another's context", owner.get())
        check(local.owner is self, "another's locals", local.owner)
        check(sys.exc_info()[1] is self.handled, "another's exception", sys.exc_info()[1], self.handled)

    def patience(self):
        """A timeout for a wait; endless waits are only allowed to who holds nothing."""
        return self.random.choice((0, TICK, 2 * TICK))

    def sleep(self):
        gevent.sleep(self.random.choice((0, 0, 0, TICK, 2 * TICK)))

    def sleep_as_the_standard_library_does(self):
        time.sleep(self.random.choice((0, TICK)))

    def spawn(self):
        if len(self.world.workers) < 300:
            child = self.world.spawn(self.steps // 2)
            if self.held:
                child.job.join(timeout=self.patience())
            elif self.random.random() < 0.5:
                self.collect(child)

    def collect(self, child):
        try:
            value = child.job.get()
        except Planned as error:
            check(error is child.error, "a foreign error", error)
        except Killed as error:
            if not any(error is killer for killer in child.killers):
                raise  # it was meant for me
        except gevent.GreenletExit:
            raise
        else:
            check(value is child.value or child.killers, "a foreign value", value)

    def kill(self):
        victim = self.random.choice(self.world.workers)
        if victim.job.ready() or self.random.random() < 0.5:
            return
        error = self.random.choice((gevent.GreenletExit(), Killed(victim.number)))
        victim.killers.append(error)
        way = self.random.randrange(3)
        if way == 0 and not self.held:
            victim.job.kill(error)
            check(victim.job.dead, "killed and not dead", victim.number)
        elif way == 1:
            victim.job.kill(error, timeout=self.patience())
        else:
            victim.job.kill(error, block=False)

    def lock(self):
        lock = self.random.choice(self.world.locks)
        # In the order of their numbers locks may be waited for without end, and nobody waits in a circle.
        in_order = all(lock.index > other.index for other in self.held)
        if lock in self.held:  # some can be taken twice
            return
        if lock.acquire(None if in_order and self.random.random() < 0.5 else self.patience()):
            self.held.append(lock)
            try:
                self.step()
                self.step()
            finally:
                self.held.remove(lock)
                lock.release()

    def put(self):
        self.random.choice(self.world.queues).put(self.patience())

    def get(self):
        self.random.choice(self.world.queues).get(self.patience())

    def set_event(self):
        index = self.random.randrange(len(self.world.events))
        if self.random.random() < 0.7:
            self.world.events_set[index] = True
            self.world.events[index].set()
        else:
            self.world.events[index].clear()

    def wait_for_event(self):
        index = self.random.randrange(len(self.world.events))
        if self.world.events[index].wait(self.patience()):
            check(self.world.events_set[index], "an event that nobody set")

    def result(self):
        index = self.random.randrange(len(self.world.results))
        result = self.world.results[index]
        if self.random.random() < 0.2 and not result.ready():
            result.set(index)
        try:
            check(result.get(timeout=self.patience()) == index, "a foreign result")
        except gevent.Timeout as timeout:
            if timeout in self.timeouts:
                raise

    def wait_for_many(self):
        things = [*self.world.events, *self.world.results, *(worker.job for worker in self.world.workers[-3:])]
        things = [thing for thing in things if thing is not self.job]
        ready = gevent.wait(self.random.sample(things, 3), timeout=self.patience(), count=1)
        check(all(thing in things for thing in ready), "waited for something else", ready)

    def timeout(self):
        silent = self.random.random() < 0.5
        timeout = gevent.Timeout(self.random.choice((TICK, 2 * TICK, 5 * TICK)), False if silent else None)
        self.timeouts.append(timeout)
        try:
            with timeout:
                self.step()
                self.sleep()
                self.step()
        except gevent.Timeout as raised:
            if raised is not timeout:
                raise
            check(not silent, "a silent timeout was raised", raised)
        finally:
            self.timeouts.remove(timeout)
            check(not timeout.pending, "timeout pending after its end", timeout)

    def handle_an_exception(self):
        before = self.handled
        try:
            raise Planned(self.number)
        except Planned as error:
            self.handled = error
            try:
                self.step()
                self.check_identity()
            finally:
                self.handled = before

    def run_in_a_context(self):
        before, mine = self.context, object()

        def inside():
            owner.set(mine)
            self.context = mine
            self.step()
            self.check_identity()

        try:
            contextvars.copy_context().run(inside)
        finally:
            self.context = before

    def iterate(self):
        def numbers():
            try:
                for number in range(3):
                    self.sleep()
                    yield number
                    self.step()
            finally:
                ended.append(True)

        ended = []
        try:
            limit = self.random.randrange(4)
            for expected, number in enumerate(generator := numbers()):
                check(number == expected, "a generator out of step", number)
                if number == limit:
                    break
        finally:
            generator.close()
        check(ended == [True], "a generator's finally", ended)

    def go_deep(self):
        """Steps with frames of C and of Python in turns below them."""

        def down(number):
            if number == 0:
                self.step()
                return 0
            return sorted([number], key=lambda _: next(map(down, [number - 1])))[0]

        check(down(self.random.randrange(1, 15)) >= 0)

    def collect_garbage(self):
        if self.random.random() < 0.1:
            gc.collect()

    def drop_suspended(self):
        """A suspended greenlet nobody knows any more is ended by GreenletExit."""

        def body(value):
            try:
                me.parent.switch(value + 1)
            except gevent.GreenletExit:
                ended.append("exit")
                raise
            finally:
                ended.append("finally")

        ended = []
        me = greenlet(body)
        check(me.switch(1) == 2, "a foreign value from switch")
        check(ended == [], "ended early", ended)
        if self.random.random() < 0.5:
            me = None
        else:
            me.throw()
        check(ended == ["exit", "finally"], "dropped and not ended", ended)

    def throw(self):
        def body():
            while True:
                try:
                    me.parent.switch("waiting")
                except Planned as error:
                    caught.append(error)
                    if len(caught) == 2:
                        raise

        caught = []
        me = greenlet(body)
        first, second = Planned(1), Planned(2)
        check(me.switch() == "waiting")
        check(me.throw(first) == "waiting")
        try:
            me.throw(second)
            check(False, "a throw that returned")
        except Planned as error:
            check(error is second and caught == [first, second], "a foreign error from throw", error)
        check(me.dead and not me, "not dead")

    def pool(self):
        def double(number):
            gevent.sleep(0)
            return number * 2

        pool = gevent.pool.Pool(2)
        check(pool.map(double, range(5)) == [0, 2, 4, 6, 8], "a pool's results")
        check(len(pool) == 0, "greenlets left in the pool")

    def talk(self):
        """Bytes through the kernel, between two greenlets."""
        one, other = socket.socketpair()
        data = self.random.randbytes(self.random.choice((1, 1000, 500_000)))

        def send():
            with other:
                try:
                    other.sendall(data)
                except BrokenPipeError:
                    pass  # a timeout or a kill took the receiver away

        sender = gevent.spawn(send)
        try:
            with one:
                received = bytearray()
                while piece := one.recv(65536):
                    received += piece
        finally:
            sender.kill()
        check(received == data, "other bytes", len(received), len(data))

    def use_a_thread(self):
        if self.random.random() < 0.1:
            check(gevent.get_hub().threadpool.apply(sum, ([1, 2],)) == 3, "a foreign result from the thread pool")


class Job(gevent.Greenlet):
    """The same, as a subclass with `_run`."""

    def __init__(self, worker):
        super().__init__()
        self.worker = worker

    def _run(self):
        return self.worker.run()


NO_STEPS = ("start", "run", "check_end", "step", "check_identity", "patience", "collect")
STEPS = [name for name in vars(Worker) if not name.startswith("_") and name not in NO_STEPS]

if __name__ == "__main__":
    main()
