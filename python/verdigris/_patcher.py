"""Which of our modules stands for which of the standard library."""

__all__ = ["MAPPING"]

MAPPING = {
    f"gevent.{name}": target
    for name, target in dict(
        local="_threading_local",
        thread="_thread",
        **{
            name: name
            for name in (
                "builtins",
                "contextvars",
                "os",
                "queue",
                "select",
                "selectors",
                "signal",
                "socket",
                "ssl",
                "subprocess",
                "threading",
                "time",
            )
        },
    ).items()
}
