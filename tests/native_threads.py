"""Native threads for tests: started unpatched, with their outcome and without leaving a hub behind."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from typing import Any

import verdigris
from verdigris.hub import get_hub_if_exists

LIMIT = 30
"""Seconds; far more than any thread here takes."""


class NativeThread:
    """Runs a function in a native thread."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._ended = threading.Event()
        self._value: Any = None
        self._error: BaseException | None = None
        _thread.start_new_thread(self._run, (function, arguments))

    def _run(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        try:
            self._value = function(*arguments)
        except BaseException as error:
            self._error = error
        finally:
            hub = get_hub_if_exists()
            if hub is not None:
                hub.destroy(True)
            self._ended.set()

    def ended(self) -> bool:
        return self._ended.is_set()

    def join(self) -> Any:
        """Blocks this thread until that one has ended; its result, or its error raised."""
        assert self._ended.wait(LIMIT), "the thread did not end"
        return self._outcome()

    def wait(self) -> Any:
        """The same, but lets the greenlets of this thread run meanwhile."""
        with verdigris.Timeout(LIMIT):
            while not self._ended.is_set():
                verdigris.sleep(0.001)
        return self._outcome()

    def _outcome(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._value


def in_greenlets(count: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Calls the function in so many greenlets of the current thread and gives what they returned."""
    greenlets = [verdigris.spawn(function, *arguments) for _ in range(count)]
    return [greenlet.get() for greenlet in greenlets]
