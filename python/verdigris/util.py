"""Looking at what runs, and small tools for tests (gevent.util)."""

from __future__ import annotations

import gc
import sys
import traceback
from functools import update_wrapper

from verdigris._compat import PYPY, thread_mod_name
from verdigris._core import getcurrent
from verdigris._core import greenlet as RawGreenlet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType
    from typing import Any, Self, TextIO

    from verdigris.hub import Hub

__all__ = [
    "format_run_info",
    "print_run_info",
    "GreenletTree",
    "wrap_errors",
    "assert_switches",
]


class wrap_errors:
    """Calls a function, and returns exceptions of certain classes instead of raising them.

    What `GreenletTree` and others ask about the function is answered by the function.
    """

    def __init__(self, errors: type[BaseException] | tuple[type[BaseException], ...], func: Callable[..., Any]) -> None:
        self.__errors = errors
        self.__func = func
        update_wrapper(self, func, assigned=("__module__", "__name__", "__qualname__", "__doc__"))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.__func(*args, **kwargs)
        except self.__errors as error:
            return error

    def __str__(self) -> str:
        return str(self.__func)

    def __repr__(self) -> str:
        return repr(self.__func)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__func, name)


# -- threads and greenlets, as text --------------------------------------------------------------------------------------


def print_run_info(
    thread_stacks: bool = True, greenlet_stacks: bool = True, limit: int | None = None, file: TextIO | None = None
) -> None:
    """Prints what `format_run_info` says to a file, by default to stderr."""
    lines = format_run_info(thread_stacks=thread_stacks, greenlet_stacks=greenlet_stacks, limit=limit)
    print("\n".join(lines), file=sys.stderr if file is None else file)


def format_run_info(
    thread_stacks: bool = True,
    greenlet_stacks: bool = True,
    limit: int | None = None,
    current_thread_ident: int | None = None,
) -> list[str]:
    """Lines of text about all native threads and all greenlets, with their stacks unless told otherwise."""
    lines: list[str] = []
    _threads(lines, thread_stacks, limit, current_thread_ident)
    _greenlets(lines, greenlet_stacks, limit)
    return lines


dump_stacks = format_run_info


def is_idle_threadpool_worker(frame: FrameType) -> Any:
    """Whether a frame is that of a thread of a pool that waits for work."""
    return frame.f_locals and frame.f_locals.get("gevent_threadpool_worker_idle", False)


def _headline(lines, text):
    lines += ["*" * 80, f"* {text}", "*" * 80]


def _threads(lines, stacks, limit, current):
    import threading

    from verdigris._core import main_thread_ident
    from verdigris.monkey import get_original

    _headline(lines, "Threads")
    current = get_original("_thread", "get_ident")() if current is None else current
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    names.setdefault(main_thread_ident(), "MainThread")
    for ident, frame in sys._current_frames().items():
        idle = is_idle_threadpool_worker(frame)
        title = f"Thread {ident:#x} ({'idle threadpool worker' if idle else names.get(ident, 'unknown')})"
        lines.append(title + (" (CURRENT)" if ident == current else "") + "\n")
        if stacks:
            lines.append("".join(traceback.format_stack(frame, limit)))
    del frame


def _greenlets(lines, stacks, limit):
    _headline(lines, "Greenlets")
    details = {"running_stacks": stacks, "running_stack_limit": limit}
    for tree in GreenletTree.forest():
        lines.append("---- Thread boundary")
        lines.extend(tree.format_lines(details=details))


