"""The micro benchmarks: one function each, the same source for every library.

A case gets the names it needs from `names` (a namespace: `greenlet`, `getcurrent`, `spawn`, `sleep`, `Timeout`,
`Event`, ...) and a number of operations, and does that many. How long it takes is measured outside, unless the case
returns a figure of its own, in the unit that it is registered with.
"""

import gc
import os
import subprocess
import sys
from functools import partial

CASES = {}


def case(title, *, operations, needs="gevent", unit="ns"):
    """Registers a case: what it is called, how many operations a round has, and the least library that has its names."""

    def register(function):
        CASES[function.__name__] = (title, operations, needs, function, unit)
        return function

    return register


@case("switch there and back", operations=300_000, needs="greenlet")
def switch(names, operations):
    main = names.getcurrent()

    def body():
        while True:
            main.switch()

    there = names.greenlet(body).switch
    for _ in range(operations):
        there()


@case("the same inside five nested sorted()", operations=200_000, needs="greenlet")
def deep_switch(names, operations):
    main = names.getcurrent()

    def nest(depth):
        if depth:
            return sorted([0], key=lambda _: nest(depth - 1) or 0)
        while True:
            main.switch()

    there = names.greenlet(lambda: nest(5)).switch
    for _ in range(operations):
        there()


@case("create and run a greenlet", operations=50_000, needs="greenlet")
def create_run(names, operations):
    greenlet = names.greenlet

    def body():
        pass

    for _ in range(operations):
        greenlet(body).switch()


@case("spawn and join", operations=30_000)
def spawn_join(names, operations):
    spawn = names.spawn

    def body():
        pass

    for _ in range(operations):
        spawn(body).join()


@case("spawn().get()", operations=30_000)
def spawn_get(names, operations):
    spawn = names.spawn

    def body():
        return 1

    for _ in range(operations):
        spawn(body).get()


@case("sleep(0), two greenlets in turn", operations=200_000)
def sleep_zero(names, operations):
    sleep = names.sleep

    def body():
        for _ in range(operations // 2):
            sleep(0)

    names.joinall([names.spawn(body), names.spawn(body)])


@case("hand-over through a queue of one place", operations=50_000)
def bounded_queue(names, operations):
    queue = names.Queue(1)

    def produce():
        for number in range(operations):
            queue.put(number)

    producer = names.spawn(produce)
    for _ in range(operations):
        queue.get()
    producer.join()


@case("unbounded queue, put and get", operations=200_000)
def unbounded_queue(names, operations):
    queue = names.Queue()
    put, get = queue.put, queue.get
    for number in range(operations):
        put(number)
        get()


@case("semaphore, uncontended `with`", operations=500_000)
def semaphore(names, operations):
    lock = names.Semaphore()
    for _ in range(operations):
        with lock:
            pass


@case("semaphore, contended by two greenlets", operations=50_000)
def contended_semaphore(names, operations):
    lock = names.Semaphore()
    sleep = names.sleep

    def body():
        for _ in range(operations // 2):
            with lock:
                sleep(0)

    names.joinall([names.spawn(body), names.spawn(body)])


@case("an event wakes 100 waiters, each (spawn included)", operations=20_000)
def event_wake(names, operations):
    for _ in range(operations // 100):
        event = names.Event()
        waiters = [names.spawn(event.wait) for _ in range(100)]
        names.sleep(0)
        event.set()
        names.joinall(waiters)


@case("AsyncResult set by a spawned greenlet", operations=30_000)
def async_result(names, operations):
    AsyncResult, spawn = names.AsyncResult, names.spawn
    for _ in range(operations):
        result = AsyncResult()
        spawn(result.set, 1)
        result.get()


@case("20,000 sleepers, each", operations=20_000)
def sleepers(names, operations):
    sleep = names.sleep
    names.joinall([names.spawn(sleep, 0.001) for _ in range(operations)])


@case("Timeout start and cancel", operations=100_000)
def timeout(names, operations):
    start_new = names.Timeout.start_new
    for _ in range(operations):
        start_new(10).cancel()


@case("Pool.imap_unordered, each", operations=20_000)
def pool_imap(names, operations):
    pool = names.Pool(10)
    for _ in pool.imap_unordered(abs, range(operations)):
        pass


@case("threadpool.apply", operations=2_000)
def threadpool_apply(names, operations):
    apply = names.get_hub().threadpool.apply
    for _ in range(operations):
        apply(abs, (1,))


@case("an attribute of a local", operations=500_000)
def local_attribute(names, operations):
    local = names.local()
    local.value = 1
    for _ in range(operations):
        local.value  # noqa: B018


@case("resident memory of an idle greenlet, one call deep", operations=20_000, unit="bytes")
def idle_greenlet(names, operations):
    event = names.Event()

    def body():
        event.wait()

    gc.collect()
    before = resident_bytes()
    greenlets = [names.spawn(body) for _ in range(operations)]
    names.sleep(0.01)
    while not all(greenlet.gr_frame for greenlet in greenlets[-1:]):
        names.sleep(0.01)
    used = (resident_bytes() - before) / operations
    event.set()
    names.joinall(greenlets)
    return used


def resident_bytes():
    """How much memory of this process is there."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


@case("import and the first spawn", operations=5, unit="ms")
def import_time(names, operations):
    package = names.package
    return milliseconds_in_new_process(f"import {package}; {package}.spawn(int).join()", min(operations, 5))


@case("import and monkey.patch_all()", operations=5, unit="ms")
def import_and_patch(names, operations):
    package = names.package
    return milliseconds_in_new_process(f"import {package}.monkey; {package}.monkey.patch_all()", min(operations, 5))


def milliseconds_in_new_process(statements, times):
    """How long the statements take at the start of a program, at best.

    The bytecode of what they import is there, as it is for every program that starts a second time: a package from the registry
    brings it, and one that is used from its source folder has to be allowed to write it.
    """
    program = f"from time import perf_counter as now; began = now(); {statements}; print((now() - began) * 1e3)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    run = partial(subprocess.run, capture_output=True, text=True, check=True, env=environment)
    run([sys.executable, "-c", program])
    return min(float(run([sys.executable, "-c", program]).stdout) for _ in range(times))
