"""The types of `subprocess.py`: those of the standard module, save for what is defined here."""

import subprocess as _standard
import sys
from collections.abc import Callable
from typing import IO, Any, AnyStr

from verdigris._core import AsyncResult
from verdigris.fileobject import FileObject
from verdigris.greenlet import Greenlet, joinall, killall
from verdigris.os import fork_and_watch, nb_read, nb_write, tp_read, tp_write

class Popen(_standard.Popen[AnyStr]):
    result: AsyncResult[int]
    def rawlink(self, callback: Callable[[Popen[AnyStr]], object]) -> None: ...
    def unlink(self, callback: Callable[[Popen[AnyStr]], object]) -> None: ...
    def pipe_cloexec(self) -> tuple[int, int]: ...

class linkproxy:
    callback: Callable[[Any], object]
    obj: Any
    def __init__(self, callback: Callable[[Any], object], obj: Any) -> None: ...
    def __call__(self, *_args: object) -> None: ...

# Last, so that it does not take the place of what is above.
from subprocess import *  # type: ignore[assignment]  # noqa: E402, F403
