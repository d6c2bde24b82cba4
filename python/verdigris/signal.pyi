"""The types of `signal.py`: those of the standard module, with the functions that are ours."""

from signal import getsignal as getsignal
from signal import set_wakeup_fd as set_wakeup_fd
from signal import signal as signal

__implements__: list[str]
__extensions__: list[str]
__imports__: list[str]
__all__ = ["signal", "getsignal", "set_wakeup_fd"]
