"""The types of `pool.py`."""

from collections.abc import Callable, Iterable, Iterator
from queue import Full
from typing import Any, TypeVar, overload

from typing_extensions import ParamSpec
from typing_extensions import TypeVar as TypeVarWithDefault

from verdigris._core import Greenlet, GreenletExit, GroupBase, IMapUnordered, PoolBase, Timeout
from verdigris.greenlet import CallbackLink

__all__ = ["Group", "Pool", "PoolFull"]

_Item = TypeVar("_Item")
_Item2 = TypeVar("_Item2")
_Item3 = TypeVar("_Item3")
_Result = TypeVar("_Result")
_Yields = TypeVarWithDefault("_Yields", default=Any)
_Arguments = ParamSpec("_Arguments")

class pass_value(CallbackLink):
    def __call__(self, source: Greenlet[..., Any]) -> None: ...

class GroupMappingMixin:
    # A Greenlet in a group; an AsyncResult in a pool of threads.
    def spawn(self, func: Callable[_Arguments, Any], *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> Any: ...
    def apply(
        self, func: Callable[..., _Result], args: Iterable[Any] | None = None, kwds: dict[str, Any] | None = None
    ) -> _Result: ...
    def apply_cb(
        self,
        func: Callable[..., _Result],
        args: Iterable[Any] | None = None,
        kwds: dict[str, Any] | None = None,
        callback: Callable[[_Result], object] | None = None,
    ) -> _Result: ...
    def apply_async(
        self,
        func: Callable[..., _Result],
        args: Iterable[Any] | None = None,
        kwds: dict[str, Any] | None = None,
        callback: Callable[[_Result], object] | None = None,
    ) -> Greenlet[..., _Result]: ...
    def map(self, func: Callable[[_Item], _Result], iterable: Iterable[_Item]) -> list[_Result]: ...
    def map_cb(
        self,
        func: Callable[[_Item], _Result],
        iterable: Iterable[_Item],
        callback: Callable[[list[_Result]], object] | None = None,
    ) -> list[_Result]: ...
    def map_async(
        self,
        func: Callable[[_Item], _Result],
        iterable: Iterable[_Item],
        callback: Callable[[list[_Result]], object] | None = None,
    ) -> Greenlet[..., list[_Result]]: ...
    @overload
    def imap(
        self, func: Callable[[_Item], _Result], iterable: Iterable[_Item], /, *, maxsize: int | None = None
    ) -> IMap[_Result]: ...
    @overload
    def imap(
        self,
        func: Callable[[_Item, _Item2], _Result],
        iterable: Iterable[_Item],
        iterable2: Iterable[_Item2],
        /,
        *,
        maxsize: int | None = None,
    ) -> IMap[_Result]: ...
    @overload
    def imap(
        self,
        func: Callable[[_Item, _Item2, _Item3], _Result],
        iterable: Iterable[_Item],
        iterable2: Iterable[_Item2],
        iterable3: Iterable[_Item3],
        /,
        *,
        maxsize: int | None = None,
    ) -> IMap[_Result]: ...
    @overload
    def imap(
        self,
        func: Callable[..., _Result],
        iterable: Iterable[Any],
        iterable2: Iterable[Any],
        iterable3: Iterable[Any],
        iterable4: Iterable[Any],
        /,
        *iterables: Iterable[Any],
        maxsize: int | None = None,
    ) -> IMap[_Result]: ...
    @overload
    def imap_unordered(
        self, func: Callable[[_Item], _Result], iterable: Iterable[_Item], /, *, maxsize: int | None = None
    ) -> IMapUnordered[_Result]: ...
    @overload
    def imap_unordered(
        self,
        func: Callable[[_Item, _Item2], _Result],
        iterable: Iterable[_Item],
        iterable2: Iterable[_Item2],
        /,
        *,
        maxsize: int | None = None,
    ) -> IMapUnordered[_Result]: ...
    @overload
    def imap_unordered(
        self,
        func: Callable[[_Item, _Item2, _Item3], _Result],
        iterable: Iterable[_Item],
        iterable2: Iterable[_Item2],
        iterable3: Iterable[_Item3],
        /,
        *,
        maxsize: int | None = None,
    ) -> IMapUnordered[_Result]: ...
    @overload
    def imap_unordered(
        self,
        func: Callable[..., _Result],
        iterable: Iterable[Any],
        iterable2: Iterable[Any],
        iterable3: Iterable[Any],
        iterable4: Iterable[Any],
        /,
        *iterables: Iterable[Any],
        maxsize: int | None = None,
    ) -> IMapUnordered[_Result]: ...

class IMap(IMapUnordered[_Yields]): ...

class Group(GroupBase, GroupMappingMixin):
    greenlet_class: type[Greenlet[..., Any]]
    def __init__(self, greenlets: Iterable[Greenlet[..., Any]] = ..., /) -> None: ...
    def __iter__(self) -> Iterator[Greenlet[..., Any]]: ...
    def join(self, timeout: float | None = None, raise_error: bool = False) -> bool: ...
    def kill(
        self,
        exception: BaseException | type[BaseException] = ...,
        block: bool = True,
        timeout: float | Timeout | None = None,
    ) -> None: ...
    def killone(
        self,
        greenlet: Greenlet[..., Any],
        exception: BaseException | type[BaseException] = ...,
        block: bool = True,
        timeout: float | Timeout | None = None,
    ) -> None: ...
    def full(self) -> bool: ...
    # How many there is room for; None of a group without limit.
    def wait_available(self, timeout: float | Timeout | None = None) -> int | None: ...

class PoolFull(Full): ...

class Pool(PoolBase, Group):
    size: int | None
    def __init__(self, size: int | None = None, greenlet_class: type[Greenlet[..., Any]] | None = None) -> None: ...
    def wait_available(self, timeout: float | Timeout | None = None) -> int: ...
    def free_count(self) -> int: ...
