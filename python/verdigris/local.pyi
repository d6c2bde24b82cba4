"""The types of `local.py`."""

from verdigris._core import all_local_dicts_for_greenlet as all_local_dicts_for_greenlet
from verdigris._core import local

__all__ = ["local"]
