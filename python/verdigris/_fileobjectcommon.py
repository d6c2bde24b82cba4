"""File objects: what `open` does, for descriptors that may have to be waited for.

OpenDescriptor     what to open and how: arguments checked, and made into a stack of `io` objects
FileObjectBase     the object that a program holds, which passes everything on to the stack's top
FileObjectBlock    blocks;  FileObjectThread    runs every call in the thread pool
"""

import io
import os
from errno import EBADF
from io import FileIO

from .hub import get_hub
from .lock import DummySemaphore, Semaphore


class FileObjectClosed(OSError):
    """The file object has been closed."""

    def __init__(self):
        super().__init__(EBADF, "Bad file descriptor (FileObject was closed)")

    def __reduce__(self):
        return type(self), ()


class WriteallMixin:
    """A raw file with `writeall`: writes everything, however often it takes."""

    def writeall(self, value):
        """Write all of *value* before returning."""
        with memoryview(value) as view, view.cast("B") as data:
            written = 0
            while written < len(data):
                written += super().write(data[written:]) or 0
            return written


class WriteIsWriteallMixin(WriteallMixin):
    """A raw file whose `write` writes everything."""

    def write(self, value):
        """Write all of *value* before returning."""
        return self.writeall(value)


class WriteallFileIO(WriteIsWriteallMixin, FileIO):
    """A blocking raw file whose `write` writes everything."""


class FlushingBufferedWriter(io.BufferedWriter):
    """A writer that keeps nothing back: what "line buffered" means for bytes."""

    def write(self, b):
        """Write and flush."""
        written = super().write(b)
        self.flush()
        return written


class OpenDescriptor:
    """The arguments of `open`, checked. `opened()` makes the file.

    *fobj* is a descriptor, a path, or an open file (whose descriptor or bytes are used). With
    *atomic_write*, an unbuffered write writes everything.
    """

    default_buffer_size = io.DEFAULT_BUFFER_SIZE

    def __init__(
        self,
        fobj,
        mode="r",
        bufsize=None,
        close=None,
        encoding=None,
        errors=None,
        newline=None,
        buffering=None,
        closefd=None,
        atomic_write=False,
    ):
        closefd = _only_one("closefd", closefd, "close", close)
        buffering = _only_one("buffering", buffering, "bufsize", bufsize)
        for name, value, kind in (
            ("mode", mode, str),
            ("buffering", buffering, (int, type(None))),
            ("encoding", encoding, (str, type(None))),
            ("errors", errors, (str, type(None))),
        ):
            if not isinstance(value, kind):
                raise TypeError(f"invalid {name}: {value!r}")
        modes = set(mode)
        if modes - set("axrwb+tU") or len(mode) > len(modes):
            raise ValueError(f"invalid mode: {mode!r}")
        if "U" in modes:
            if modes & set("xwa+"):
                raise ValueError("mode U cannot be combined with 'x', 'w', 'a', or '+'")
            modes.add("r")
        text, binary = "t" in modes, "b" in modes
        if text and binary:
            raise ValueError("can't have text and binary mode at once")
        actions = modes & set("xrwa")
        if len(actions) > 1:
            raise ValueError("can't have read/write/append mode at once")
        if not actions:
            raise ValueError("must have exactly one of read/write/append mode")
        for name, value in (("encoding", encoding), ("errors", errors), ("newline", newline)):
            if binary and value is not None:
                article = "a" if name == "newline" else "an"
                raise ValueError(f"binary mode doesn't take {article} {name} argument")
        self.fobj = fobj
        self.mode = mode
        self.text = not binary
        self.creating, self.reading, self.writing, self.appending = (flag in modes for flag in "xrwa")
        self.updating = "+" in modes
        # As FileIO has it: the order is fixed and there is no 't'.
        self.fileio_mode = next(iter(actions)) + "b" + ("+" if self.updating else "")
        self.buffering = -1 if buffering is None else buffering
        self.encoding = encoding
        self.errors = errors
        self.newline = newline
        self.closefd = True if closefd is None else closefd
        self.atomic_write = atomic_write

    @property
    def can_write(self):
        """Whether the mode allows to write."""
        return self.creating or self.writing or self.appending or self.updating

    @property
    def can_read(self):
        """Whether the mode allows to read."""
        return self.reading or self.updating

    def is_fd(self):
        """Whether what is to be opened is a descriptor."""
        return isinstance(self.fobj, int)

    def opened(self):
        """The open file: text, buffered or raw, as asked for."""
        raw = self.opened_raw()
        try:
            return self._wrapped(raw)
        except BaseException:
            # Closes only what was opened here.
            if raw is not self.fobj and self.closefd:
                raw.close()
            raise

    def opened_raw(self):
        """The lowest layer; here a blocking file."""
        if self.is_fd():
            kind = WriteallFileIO if self.atomic_write and self.buffering == 0 and self.can_write else FileIO
            return kind(self.fobj, self.fileio_mode, self.closefd)
        if hasattr(self.fobj, "fileno") or hasattr(self.fobj, "read") or hasattr(self.fobj, "write"):
            return self._bytes_of(self.fobj)
        kind = WriteallFileIO if self.atomic_write and self.buffering == 0 and self.can_write else FileIO
        return kind(os.fspath(self.fobj), self.fileio_mode)

    @staticmethod
    def _bytes_of(fobj):
        """The bytes below a text file; any other file itself."""
        if isinstance(fobj, io.TextIOBase) and hasattr(fobj, "buffer"):
            return fobj.buffer
        return fobj

    def _wrapped(self, raw):
        buffering = self.buffering
        line_buffering = buffering == 1 and self.text
        if buffering < 0 and self.text and _is_terminal(raw):
            line_buffering = True
        if not self.text and buffering == 0:
            return raw
        size = self.default_buffer_size if buffering in (-1, 0, 1) else buffering
        result = raw
        if not isinstance(raw, io.BufferedIOBase):
            if self.updating and _is_seekable(raw):
                result = io.BufferedRandom(raw, size)
            elif self.updating:
                result = io.BufferedRWPair(raw, raw, size)
            elif self.can_write:
                result = (FlushingBufferedWriter if buffering == 1 else io.BufferedWriter)(raw, size)
            else:
                result = io.BufferedReader(raw, size)
        if self.text:
            result = io.TextIOWrapper(
                result, self.encoding, self.errors, self.newline, line_buffering, write_through=buffering == 0
            )
            result.mode = self.mode
        return result


