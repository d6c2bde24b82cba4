"""gevent.contextvars: the context variables of Python; every greenlet has a context of its own."""

from contextvars import Context, ContextVar, Token, copy_context

__all__ = ["Context", "ContextVar", "Token", "copy_context"]
__imports__ = list(__all__)
__implements__ = []
