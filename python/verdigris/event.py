"""Events and results that greenlets and threads wait for (gevent.event); they are Rust (`crates/python/src/primitives`)."""

from verdigris._core import AbstractLinkable, AsyncResult, Event  # noqa: F401 - the first is gevent's name, too

__all__ = ["Event", "AsyncResult"]
