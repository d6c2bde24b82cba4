"""Events and results that greenlets and threads wait for (gevent.event); they are Rust (`crates/python/src/primitives`)."""

from verdigris._core import AbstractLinkable, AsyncResult, Event

__all__ = ["Event", "AsyncResult"]
