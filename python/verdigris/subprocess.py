"""gevent.subprocess: `subprocess`, with waiting and talking that let other greenlets run.

`Popen` is the class of the standard library, with these parts of its own: the parent's ends of pipes are `FileObject`s,
the child's end is waited for in the hub (see `_children.py`), and `communicate()` has a greenlet for each pipe. `run`, `call` and
their relatives are the functions of the standard library, made to use this `Popen`.
"""

import os as _os
import subprocess as _stdlib
import sys as _sys
from time import monotonic as _monotonic
from types import FunctionType as _FunctionType
from weakref import ref as _ref

from verdigris import _children
from verdigris._compat import MAC, PY311, PY313, PY314, PYPY, WIN
from verdigris._core import fork_begins, fork_ended, getcurrent
from verdigris._fileobjectcommon import FileObjectClosed
from verdigris._hub_local import get_hub, get_hub_if_exists
from verdigris._incidental import incidental_names
from verdigris._util import copy_globals
from verdigris.event import AsyncResult
from verdigris.fileobject import FileObject
from verdigris.greenlet import Greenlet, joinall, killall
from verdigris.hub import sleep
from verdigris.monkey import get_original as _get_original
from verdigris.os import fork_and_watch, nb_read, nb_write, tp_read, tp_write

spawn = Greenlet.spawn
mswindows = WIN

__implements__ = ["Popen", "call", "check_call", "check_output", "run"]
__imports__ = [
    "PIPE",
    "STDOUT",
    "DEVNULL",
    "CalledProcessError",
    "TimeoutExpired",
    "SubprocessError",
    "CompletedProcess",
    "getstatusoutput",
    "getoutput",
    "_posixsubprocess",
    "_fork_exec",
    "_use_posix_spawn",
    "_USE_POSIX_SPAWN",
]
__imports__ = [name for name in __imports__ if hasattr(_stdlib, name)]
__extra__ = ["list2cmdline"]

_OriginalPopen = _get_original("subprocess", "Popen")
_close = _get_original("os", "close")

# The functions below look up everything they use here.
copy_globals(_stdlib, globals(), names_to_ignore=[*__implements__, *list(globals())], dunder_names_to_keep=())
PIPE, STDOUT, TimeoutExpired = _stdlib.PIPE, _stdlib.STDOUT, _stdlib.TimeoutExpired


class linkproxy:
    """A link that is called with another object than the one that it is linked to."""

    __slots__ = ("callback", "obj")

    def __init__(self, callback, obj):
        self.callback = callback
        self.obj = obj

    def __call__(self, *_args):
        self.callback(self.obj)


