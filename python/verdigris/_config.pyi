"""The types of `_config.py`: the settings that its table makes."""

from collections.abc import Callable
from typing import Any

from verdigris._core import loop
from verdigris.fileobject import FileObjectPosix
from verdigris.threadpool import ThreadPool

__all__ = ["config"]

# A class or function may be set by its name, too: what is read is the thing.
class Config:
    ares_flags: Any
    ares_ndots: Any
    ares_servers: Any
    ares_tcp_port: Any
    ares_timeout: Any
    ares_tries: Any
    ares_udp_port: Any
    disable_watch_children: bool
    fileobject: Any
    format_context: Any
    libev_backend: Any
    loop: Any
    max_blocking_time: float | None
    max_memory_usage: Any
    memory_monitor_period: float
    monitor_thread: bool
    print_blocking_reports: bool
    resolver: Any
    resolver_nameservers: Any
    resolver_timeout: float | None
    stack_sweep_interval: float | None
    threadpool: Any
    threadpool_idle_task_timeout: float
    trace_malloc: bool
    track_greenlet_tree: bool
    settings: dict[str, Setting]
    def set(self, name: str, value: Any) -> None: ...
    def print_help(self) -> None: ...

class Setting:
    name: str | None
    environment_key: str | None
    default: Any
    value: Any
    def get(self) -> Any: ...
    def set(self, value: Any) -> None: ...
    @staticmethod
    def validate(value: Any) -> Any: ...

config: Config
