"""Timeouts: an exception that arrives after a while (gevent.timeout). The class is Rust; see its docstring."""

from verdigris._core import Timeout, with_timeout
from verdigris._incidental import incidental_names

__all__ = ["Timeout", "with_timeout"]
__getattr__ = incidental_names(__name__)
