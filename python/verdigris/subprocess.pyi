"""The types of `subprocess.py`: those of the standard module, save for what is defined here."""

import subprocess as _standard
from collections.abc import Callable, Collection, Iterable, Mapping
from subprocess import _CMD, _ENV, _FILE
from typing import Any, AnyStr, Literal, TypedDict, Unpack, overload, type_check_only

from _typeshed import StrOrBytesPath

from verdigris._core import AsyncResult
from verdigris.fileobject import FileObject
from verdigris.greenlet import Greenlet, joinall, killall
from verdigris.os import fork_and_watch, nb_read, nb_write, tp_read, tp_write

# The keyword arguments of the standard class, save for those that say whether there is text.
@type_check_only
class _Keywords(TypedDict, total=False):
    executable: StrOrBytesPath | None
    stdin: _FILE
    stdout: _FILE
    stderr: _FILE
    preexec_fn: Callable[[], object] | None
    close_fds: bool
    shell: bool
    cwd: StrOrBytesPath | None
    env: _ENV | None
    startupinfo: Any
    creationflags: int
    restore_signals: bool
    start_new_session: bool
    pass_fds: Collection[int]
    user: str | int | None
    group: str | int | None
    extra_groups: Iterable[str | int] | None
    umask: int
    pipesize: int
    process_group: int | None
    threadpool: Any

class Popen(_standard.Popen[AnyStr]):
    result: AsyncResult[int]
    @overload
    def __init__(
        self: Popen[str],
        args: _CMD,
        bufsize: int = -1,
        *,
        text: Literal[True],
        universal_newlines: bool | None = None,
        encoding: str | None = None,
        errors: str | None = None,
        **keywords: Unpack[_Keywords],
    ) -> None: ...
    @overload
    def __init__(
        self: Popen[str],
        args: _CMD,
        bufsize: int = -1,
        *,
        text: bool | None = None,
        universal_newlines: Literal[True],
        encoding: str | None = None,
        errors: str | None = None,
        **keywords: Unpack[_Keywords],
    ) -> None: ...
    @overload
    def __init__(
        self: Popen[str],
        args: _CMD,
        bufsize: int = -1,
        *,
        text: bool | None = None,
        universal_newlines: bool | None = None,
        encoding: str,
        errors: str | None = None,
        **keywords: Unpack[_Keywords],
    ) -> None: ...
    @overload
    def __init__(
        self: Popen[str],
        args: _CMD,
        bufsize: int = -1,
        *,
        text: bool | None = None,
        universal_newlines: bool | None = None,
        encoding: str | None = None,
        errors: str,
        **keywords: Unpack[_Keywords],
    ) -> None: ...
    @overload
    def __init__(
        self: Popen[bytes],
        args: _CMD,
        bufsize: int = -1,
        *,
        text: Literal[False] | None = None,
        universal_newlines: Literal[False] | None = None,
        encoding: None = None,
        errors: None = None,
        **keywords: Unpack[_Keywords],
    ) -> None: ...
    @overload
    def __init__(self: Popen[Any], args: _CMD, bufsize: int = -1, *more: Any, **keywords: Any) -> None: ...
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
