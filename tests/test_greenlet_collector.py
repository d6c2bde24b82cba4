"""What the collector does to greenlets from the middle of something else: finalizers that switch, end, and start them.

Before CPython 3.12 it runs wherever an object is made; from then on, between instructions. The programs below are the same
for all, and so is what they print.
"""

import pytest

PRELUDE = """
import gc, os, sys, threading, weakref
from verdigris._core import GreenletExit, getcurrent, greenlet, statistics

class Interruption:
    def __init__(self, act):
        self.act, self.itself = act, self

    def __del__(self):
        self.act()

kept = []

def at_the_next(size, act):
    "Has the collector call `act` when the next tuple of this size is made: none is left over from before, nor of what else is needed."
    gc.disable()
    gc.collect()
    gc.set_threshold(1)
    Interruption(act)
    used_again = [{} for _ in range(50)]
    for other in range(1, 6):  # not as comprehensions, which are functions with tuples of their own
        for _ in range(3000 if other == size else 50):
            (kept if other == size else used_again).append(tuple(range(other)))
    del used_again
    gc.enable()

main = getcurrent()

def waiting():
    def wait():
        return main.switch()

    made = greenlet(wait)
    made.switch()
    return made
"""


def lines_of(program, source):
    ended = program(PRELUDE + source, patched=False)
    assert (ended.status, ended.stderr) == (0, "")
    return ended.stdout.splitlines()


@pytest.mark.parametrize(
    ("size", "arguments", "value"),
    [(2, "1, 2", "(1, 2)"), (2, "1, key=2", "((1,), {'key': 2})"), (1, "1, key=2", "((1,), {'key': 2})")],
)
def test_a_finalizer_ends_the_greenlet_that_is_being_switched_to(program, size, arguments, value):
    source = f"""
target = waiting()
at_the_next({size}, target.switch)
value = target.switch({arguments})
gc.disable()
print(value, target.dead)
"""
    assert lines_of(program, source) == [f"{value} True"]


def test_a_finalizer_starts_the_parent_that_an_ending_greenlet_is_about_to_start(program):
    source = """
begun = []

def run_parent(value):
    begun.append(value)
    if value == "early":
        child.switch()
    gc.disable()
    return "done"

def run_child():
    at_the_next(1, lambda: None if begun else parent.switch("early"))
    return "late"

parent = greenlet(run_parent)
child = greenlet(run_child, parent)
print(child.switch(), len(begun), parent.dead, child.dead, statistics()["stacks_in_use"])
"""
    assert lines_of(program, source) == ["done 1 True True 0"]


def test_a_finalizer_asks_who_runs_while_a_thread_meets_its_first_greenlet(program):
    source = """
def work():
    asked = []
    at_the_next(1, lambda: asked.append(getcurrent()))
    me = getcurrent()
    gc.collect()
    gc.disable()
    print(asked == [me], me.dead, bool(me))

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
    assert lines_of(program, source) == ["True False True"]


def test_a_finalizer_ends_the_greenlet_that_is_being_killed(program):
    source = """
target = waiting()
reference = weakref.ref(target)
try:
    raise KeyError
except KeyError:  # a new exception gets this one for its context, for which it is made at once
    at_the_next(1, lambda: reference().switch() if reference() else None)
    del target
gc.collect()
print(reference(), statistics()["stacks_in_use"])
"""
    assert lines_of(program, source) == ["None 0"]


def test_greenlets_end_while_it_is_looked_up_what_the_parent_of_an_ended_one_runs(program):
    source = """
class Parent(greenlet):
    @property
    def run(self):
        greenlet(int).switch()  # ends, and another lands
        raise KeyError("nothing to run")

parent = Parent()
before = sys.getrefcount(parent)
try:
    greenlet(int, parent).switch()
except KeyError as error:
    print(error)
print(sys.getrefcount(parent) - before)
"""
    assert lines_of(program, source) == ["'nothing to run'", "0"]


def test_recursion_is_limited_while_another_greenlet_makes_an_exception(program):
    # The interpreter allows more depth to who makes one; beyond that it ends the process.
    source = """
class Slow(Exception):
    def __init__(self):
        main.switch()

def recurse():
    return recurse() + 1

target = waiting()
thrower = greenlet(lambda: target.throw(Slow))
thrower.switch()
for _ in range(3):
    try:
        recurse()
    except RecursionError:
        print("RecursionError")
"""
    assert lines_of(program, source) == ["RecursionError"] * 3


COLLECTS = """
def collect():
    for _ in range(20):
        Interruption(home.switch)
    gc.collect()

def work():
    global home
    home = getcurrent()
    left.append(greenlet(collect))
    left[0].switch()

def collected():
    "Whether the collector collects."
    trash = Interruption(int)
    reference = weakref.ref(trash)
    del trash
    gc.collect()
    return reference() is None

gc.disable()
left = []
"""


def test_a_thread_ends_in_the_middle_of_a_collection(program):
    source = (
        COLLECTS
        + """
print(collected())
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(collected())
# The lists of that collection are on its stack, which is nobody's now.
in_use, starts = (statistics()[name] for name in ("stacks_in_use", "starts"))
del left[:]
others = [waiting() for _ in range(3)]
print(in_use, statistics()["stacks_in_use"], statistics()["reuses"])
print(collected())
"""
    )
    assert lines_of(program, source) == ["True", "True", "0 3 0", "True"]


def test_a_thread_ends_while_another_one_collects(program):
    # What it leaves suspended has nothing to do with that collection.
    source = (
        COLLECTS
        + """
def work():
    thread_main = getcurrent()
    left.append(greenlet(thread_main.switch))
    left[0].switch()

def join():
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    print(statistics()["greenlets_stranded"], collected())

Interruption(join)
gc.collect()
print(collected())
"""
    )
    assert lines_of(program, source) == ["1 False", "True"]


@pytest.mark.skipif("not hasattr(__import__('os'), 'fork')")
def test_the_child_of_a_fork_looks_at_the_main_greenlet_of_another_thread(program):
    source = """
import warnings
warnings.simplefilter("ignore")
ready, go = threading.Event(), threading.Event()

def work():
    global others
    others = getcurrent()

    def wait():
        ready.set()
        go.wait()

    greenlet(wait).switch()

thread = threading.Thread(target=work)
thread.start()
ready.wait()
child = os.fork()
if child == 0:
    print(others.gr_frame, others.dead, flush=True)
    del others
    os._exit(0)
print(os.waitpid(child, 0)[1])
go.set()
thread.join()
"""
    assert lines_of(program, source) == ["None True", "0"]
