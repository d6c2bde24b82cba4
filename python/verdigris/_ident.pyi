"""The types of `_ident.py`."""

__all__ = ["IdentRegistry"]

class IdentRegistry:
    def get_ident(self, obj: object) -> int: ...
    def __len__(self) -> int: ...
