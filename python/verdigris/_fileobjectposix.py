"""File objects on descriptors that do not block, waited for in the loop: pipes, terminals, sockets."""

import io
import os

from ._fileobjectcommon import FileObjectBase, OpenDescriptor, WriteIsWriteallMixin
from ._socketcommon import cancel_wait_ex, wait
from .hub import get_hub


class GreenFileDescriptorIO(io.RawIOBase):
    """A raw file on a descriptor that is made non-blocking; waiting lets other greenlets run.

    Regular files never have to be waited for: the kernel always answers at once.
    """

    def __init__(self, fileno, open_descriptor, closefd=True, name=None):
        super().__init__()
        self._closefd = closefd
        self._fileno = fileno
        self._descriptor = open_descriptor
        self._watchers = {}
        if name is not None:
            self.name = name
        self._was_blocking = os.get_blocking(fileno)
        os.set_blocking(fileno, False)
        if open_descriptor.appending:
            try:
                os.lseek(fileno, 0, os.SEEK_END)
            except OSError:
                pass  # not a file with an end

    @property
    def mode(self):
        """The mode, as `FileIO` shows it."""
        return self._descriptor.fileio_mode

    def readable(self):
        """Whether the mode allows to read."""
        return self._descriptor.can_read

    def writable(self):
        """Whether the mode allows to write."""
        return self._descriptor.can_write

    def seekable(self):
        """Whether the file has a position that can be set."""
        try:
            os.lseek(self._fileno, 0, os.SEEK_CUR)
        except OSError:
            return False
        return True

    def fileno(self):
        """The descriptor."""
        self._check_open()
        return self._fileno

    def isatty(self):
        """Whether it is a terminal."""
        self._check_open()
        return os.isatty(self._fileno)

    def _check_open(self):
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def readinto(self, b):
        """Read up to ``len(b)`` bytes into *b*, waiting for the first."""
        self._check_open()
        if not self.readable():
            raise io.UnsupportedOperation("not readable")
        while True:
            try:
                return os.readv(self._fileno, [b])
            except BlockingIOError:
                self._wait(1)

    def readall(self):
        """Read until the end of the file."""
        chunks = []
        while chunk := self._read_some(io.DEFAULT_BUFFER_SIZE):
            chunks.append(chunk)
        return b"".join(chunks)

    def _read_some(self, size):
        self._check_open()
        while True:
            try:
                return os.read(self._fileno, size)
            except BlockingIOError:
                self._wait(1)

    def write(self, b):
        """Write some of *b*, waiting until that is possible; returns how much."""
        self._check_open()
        if not self.writable():
            raise io.UnsupportedOperation("not writable")
        while True:
            try:
                return os.write(self._fileno, b)
            except BlockingIOError:
                self._wait(2)

    def seek(self, offset, whence=os.SEEK_SET):
        """Set the position."""
        self._check_open()
        return os.lseek(self._fileno, offset, whence)

    def tell(self):
        """The position."""
        return self.seek(0, os.SEEK_CUR)

    def truncate(self, size=None):
        """Cut the file off, at the position unless told where."""
        self._check_open()
        if size is None:
            size = self.tell()
        os.ftruncate(self._fileno, size)
        return size

    def _wait(self, events):
        watcher = self._watchers.get(events)
        hub = get_hub()
        if watcher is None or watcher.loop is not hub.loop:
            watcher = self._watchers[events] = hub.loop.io(self._fileno, events)
        wait(watcher, hub=hub)

    def close(self):
        """Close; greenlets that wait for the file get `cancel_wait_ex`."""
        if self.closed:
            return
        try:
            super().close()  # which flushes, and marks it as closed
        finally:
            watchers, self._watchers = list(self._watchers.values()), {}
            if any(watcher.active for watcher in watchers):
                get_hub().cancel_waits_close_and_then(watchers, cancel_wait_ex(), self._close_descriptor)
            else:
                for watcher in watchers:
                    watcher.close()
                self._close_descriptor()

    def _close_descriptor(self):
        if self._closefd:
            os.close(self._fileno)
        elif self._was_blocking:
            try:
                os.set_blocking(self._fileno, True)
            except OSError:
                pass  # its owner has closed it

    def __repr__(self):
        return f"<{type(self).__name__} at {id(self):#x} fileno={self._fileno} mode={self.mode!r}>"


class GreenFileDescriptorIOWriteall(WriteIsWriteallMixin, GreenFileDescriptorIO):
    """The same, whose `write` writes everything."""


class GreenOpenDescriptor(OpenDescriptor):
    """Opens files that are waited for in the loop."""

    def opened_raw(self):
        if self.is_fd():
            fileno, name, closefd = self.fobj, self.fobj, self.closefd
            if fileno < 0:
                raise ValueError(f"file descriptor cannot be a negative integer ({fileno})")
        elif hasattr(self.fobj, "fileno"):
            # An open file: it owns the descriptor and is closed along with this.
            fileno, name, closefd = self.fobj.fileno(), getattr(self.fobj, "name", None), False
            if not isinstance(fileno, int):
                raise TypeError("fileno() returned a non-integer")
        else:
            path = os.fspath(self.fobj)
            fileno, name, closefd = _open_path(path, self.fileio_mode), path, True
        kind = GreenFileDescriptorIO
        if self.atomic_write and self.buffering == 0 and self.can_write:
            kind = GreenFileDescriptorIOWriteall
        try:
            return kind(fileno, self, closefd=closefd, name=name)
        except BaseException:
            if closefd and not self.is_fd():
                os.close(fileno)
            raise


def _open_path(path, mode):
    """A new descriptor of the file at *path*, opened as `FileIO` does it."""
    native = io.FileIO(path, mode)
    try:
        return os.dup(native.fileno())
    finally:
        native.close()


class FileObjectPosix(FileObjectBase):
    """A file object on a descriptor that does not block; the arguments are those of `OpenDescriptor`.

    It makes the descriptor non-blocking, which others who have it open notice, too.
    """

    default_bufsize = io.DEFAULT_BUFFER_SIZE

    def __init__(self, *args, **kwargs):
        super().__init__(GreenOpenDescriptor(*args, **kwargs))

    def _wrap_io(self, io_object, descriptor):
        raw = io_object
        while not isinstance(raw, GreenFileDescriptorIO):
            raw = raw.buffer if isinstance(raw, io.TextIOBase) else raw.raw
        #: The raw file.
        self.fileio = raw
        return io_object
