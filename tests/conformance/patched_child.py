"""Runs one of CPython's own test modules with everything patched first: the process behind a file of the suite "stdlib".

What gevent lists as not to be run under its patches (`gevent.testing.patched_tests_setup`) is left out. As in its own runner, a
listed method name counts for every class of the file.
"""

from gevent import monkey

monkey.patch_all()

import contextlib  # noqa: E402
import importlib  # noqa: E402
import sys  # noqa: E402
import unittest  # noqa: E402

import test  # noqa: E402
from gevent.testing import patched_tests_setup, resources  # noqa: E402
from gevent.tests import lock_tests  # noqa: E402
from test import support  # noqa: E402
from test.support import import_helper, threading_helper  # noqa: E402


def main(name: str) -> None:
    # These count native threads, which may be started at any time ...
    threading_helper.threading_setup = lambda: (1, ())
    threading_helper.threading_cleanup = lambda *args: None
    threading_helper.wait_threads_exit = lambda timeout=None: contextlib.nullcontext()
    # ... and this would bring unpatched modules back.
    import_helper.import_fresh_module = lambda name, *args, **kwds: importlib.import_module(name)
    test.lock_tests = sys.modules["test.lock_tests"] = lock_tests
    support.verbose = 0
    resources.setup_resources()
    leave_out(name)
    unittest.main(module=None, argv=[name, "-v", f"test.{name}"])


def leave_out(name: str) -> None:
    """Entries are `file.Class` or `file.Class.method`."""
    entries = [entry.split(".") for entry in patched_tests_setup.disabled_tests if entry.startswith(f"{name}.")]
    classes = {entry[1] for entry in entries if len(entry) == 2}
    methods = {entry[-1] for entry in entries if len(entry) > 2}
    call = unittest.TestCase.__call__

    def unless_disabled(self, *args, **kwds):
        if type(self).__name__ not in classes and self._testMethodName not in methods:
            return call(self, *args, **kwds)

    unittest.TestCase.__call__ = unless_disabled


if __name__ == "__main__":
    main(sys.argv.pop())
