"""gevent.builtins: nothing of `builtins` has to be replaced; the names are here for completeness."""

import builtins as _builtins

from verdigris._util import copy_globals
from verdigris.lock import RLock

__target__ = "builtins"
__implements__ = []
__all__ = []
__imports__ = copy_globals(_builtins, globals(), names_to_ignore=__implements__)
