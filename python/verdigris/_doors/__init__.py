"""The doors: how programs written for gevent come in without being changed.

    verdigris run app.py | -m module     patches, opens the door, runs         -> command.py, program.py
    verdigris.install_as_gevent()        `import gevent` means verdigris       -> finder.py
    children of either                   an environment variable and a .pth    -> children.py

This package is imported by every interpreter that a program starts, before anything else: it imports nothing
but what the interpreter itself has already loaded.
"""

import sys

from verdigris._doors.finder import DoorFinder

__all__ = ["install_as_gevent", "is_open"]


def install_as_gevent(*, children: bool = False) -> None:
    """Makes `gevent`, every `gevent.*` and `greenlet` resolve to verdigris in this process.

    It does not matter whether the genuine packages are installed. Calling it again does nothing. With `children`, Python
    processes started from here do the same (see `children.py`).

    Raises RuntimeError if the genuine packages have been imported already: two greenlet implementations
    cannot share a thread, and objects of both would be mixed.
    """
    if not is_open():
        strangers = sorted(name for name in ("gevent", "greenlet") if name in sys.modules)
        if strangers:
            raise RuntimeError(
                f"install_as_gevent() came too late: {' and '.join(strangers)} already imported"
                f" from {getattr(sys.modules[strangers[0]], '__file__', 'somewhere')}."
                " Call it before anything that imports gevent or greenlet, or start the program with 'verdigris run'."
            )
        sys.meta_path.insert(0, DoorFinder())
    if children:
        from verdigris._doors.children import open_in_children

        open_in_children()


def is_open() -> bool:
    """Whether `import gevent` means verdigris in this process."""
    return any(isinstance(finder, DoorFinder) for finder in sys.meta_path)
