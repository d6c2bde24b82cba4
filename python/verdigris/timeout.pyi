"""The types of `timeout.py`."""

from verdigris._core import Timeout, with_timeout

__all__ = ["Timeout", "with_timeout"]
