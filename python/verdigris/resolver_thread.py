"""The old name of `verdigris.resolver.thread`."""

from .resolver.thread import Resolver

__all__ = ["Resolver"]
