"""The body of a request as the file that an application reads: so many bytes, or chunks until an empty one.

The chunked encoding is read strictly, byte by byte where a line could be made endless: what a proxy before us might read
in another way is an attack (request smuggling), and is refused.
"""

import string

from .errors import CONTINUE, InvalidClientInput

#: The longest line that is accepted anywhere in a request, in bytes.
MAX_REQUEST_LINE = 8192

_HEXADECIMAL = frozenset(string.hexdigits.encode())
_TOKEN = frozenset((string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~").encode())

# 16 digits are more than any file has.
_CHUNK_DIGITS = 16

# As many as the standard library allows headers.
_TRAILERS = 100

_NO_CHUNK = -1


class Input:
    """``wsgi.input``. Reading more than there is ends at the end; a client that goes away too early is an OSError.

    *socket* is given if the client waits to be told that its body is wanted: the first read does that.
    """

    __slots__ = (
        "_chunked_input_error",
        "chunk_length",
        "chunked_input",
        "content_length",
        "position",
        "rfile",
        "send_100_continue_enabled",
        "socket",
    )

    def __init__(self, rfile, content_length, socket=None, chunked_input=False):
        self.rfile = rfile
        self.content_length = content_length
        self.socket = socket
        self.chunked_input = chunked_input
        #: How many bytes were read: of the body, or of this chunk.
        self.position = 0
        #: Of the chunk that is being read; 0 after the last one.
        self.chunk_length = _NO_CHUNK
        self._chunked_input_error = False
        self.send_100_continue_enabled = True

    def read(self, length=None):
        """At most *length* bytes (all that is left, if None or negative), fewer only at the end."""
        if length is not None and length < 0:
            length = None
        return self._read_chunks(length) if self.chunked_input else self._read_plain(length, line=False)

    def readline(self, size=None):
        """A line with its end, at most *size* bytes of it; empty at the end of the body."""
        if size is not None and size < 0:
            size = None
        return self._read_chunks(size, line=True) if self.chunked_input else self._read_plain(size, line=True)

    def readlines(self, hint=None):
        return list(self)

    def __iter__(self):
        return self

    def __next__(self):
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    next = __next__

    def _discard(self):
        """Reads what nobody wanted, so that the next request starts where it starts."""
        if self._chunked_input_error:
            raise InvalidClientInput("the body of the request cannot be read to its end")
        self.send_100_continue_enabled = False
        while self.rfile is not None and self.read(16384):
            pass

    def _ask(self):
        if self.socket is not None and self.send_100_continue_enabled:
            self.socket.sendall(CONTINUE)
            self.socket = None

    def _read_plain(self, length, line):
        left = (self.content_length or 0) - self.position
        if length is None or length > left:
            length = left
        if length <= 0:
            return b""
        self._ask()
        data = self.rfile.readline(length) if line else self.rfile.read(length)
        self.position += len(data)
        if len(data) < length and not (line and data.endswith(b"\n")):
            raise OSError(f"unexpected end of file while reading request at position {self.position}")
        return data

    def _read_chunks(self, length, line=False):
        self._ask()
        parts = []
        while length is None or length > 0:
            if self.chunk_length == _NO_CHUNK:
                self._begin_chunk()
            if self.chunk_length == 0:
                break
            left = self.chunk_length - self.position
            wanted = left if length is None else min(left, length)
            data = self.rfile.readline(wanted) if line else self.rfile.read(wanted)
            ends_line = line and data.endswith(b"\n")
            if len(data) < wanted and not ends_line:
                raise self._broken(OSError("unexpected end of file while parsing chunked data"))
            parts.append(data)
            self.position += len(data)
            if length is not None:
                length -= len(data)
            if self.position == self.chunk_length:
                self.chunk_length = _NO_CHUNK
                self._expect(b"\r\n")
            if ends_line:
                break
        return b"".join(parts)

    def _begin_chunk(self):
        self.position = 0
        self.chunk_length = self._chunk_size()
        if self.chunk_length == 0:
            self._skip_trailers()

    def _chunk_size(self):
        digits = bytearray()
        while True:
            byte = self._byte()
            if byte in _HEXADECIMAL and len(digits) < _CHUNK_DIGITS:
                digits += bytes((byte,))
            elif digits and byte == 13:
                self._expect(b"\n")
                break
            elif digits and byte in b"; \t":
                self._skip_extension()
                break
            else:
                raise self._broken(
                    InvalidClientInput(f"the length of a chunk is not hexadecimal: {bytes(digits)!r} {byte!r}")
                )
        return int(digits, 16)

    def _skip_extension(self):
        for _ in range(MAX_REQUEST_LINE):
            if self._byte() == 13:
                return self._expect(b"\n")
        raise self._broken(InvalidClientInput(f"the extension of a chunk is longer than {MAX_REQUEST_LINE} bytes"))

    def _skip_trailers(self):
        for _ in range(_TRAILERS):
            line = self.rfile.readline(MAX_REQUEST_LINE)
            if line == b"\r\n":
                return
            if not line:
                raise self._broken(OSError("unexpected end of file while parsing chunked data"))
            name, colon, _ = line.partition(b":")
            if not (colon and name and line.endswith(b"\r\n") and _TOKEN.issuperset(name)):
                raise self._broken(InvalidClientInput(f"not a trailer of chunked data: {line[:100]!r}"))
        raise self._broken(InvalidClientInput(f"chunked data has more than {_TRAILERS} trailers"))

    def _byte(self):
        byte = self.rfile.read(1)
        if not byte:
            raise self._broken(OSError("unexpected end of file while parsing chunked data"))
        return byte[0]

    def _expect(self, end):
        found = self.rfile.read(len(end))
        if found != end:
            if not found:
                raise self._broken(OSError("unexpected end of file while parsing chunked data"))
            raise self._broken(InvalidClientInput(f"a chunk ends with {found!r}"))

    def _broken(self, error):
        self._chunked_input_error = True
        return error