class GreenletTree:
    """A greenlet and those it has spawned: what `str()` and `format()` show.

    A greenlet with a true attribute `greenlet_tree_is_root` is a root, with a true attribute
    `greenlet_tree_is_ignored` it is left out, and what it has spawned with it.
    """

    DEFAULT_DETAILS = {
        "running_stacks": True,
        "running_stack_limit": None,
        "spawning_stacks": True,
        "locals": True,
    }

    #: The greenlet.
    greenlet: RawGreenlet = None  # type: ignore[assignment]
    #: Whether it is the root of its tree.
    is_current_tree = False
    root = False

    def __init__(self, greenlet: RawGreenlet) -> None:
        self.greenlet = greenlet
        self.child_trees: list[GreenletTree] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.greenlet, name)

    def add_child(self, tree: GreenletTree) -> None:
        """Adds the tree of a greenlet that this one has spawned."""
        if tree is not self:
            self.child_trees.append(tree)

    @classmethod
    def forest(cls) -> list[Self]:
        """All trees: one for each thread, and for each greenlet that was told to be a root."""
        main = cls._main_of_this_thread()
        trees = {}
        roots = []
        for thing in gc.get_objects():
            if not isinstance(thing, RawGreenlet) or getattr(thing, "greenlet_tree_is_ignored", False):
                continue
            tree = trees.get(thing)
            if tree is None:
                tree = trees[thing] = cls(thing)
        for greenlet, tree in list(trees.items()):
            spawner = None if getattr(greenlet, "greenlet_tree_is_root", False) else cls._spawner_of(greenlet)
            if spawner is None:
                tree.root = True
                tree.is_current_tree = greenlet is main
                roots.append(tree)
            elif not getattr(spawner, "greenlet_tree_is_ignored", False):
                if spawner not in trees:
                    trees[spawner] = cls(spawner)
                    trees[spawner].root = True
                    roots.append(trees[spawner])
                trees[spawner].add_child(tree)
        for tree in trees.values():
            tree.child_trees.sort(key=_order)
        # programs expect their own thread's first
        return sorted(roots, key=lambda tree: not tree.is_current_tree)

    @classmethod
    def current_tree(cls) -> Self:
        """The tree that the current greenlet belongs to."""
        current = cls._main_of_this_thread()
        for tree in cls.forest():
            if tree.greenlet is current or tree.is_current_tree:
                return tree
        return cls(current)

    @staticmethod
    def _main_of_this_thread():
        """The root above the current greenlet."""
        greenlet = getcurrent()
        while greenlet.parent is not None and not getattr(greenlet, "greenlet_tree_is_root", False):
            greenlet = greenlet.parent
        return greenlet

    @staticmethod
    def _spawner_of(greenlet):
        """Who has spawned it; None if nobody is known, or it is the root of a thread."""
        spawner = _spawner(greenlet)
        return greenlet.parent if spawner is None else spawner

    # -- as text --

    def __str__(self):
        return self.format(False)

    def format(self, details: bool | dict[str, Any] = True) -> str:
        """The tree as text; `details` may be a dictionary of those of DEFAULT_DETAILS that are wanted otherwise."""
        return "\n".join(self.format_lines(details=details))

    def format_lines(self, details: bool | dict[str, Any] = True) -> list[str]:
        """The tree as a list of lines."""
        if not details:
            wanted = None
        else:
            wanted = dict(self.DEFAULT_DETAILS)
            if isinstance(details, dict):
                wanted.update(details)
        text = _Text(wanted)
        text.tree(self)
        return [line.rstrip() for line in text.finish()]


def _order(tree):
    return getattr(tree.greenlet, "minimal_ident", None) or 0


