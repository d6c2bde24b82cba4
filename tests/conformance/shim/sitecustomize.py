"""Imported by every interpreter that the conformance tests start: gevent and greenlet are verdigris there, except their tests.

The runner puts this folder on PYTHONPATH, so that it also holds in the interpreters that tests start themselves. It imports
nothing that is not imported anyway: tests of monkey patching look at what is there.

    CONFORMANCE_SUITE     folder with gevent/tests, gevent/testing and greenlet/tests
    CONFORMANCE_GENUINE   "1": leave gevent and greenlet what they are
    CONFORMANCE_EVENTS    file to write a line to for each thing that happens to a case (this process only)
    CONFORMANCE_SKIP      file that lists test ids which are not run (this process only)
"""

import os
import posix
import sys
from importlib.machinery import ModuleSpec, PathFinder

SUITE = os.environ["CONFORMANCE_SUITE"]
GENUINE = os.environ.get("CONFORMANCE_GENUINE") == "1"
EVENTS = os.environ.pop("CONFORMANCE_EVENTS", None)
SKIP = os.environ.pop("CONFORMANCE_SKIP", None)

# The packages that come from the suites and from nowhere else.
TESTS = {"gevent.tests": "gevent", "gevent.testing": "gevent", "greenlet.tests": "greenlet"}


# What gevent's tests raise when a case takes more than two seconds, or a wait took a tenth of a second longer than asked for.
TOO_SLOW = ("TestTimeout", "FlakyAssertionError")


class Present:
    """A loader that hands out a module which is already in sys.modules."""

    def __init__(self, module):
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec):
        return self.module

    def exec_module(self, module):
        module.__spec__ = self.spec


class SuiteFinder:
    """Opens verdigris's door at the first import of gevent or greenlet, and finds the packages of tests."""

    opened = False

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ("gevent", "greenlet"):
            return None
        if not self.opened:
            SuiteFinder.opened = True
            return self.open_door(name, path, target)
        if name in TESTS:
            return PathFinder.find_spec(name, [os.path.join(SUITE, TESTS[name])])
        if name.rpartition(".")[0] in TESTS:
            return PathFinder.find_spec(name, path)
        return None

    def open_door(self, name, path, target):
        import verdigris

        verdigris.install_as_gevent()
        sys.meta_path.remove(self)  # stay in front of the door's own finder
        sys.meta_path.insert(0, self)
        module = sys.modules.pop(name, None)  # importlib would take its __spec__ and load it again
        if module is not None:
            return ModuleSpec(name, Present(module))
        specs = (finder.find_spec(name, path, target) for finder in sys.meta_path[1:])
        return next((spec for spec in specs if spec is not None), None)


class RunnerHook:
    """Makes unittest's text runner record, once somebody imports it."""

    def find_spec(self, name, path=None, target=None):
        if name != "unittest.runner":
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            record(module)

        spec.loader.exec_module = exec_module
        return spec


def record(runner, posix=posix):
    """Makes the runner write events, and leave out what SKIP lists. `posix` is an argument: functions outlive this module."""
    pid = posix.getpid()

    def emit(word, test):
        if posix.getpid() != pid:
            return
        test_id = getattr(test, "test_case", test)  # a subtest counts for its test
        test_id = test_id if isinstance(test_id, str) else test_id.id()
        line = f"{word} {test_id}".replace("\n", " ") + "\n"
        fd = posix.open(EVENTS, posix.O_WRONLY | posix.O_APPEND | posix.O_CREAT)
        try:
            posix.write(fd, line.encode("utf-8", "replace"))
        finally:
            posix.close(fd)

    class Recording(runner.TextTestResult):
        def startTest(self, test):
            emit("start", test)
            super().startTest(test)

        def stopTest(self, test):
            super().stopTest(test)
            emit("stop", test)

        def stopTestRun(self):
            super().stopTestRun()
            emit("end", "")

        def addSubTest(self, test, subtest, err):
            super().addSubTest(test, subtest, err)
            if err is not None:
                emit("fail" if issubclass(err[0], test.failureException) else "error", test)

        def addError(self, test, err):
            super().addError(test, err)
            emit("slow" if err[0].__name__ in TOO_SLOW else "error", test)

        def addFailure(self, test, err):
            super().addFailure(test, err)
            emit("slow" if err[0].__name__ in TOO_SLOW else "fail", test)

    def add(method, word):
        def told(self, test, *args):
            getattr(runner.TextTestResult, method)(self, test, *args)
            emit(word, test)

        setattr(Recording, method, told)

    add("addSuccess", "pass")
    add("addExpectedFailure", "pass")
    add("addSkip", "skip")
    add("addUnexpectedSuccess", "fail")
    runner.TextTestRunner.resultclass = Recording

    from unittest.case import TestCase

    with open(SKIP, encoding="utf-8") as file:
        skip = set(file.read().split("\n"))
    call = TestCase.__call__
    TestCase.__call__ = lambda self, *args, **kwds: None if self.id() in skip else call(self, *args, **kwds)


if not GENUINE:
    sys.meta_path.insert(0, SuiteFinder())
if EVENTS:
    sys.meta_path.insert(0, RunnerHook())
