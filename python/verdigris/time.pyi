"""The types of `time.py`: those of the standard module, and `sleep`."""

from verdigris._core import time_sleep as sleep

__implements__: list[str]
__imports__: list[str]

# Last, so that it does not take the place of what is above.
from time import *  # type: ignore[assignment]  # noqa: F403