class _Text:
    """Draws trees: children are set off by `+---`, and `:` or `|` leads on to the next branch."""

    def __init__(self, details):
        self.details = details
        self.lines = []  # (depth, whether it begins a greenlet, text)

    def tree(self, tree, depth=0):
        self.lines.append((depth, True, self._title(tree.greenlet)))
        if self.details is not None:
            for line in self._about(tree.greenlet):
                self.lines.append((depth, False, line))
        for child in tree.child_trees:
            self.tree(child, depth + 1)

    def finish(self):
        last_branch = max(
            (i for i, (depth, begins, _) in enumerate(self.lines) if begins and depth == 1), default=len(self.lines)
        )
        result = []
        for i, (depth, begins, text) in enumerate(self.lines):
            more = i < last_branch  # another branch follows
            if not begins:
                margin = (" :" if more else "  ").ljust(6 * (depth + 1))
            elif depth < 2:
                margin = " +--- " * depth
            else:
                margin = (" |" if more else "  ").ljust(5 * depth - 4) + "+--- "
            result.append(margin + text)
        return result

    def _title(self, greenlet):
        title = repr(greenlet)
        if greenlet.parent is None:
            return title
        finished = getattr(greenlet, "ready", lambda: False)()
        if not greenlet:
            title += "; finished" if finished else "; not running"
        if finished:
            if greenlet.exception is not None:
                title += f" with exception {greenlet.exception!r}"
            elif greenlet.value is not None:
                title += " with value " + repr(greenlet.value)[:30]
        return title

    def _about(self, greenlet):
        details = self.details
        yield f"Parent: {greenlet.parent!r}"
        if details["running_stacks"]:
            yield from self._stack("Running:", greenlet.gr_frame, details["running_stack_limit"])
        if details["spawning_stacks"]:
            yield from self._stack("Spawned at:", getattr(greenlet, "spawning_stack", None), None)
        if details["locals"]:
            tree_locals = getattr(greenlet, "spawn_tree_locals", None)
            if tree_locals and tree_locals is not getattr(_spawner(greenlet), "spawn_tree_locals", None):
                yield "Spawn Tree Locals"
                yield from _pretty(tree_locals)
            found = [item for item in _locals_of(greenlet) if item[1]]
            if found:
                yield "Greenlet Locals:"
                for (kind, ident), values in found:
                    yield f"  Local {kind} at {ident:#x}"
                    yield from ("    " + line for line in _pretty(values))

    @staticmethod
    def _stack(title, frame, limit):
        if frame is not None:
            yield title
            yield from "".join(traceback.format_stack(frame, limit)).splitlines()


def _spawner(greenlet):
    reference = getattr(greenlet, "spawning_greenlet", None)
    return reference() if reference is not None else None


def _pretty(value):
    from pprint import pformat

    return pformat(value).splitlines()


def _locals_of(greenlet):
    """[((class, id), values)] of what `local` objects hold for a greenlet"""
    from verdigris import local

    find = getattr(local, "all_local_dicts_for_greenlet", None)
    return find(greenlet) if find is not None else []


# -- tests -----------------------------------------------------------------------------------------------------------------


class _FailedToSwitch(AssertionError):
    """Raised by assert_switches."""


class assert_switches:
    """A context manager that raises if its block did not switch to another greenlet.

    With `hub_only`, only switches to the hub count. With `max_blocking_time`, in seconds, the block may not go for longer
    without a switch, and one that took no longer need not have switched at all (except to the hub, with `hub_only`).
    """

    hub: Hub | None = None
    tracer: Any = None

    def __init__(self, max_blocking_time: float | None = None, hub_only: bool = False) -> None:
        self.max_blocking_time = max_blocking_time
        self.hub_only = hub_only

    def __enter__(self) -> Self:
        from verdigris._hub_local import get_hub
        from verdigris._tracer import SwitchTimer

        self.hub = get_hub()
        self.tracer = SwitchTimer(self.hub if self.hub_only else None)
        return self

    def __exit__(self, t: type[BaseException] | None, v: BaseException | None, tb: TracebackType | None) -> None:
        self.hub = None
        tracer, limit = self.tracer, self.max_blocking_time
        tracer.kill()
        if v is not None:
            return
        took = tracer.since_last_switch()
        longest = max(took, tracer.longest_without_switch)
        if limit is not None:
            failed = longest > limit or (self.hub_only and not tracer.switches)
        else:
            failed = not tracer.switches
        if failed:
            allowed = "" if limit is None else f" (max allowed {limit:.4f} seconds)"
            report = "\n".join(format_run_info())
            raise _FailedToSwitch(
                f"To {'the hub' if self.hub_only else 'any greenlet'} in {longest:.4f} seconds{allowed}\n{report}"
            )


def clear_stack_frames(frame: FrameType | None) -> None:
    """Clears the local variables of all frames that are done, from this one outwards."""
    while frame is not None:
        try:
            frame.clear()
        except RuntimeError:
            pass  # it runs
        frame = frame.f_back
