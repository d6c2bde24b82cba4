"""The types of `fileobject.py`."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, AnyStr, Generic, Self, overload, type_check_only

from _typeshed import OpenBinaryMode, OpenTextMode

from verdigris.threadpool import ThreadPool

__all__ = ["FileObjectPosix", "FileObjectThread", "FileObjectBlock", "FileObject"]

# What a file object has of the `io` object that does the work.
@type_check_only
class _File(Generic[AnyStr]):
    name: Any
    mode: str
    def __getattr__(self, name: str) -> Any: ...
    @property
    def closed(self) -> bool: ...
    def fileno(self) -> int: ...
    def isatty(self) -> bool: ...
    def flush(self) -> None: ...
    def read(self, size: int | None = -1, /) -> AnyStr: ...
    def readable(self) -> bool: ...
    def readline(self, size: int = -1, /) -> AnyStr: ...
    def readlines(self, hint: int = -1, /) -> list[AnyStr]: ...
    def seek(self, offset: int, whence: int = 0, /) -> int: ...
    def seekable(self) -> bool: ...
    def tell(self) -> int: ...
    def truncate(self, size: int | None = None, /) -> int: ...
    def writable(self) -> bool: ...
    def write(self, data: AnyStr, /) -> int: ...
    def writelines(self, lines: Iterable[AnyStr], /) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *args: object) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> AnyStr: ...
    def close(self) -> None: ...
    @property
    def io(self) -> Any: ...

class FileObjectPosix(_File[AnyStr]):
    default_bufsize: int
    fileio: Any
    @overload
    def __init__(
        self: FileObjectPosix[str],
        fobj: Any,
        mode: OpenTextMode = "r",
        bufsize: int | None = None,
        close: bool | None = None,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        buffering: int | None = None,
        closefd: bool | None = None,
        atomic_write: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: FileObjectPosix[bytes],
        fobj: Any,
        mode: OpenBinaryMode,
        bufsize: int | None = None,
        close: bool | None = None,
        *,
        buffering: int | None = None,
        closefd: bool | None = None,
        atomic_write: bool = False,
    ) -> None: ...
    @overload
    def __init__(self: FileObjectPosix[Any], fobj: Any, mode: str, *args: Any, **kwargs: Any) -> None: ...

class FileObjectBlock(_File[AnyStr]):
    @overload
    def __init__(
        self: FileObjectBlock[str],
        fobj: Any,
        mode: OpenTextMode = "r",
        bufsize: int | None = None,
        close: bool | None = None,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        buffering: int | None = None,
        closefd: bool | None = None,
        atomic_write: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: FileObjectBlock[bytes],
        fobj: Any,
        mode: OpenBinaryMode,
        bufsize: int | None = None,
        close: bool | None = None,
        *,
        buffering: int | None = None,
        closefd: bool | None = None,
        atomic_write: bool = False,
    ) -> None: ...
    @overload
    def __init__(self: FileObjectBlock[Any], fobj: Any, mode: str, *args: Any, **kwargs: Any) -> None: ...

class FileObjectThread(_File[AnyStr]):
    lock: AbstractContextManager[Any]
    threadpool: ThreadPool
    @overload
    def __init__(
        self: FileObjectThread[str],
        fobj: Any,
        mode: OpenTextMode = "r",
        bufsize: int | None = None,
        close: bool | None = None,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        buffering: int | None = None,
        closefd: bool | None = None,
        atomic_write: bool = False,
        *,
        lock: bool | AbstractContextManager[Any] = True,
        threadpool: ThreadPool | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: FileObjectThread[bytes],
        fobj: Any,
        mode: OpenBinaryMode,
        bufsize: int | None = None,
        close: bool | None = None,
        *,
        buffering: int | None = None,
        closefd: bool | None = None,
        atomic_write: bool = False,
        lock: bool | AbstractContextManager[Any] = True,
        threadpool: ThreadPool | None = None,
    ) -> None: ...
    @overload
    def __init__(self: FileObjectThread[Any], fobj: Any, mode: str, *args: Any, **kwargs: Any) -> None: ...

# What `config.fileobject` names.
FileObject = FileObjectPosix
