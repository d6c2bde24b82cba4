"""gevent.contextvars: the context variables of Python; every greenlet has a context of its own."""

from contextvars import Context, ContextVar, Token, copy_context

from verdigris._incidental import incidental_names

__all__ = ["Context", "ContextVar", "Token", "copy_context"]
__getattr__ = incidental_names(__name__)
__imports__ = list(__all__)
__implements__ = []
