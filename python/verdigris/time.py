"""gevent.time: `time`, with a sleep that lets others run."""

import time as _time

from verdigris._core import time_sleep as sleep
from verdigris._util import copy_globals

# By this, programs know that they are patched.
sleep.__module__ = "verdigris.hub"

__implements__ = ["sleep"]
__all__ = __implements__
__imports__ = copy_globals(_time, globals(), names_to_ignore=__implements__)
