"""The types of `errors.py`."""

from typing import TypeAlias

class InvalidClientInput(OSError): ...

class InvalidClientRequest(ValueError):
    formatted_message: str
    def __init__(self, message: str) -> None: ...

_Answer: TypeAlias = tuple[str, tuple[tuple[str, str], ...], bytes]

# Answers of every kind.
ANSWERS: dict[int, _Answer]
BAD_REQUEST: bytes
REQUEST_TOO_LONG: bytes
CONTINUE: bytes
