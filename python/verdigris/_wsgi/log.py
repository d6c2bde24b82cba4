"""Where a server writes its lines: anything with `write`, a logger, or nowhere."""

import logging
import sys


class NoopLog:
    """Swallows everything."""

    def write(self, *args, **kwargs):
        pass

    def flush(self):
        pass

    def writelines(self, *args, **kwargs):
        pass


class LoggingLogAdapter:
    """Makes a file of a `logging.Logger`: what is written is logged at *level*. All else is the logger's own."""

    __slots__ = ("_level", "_logger")

    def __init__(self, logger, level=logging.INFO):
        object.__setattr__(self, "_logger", logger)
        object.__setattr__(self, "_level", level)

    def write(self, msg):
        self._logger.log(self._level, msg.removesuffix("\n"))

    def flush(self):
        """Nothing is kept back."""

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def __getattr__(self, name):
        return getattr(self._logger, name)

    def __setattr__(self, name, value):
        if name in LoggingLogAdapter.__slots__:
            object.__setattr__(self, name, value)
        else:
            setattr(self._logger, name, value)

    def __delattr__(self, name):
        delattr(self._logger, name)


def make(log, level):
    """The file for what a user gave: "default" is stderr, None is nowhere, a logger gets an adapter."""
    if log == "default":
        return sys.stderr
    if log is None:
        return NoopLog()
    if not hasattr(log, "write") and hasattr(log, "log"):
        return LoggingLogAdapter(log, level)
    return log
