"""The types of `environ.py`."""

from collections.abc import Iterator
from typing import Any

class Environ(dict[str, Any]):
    def iteritems(self) -> Iterator[tuple[str, Any]]: ...

class SecureEnviron(Environ):
    default_secure_repr: bool
    default_whitelist_keys: tuple[str, ...]
    default_print_masked_keys: bool
    secure_repr: bool
    whitelist_keys: tuple[str, ...]
    print_masked_keys: bool

class WSGISecureEnviron(SecureEnviron): ...
