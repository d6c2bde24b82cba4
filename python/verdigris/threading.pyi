"""The types of `threading.py`."""

import sys
import threading as _standard
from collections.abc import Callable

from verdigris._core import LockType
from verdigris.local import local
from verdigris.thread import get_ident as get_ident
from verdigris.thread import start_new_thread as start_new_thread

__implements__: list[str]
__extensions__: list[str]

_allocate_lock = LockType
Lock = LockType
Thread = _standard.Thread
Timer = _standard.Timer

class _DummyThread(_standard._DummyThread): ...

def main_native_thread() -> _standard.Thread: ...

if sys.version_info >= (3, 13):
    from verdigris.thread import start_joinable_thread as start_joinable_thread
else:
    def start_joinable_thread(function: Callable[[], object], handle: object = None, daemon: bool = True) -> object: ...
