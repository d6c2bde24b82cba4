"""The types of `os.py`: those of the standard module, save for what is defined here."""

import os as _standard
from collections.abc import Callable
from typing import Any

from _typeshed import ReadableBuffer

from verdigris._core import child, loop

__implements__: list[str]
__extensions__: list[str]
__imports__: list[str]
ignored_errors: list[int]
EAGAIN: int

def make_nonblocking(fd: int) -> bool | None: ...
def nb_read(fd: int, n: int) -> bytes: ...
def nb_write(fd: int, buf: ReadableBuffer) -> int: ...
def tp_read(fd: int, n: int) -> bytes: ...
def tp_write(fd: int, buf: ReadableBuffer) -> int: ...
def close(fd: int) -> None: ...
def fork_gevent() -> int: ...
def fork_and_watch(
    callback: Callable[[child], object] | None = None,
    loop: loop | None = None,
    ref: bool = False,
    fork: Callable[[], int] = ...,
) -> int: ...
def fork(
    callback: Callable[[child], object] | None = None,
    loop: loop | None = None,
    ref: bool = False,
    fork: Callable[[], int] = ...,
) -> int: ...
def forkpty_gevent() -> tuple[int, int]: ...
def forkpty_and_watch(
    callback: Callable[[child], object] | None = None,
    loop: loop | None = None,
    ref: bool = False,
    forkpty: Callable[[], tuple[int, int]] = ...,
) -> tuple[int, int]: ...
def forkpty(
    callback: Callable[[child], object] | None = None,
    loop: loop | None = None,
    ref: bool = False,
    forkpty: Callable[[], tuple[int, int]] = ...,
) -> tuple[int, int]: ...
def waitpid(pid: int, options: int) -> tuple[int, int]: ...

posix_spawn = _standard.posix_spawn
posix_spawnp = _standard.posix_spawnp

# Last, so that it does not take the place of what is above.
from os import *  # type: ignore[assignment]  # noqa: E402, F403
