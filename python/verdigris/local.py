"""Attributes that each greenlet has for itself (gevent.local). The class is Rust; see its docstring."""

from verdigris._core import all_local_dicts_for_greenlet, getcurrent, local
from verdigris._incidental import incidental_names

__all__ = ["local"]
__getattr__ = incidental_names(__name__)
