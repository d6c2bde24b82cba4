"""How the door stays open in the Python processes that a program starts.

gunicorn re-executes itself, multiprocessing spawns, test suites run `sys.executable`: a child that says `import gevent` has to
find what its parent found. The environment is the only thing that reaches all of them, and a .pth file in site-packages
(`verdigris_door.pth`, part of the installation) is what reads it when an interpreter starts. Interpreters of
other environments do not have that file and ignore the variable.

Children are not monkey-patched: a child is as often a tool as it is more of the same program, and code that wants to be
patched in a child says so itself. `verdigris run --patch-children` says it for everybody.
"""

import os

__all__ = ["open_in_children", "start_of_interpreter"]

VARIABLE = "VERDIGRIS_DOOR"


def open_in_children(patch=False):
    """From now on, `import gevent` means verdigris in child interpreters, too."""
    os.environ[VARIABLE] = "patch" if patch else "open"


def start_of_interpreter():
    """Called by verdigris_door.pth."""
    wish = os.environ.get(VARIABLE)
    if wish in ("open", "patch"):
        from verdigris._doors import install_as_gevent

        install_as_gevent()
    if wish == "patch":
        from verdigris import monkey

        monkey.patch_all()