class Popen(_OriginalPopen):
    """A child process; the arguments are those of `subprocess.Popen`. It may be linked to, and given to `wait()`.

    `result` is an `AsyncResult` of its exit code.
    """

    _communicating_greenlets = None
    _watch = None

    def __init__(self, args, bufsize=-1, *more, threadpool=None, **keywords):
        self.result = AsyncResult()
        self._bufsize = -1 if bufsize is None else bufsize
        self._unopened = []  # the parent's ends of pipes, as long as no file has taken them over
        try:
            super().__init__(args, bufsize, *more, **keywords)
        except BaseException:
            for descriptor in self._unopened:
                _close(descriptor)
            raise

    # -- starting -------------------------------------------------------------------------------------------------------

    def _get_handles(self, stdin, stdout, stderr):
        # The parent's ends are kept from the base class, which would open them as blocking files.
        handles = super()._get_handles(stdin, stdout, stderr)
        self._all_handles = handles
        p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite = handles
        self._unopened = [end for end in (p2cwrite, c2pread, errread) if end != -1]
        return p2cread, -1, -1, c2pwrite, -1, errwrite

    def _execute_child(self, *arguments):
        _, p2cwrite, c2pread, _, errread, _ = handles = self._all_handles
        if p2cwrite != -1:
            self.stdin = self._open(p2cwrite, "w")
        if c2pread != -1:
            self.stdout = self._open(c2pread, "r")
        if errread != -1:
            self.stderr = self._open(errread, "r")
        # What programs other than us read and write as their standard streams has to block.
        for child_end, parent_end in zip(handles[0::2], handles[1::2], strict=True):
            for end, other in ((child_end, parent_end), (parent_end, child_end)):
                if end != -1 and other == -1:
                    _make_blocking(end)
        fork_begins()
        try:
            super()._execute_child(*arguments)
        finally:
            fork_ended()
        # A method of self would keep the object alive for as long as the child.
        self._watch = _children.ChildWatch(self.pid, _Ended(_ref(self)), ref=True)

    def _open(self, descriptor, mode):
        if not self.text_mode:
            stream = FileObject(descriptor, mode + "b", self._bufsize)
            self._unopened.remove(descriptor)
            return stream
        by_line = self._bufsize == 1
        size = -1 if self._bufsize in (0, 1) else self._bufsize
        stream = FileObject(descriptor, mode, size, encoding=self.encoding, errors=self.errors)
        self._unopened.remove(descriptor)
        if mode == "w":
            stream.reconfigure(write_through=True, line_buffering=by_line)
        return stream

    def _close_pipe_fds(self, *_handles):
        p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite = self._all_handles
        super()._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)

    # -- its end --------------------------------------------------------------------------------------------------------

    def _ended(self, status):
        if self.returncode is None:
            self._handle_exitstatus(status)
            self.result.set(self.returncode)

    def _internal_poll(self, _deadstate=None, *_more, **_keywords):
        watch = self._watch
        if self.returncode is None and watch is not None and _children is not None:
            if watch.check():
                self._ended(watch.rstatus)
            elif _deadstate is None and getcurrent() is not get_hub_if_exists():
                sleep()  # somebody may be asking again and again
        if self.returncode is not None and _deadstate is None:
            self._was_told()
        return self.returncode

    def _was_told(self):
        # Whoever asks os.waitpid() from now on hears that there is no such child, as without us. Until now, it was for
        # os.waitpid() to say: asyncio starts children by Popen and waits for them itself.
        if isinstance(_children.watched.get(self.pid), tuple):
            del _children.watched[self.pid]

    def _wait(self, timeout):
        if self.returncode is None and not self._watch.check():
            self.result.wait(timeout)
        elif self.returncode is None:
            self._ended(self._watch.rstatus)
        if self.returncode is None:
            raise TimeoutExpired(self.args, timeout)
        self._was_told()
        return self.returncode

    def wait(self, timeout=None, _raise_exc=True):
        """Waits for the end of the child and returns its exit code. Raises TimeoutExpired after `timeout` seconds."""
        try:
            return super().wait(timeout)
        except TimeoutExpired:
            if _raise_exc:
                raise
            return None

    def rawlink(self, callback):
        """Has callback(self) called when the child has ended."""
        self.result.rawlink(linkproxy(callback, self))

    def unlink(self, callback):
        """Does nothing: a link is called at most once, and may be called in vain."""

    # -- talking --------------------------------------------------------------------------------------------------------

    def _communicate(self, input, endtime, orig_timeout):
        if not self._communication_started:
            streams = [stream for stream in (self.stdout, self.stderr) if stream]
            self._output = {stream: [] for stream in streams}
            if self.text_mode:  # they tell it only while they are open
                self._codecs = {stream: (stream.encoding, stream.errors) for stream in streams}
            self._communicating_greenlets = [
                Greenlet.spawn(_read_all, stream, chunks) for stream, chunks in self._output.items()
            ]
            if self.stdin:
                if input and self.text_mode and not isinstance(input, (bytes, bytearray, memoryview)):
                    input = input.encode(self.stdin.encoding, self.stdin.errors)
                self._communicating_greenlets.append(Greenlet.spawn(_write_all, self.stdin, input))
            self._communication_started = True
        stdout = self._output.get(self.stdout) if self.stdout else None
        stderr = self._output.get(self.stderr) if self.stderr else None

        joinall(self._communicating_greenlets, timeout=_left(endtime))
        talking = not all(greenlet.ready() for greenlet in self._communicating_greenlets)
        if not talking:
            for greenlet in self._communicating_greenlets:
                error = greenlet.get()
                if error is not None:
                    raise error
        if talking or self.wait(timeout=_left(endtime), _raise_exc=False) is None:
            raise TimeoutExpired(
                self.args,
                orig_timeout,
                output=b"".join(stdout) if stdout else None,
                stderr=b"".join(stderr) if stderr else None,
            )
        return self._joined(stdout, self.stdout), self._joined(stderr, self.stderr)

    def _joined(self, chunks, stream):
        if chunks is None:
            return None
        data = b"".join(chunks)
        if self.text_mode:
            return self._translate_newlines(data, *self._codecs[stream])
        return data

    def __exit__(self, t, v, tb):
        # The greenlets that read are in the way of closing what they read.
        if self._communicating_greenlets:
            killall(self._communicating_greenlets)
        for stream in (self.stdout, self.stderr):
            if stream:
                try:
                    stream.close()
                except RuntimeError:
                    pass  # another greenlet is inside it; it is closed all the same
        super().__exit__(t, v, tb)

    def pipe_cloexec(self):
        """A pair of descriptors of a pipe that children do not inherit."""
        return _os.pipe()

    def poll(self):
        """The exit code of the child; None while it runs."""
        return self._internal_poll()


class _Ended:
    """What the watch calls; it does not keep the Popen alive."""

    def __init__(self, popen):
        self.popen = popen

    def __call__(self, watch):
        popen = self.popen()
        if popen is not None:
            popen._ended(watch.rstatus)


def _make_blocking(descriptor):
    try:
        _os.set_blocking(descriptor, True)
    except OSError:
        pass  # not an open descriptor: starting the child will say so


def _read_all(stream, chunks):
    """Reads a pipe to its end; returns an error in place of raising it, for whoever asked."""
    descriptor = stream.fileno()
    read = tp_read if _os.get_blocking(descriptor) else nb_read
    try:
        while data := read(descriptor, 65536):
            chunks.append(data)
        stream.close()
    except Exception as error:
        return error


def _left(endtime):
    """Seconds until then; none are left afterwards."""
    return None if endtime is None else max(endtime - _monotonic(), 0)


def _write_all(stream, data):
    """Writes everything to a pipe and closes it; a child that does not want it all is no error."""
    try:
        try:
            try:
                stream.flush()
            except FileObjectClosed:
                return  # by the program, before it asked to communicate
            if data:
                descriptor = stream.fileno()
                write = tp_write if _os.get_blocking(descriptor) else nb_write
                view = memoryview(data).cast("B")
                while view:
                    view = view[write(descriptor, view) :]
        finally:
            stream.close()
    except BrokenPipeError:
        pass
    except Exception as error:
        return error


def _of_this_module(function):
    """A function of the standard library that finds our Popen where it looks for one."""
    copy = _FunctionType(function.__code__, globals(), function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__doc__ = function.__doc__
    return copy


run, call, check_call, check_output = (
    _of_this_module(_get_original("subprocess", name)) for name in ("run", "call", "check_call", "check_output")
)
getoutput, getstatusoutput = _stdlib.getoutput, _stdlib.getstatusoutput

# gevent's has the name, whether or not the standard library's has
_posixsubprocess = getattr(_stdlib, "_posixsubprocess", None)

__all__ = __implements__ + __imports__
__getattr__ = incidental_names(__name__)