def _only_one(name, value, other_name, other):
    if value is not None and other is not None:
        raise TypeError(f"Cannot specify both {name}={value!r} and {other_name}={other!r}")
    return other if value is None else value


def _is_terminal(raw):
    try:
        return bool(raw.isatty())
    except (AttributeError, OSError, ValueError):
        return False


def _is_seekable(raw):
    try:
        return bool(raw.seekable())
    except (AttributeError, OSError, ValueError):
        return False


class _ClosedIO:
    """Where a closed file object passes everything on to. Keeps the name."""

    def __init__(self, io_object):
        try:
            self.name = io_object.name
        except (AttributeError, OSError, ValueError):
            pass

    def __getattr__(self, name):
        if name == "name":
            # There never was one.
            raise AttributeError(name)
        raise FileObjectClosed

    def __bool__(self):
        return False


class FileObjectBase:
    """What a program holds: the top of a stack of `io` objects, until it is closed.

    An object of the same interface as what `open` returns; its methods are those of `io`.
    """

    def __init__(self, descriptor):
        self._closefd = descriptor.closefd
        # Kept, because it may close its descriptor when it is collected.
        self._original = descriptor.fobj
        self._fobj = self._wrap_io(descriptor.opened(), descriptor)

    def _wrap_io(self, io_object, descriptor):
        return io_object

    @property
    def io(self):
        """The `io` object that does the work."""
        return self._fobj

    @property
    def closed(self):
        """Whether the file object is closed."""
        return isinstance(self._fobj, _ClosedIO)

    def close(self):
        """Flush and close. Without `closefd` the descriptor stays open."""
        if self.closed:
            return
        io_object = self._fobj
        self._fobj = _ClosedIO(io_object)
        try:
            self._do_close(io_object, self._closefd)
        finally:
            self._original = None

    def _do_close(self, io_object, closefd):
        try:
            if closefd:
                io_object.close()
                original = self._original
                if hasattr(original, "close"):
                    original.close()
            else:
                io_object.flush()
        finally:
            if not closefd:
                _keep_open(io_object)

    def __getattr__(self, name):
        # `_fobj` is missing only if opening failed.
        if name == "_fobj":
            raise AttributeError(name)
        return getattr(self._fobj, name)

    def __dir__(self):
        return sorted({*super().__dir__(), *(name for name in dir(self._fobj) if not name.startswith("_"))})

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    def __iter__(self):
        return self

    def __next__(self):
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    next = __next__

    def __bool__(self):
        return True

    __nonzero__ = __bool__

    def __repr__(self):
        state = "closed" if self.closed else ""
        return f"<{type(self).__name__} at {id(self):#x} {state}_fobj={self._fobj!r}{self._extra_repr()}>"

    def _extra_repr(self):
        return ""


def _keep_open(io_object):
    """Take the layers above the raw file away, so that collecting them does not close it."""
    try:
        while isinstance(io_object, (io.TextIOWrapper, io.BufferedReader, io.BufferedWriter, io.BufferedRandom)):
            io_object = io_object.detach()
    except (ValueError, OSError):
        pass


class FileObjectBlock(FileObjectBase):
    """A file object that blocks the thread: for what is always ready."""

    def __init__(self, fobj, *args, **kwargs):
        descriptor = OpenDescriptor(fobj, *args, **kwargs)
        super().__init__(descriptor)


class FileObjectThread(FileObjectBase):
    """A file object whose every call runs in the thread pool, while other greenlets run.

    *lock* makes calls take turns (True: a lock of its own; False: they do not); *threadpool* is the
    hub's unless given. The other arguments are those of `OpenDescriptor`.
    """

    def __init__(self, *args, lock=True, threadpool=None, **kwargs):
        if lock is True:
            lock = Semaphore()
        elif not lock:
            lock = DummySemaphore()
        if not hasattr(lock, "__enter__"):
            raise TypeError(f"Expected a Semaphore or boolean, got {lock!r}")
        self.lock = lock
        self.threadpool = threadpool if threadpool is not None else get_hub().threadpool
        super().__init__(OpenDescriptor(*args, **kwargs))

    _THREADED = frozenset(
        [
            "read",
            "readinto",
            "readline",
            "readlines",
            "write",
            "writeall",
            "writelines",
            "xreadlines",
            "read1",
            "readinto1",
            "readall",
            "peek",
            "seek",
            "tell",
            "truncate",
            "flush",
        ]
    )

    def __getattr__(self, name):
        result = super().__getattr__(name)
        if name in self._THREADED and callable(result):
            return self._in_thread(result)
        return result

    def _in_thread(self, method):
        def call(*args, **kwargs):
            with self.lock:
                if self.closed:
                    raise FileObjectClosed
                return self.threadpool.apply(method, args, kwargs)

        call.__name__ = getattr(method, "__name__", "call")
        call.__doc__ = method.__doc__
        return call

    def _do_close(self, io_object, closefd):
        with self.lock:
            self.threadpool.apply(super()._do_close, (io_object, closefd))

    def _extra_repr(self):
        return f" threadpool={self.threadpool!r}"
