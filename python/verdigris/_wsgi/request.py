"""The head of a request: its line, and its headers as the standard library parses them."""

import re
from email.errors import FirstHeaderLineIsContinuationDefect, MissingHeaderBodySeparatorDefect
from http.client import HTTPException, HTTPMessage, parse_headers

from .errors import InvalidClientRequest

# Other defects are of bodies that the parser expects behind the headers of mail.
_MALFORMED = (FirstHeaderLineIsContinuationDefect, MissingHeaderBodySeparatorDefect)

_VERSION = re.compile(r"HTTP/1\.[0-9]\Z")


class OldMessage(HTTPMessage):
    """Headers with the few methods of Python 2's that handlers may still call."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.status = ""

    def getheader(self, name, default=None):
        return self.get(name, default)

    @property
    def headers(self):
        """The lines of the headers."""
        for name, value in self._headers:
            yield f"{name}: {value}\r\n"

    @property
    def typeheader(self):
        """The Content-Type."""
        return self.get("content-type")


def headers_factory(fp, *args):
    """Reads headers up to the empty line."""
    try:
        headers = parse_headers(fp, _class=OldMessage)
    except HTTPException as error:
        raise InvalidClientRequest(f"the headers of the request are too long or too many: {error}") from None
    if any(isinstance(defect, _MALFORMED) for defect in headers.defects):
        raise InvalidClientRequest(f"the headers of the request are malformed: {headers.defects}")
    return headers


def parse_request_line(line):
    """The method, the path and the version of a request line."""
    words = line.split()
    if len(words) == 3:
        if not _VERSION.match(words[2]):
            raise InvalidClientRequest(f"not a version of HTTP that is spoken here: {words[2]!r}")
        return words
    if len(words) == 2 and words[0] == "GET":
        return *words, "HTTP/0.9"
    raise InvalidClientRequest(f"not a request: {line[:100]!r}")


def content_length(headers):
    """The Content-Length, None if there is none."""
    given = set(headers.get_all("Content-Length", ()))
    if not given:
        return None
    value = given.pop().strip()
    if given or not (value.isascii() and value.isdigit()):
        raise InvalidClientRequest(f"not a Content-Length: {headers.get_all('Content-Length')!r}")
    return int(value)


def is_chunked(headers):
    """Whether the body comes in chunks; other encodings are refused, because where such a body ends is not known."""
    encoding = headers.get("Transfer-Encoding", "identity").strip().lower()
    if encoding not in ("chunked", "identity"):
        raise InvalidClientRequest(f"a Transfer-Encoding that is not spoken here: {encoding!r}")
    return encoding == "chunked"


def wants_upgrade(headers):
    """Whether the client wants to speak another protocol after this request, as WebSocket."""
    options = {option.strip() for option in headers.get("Connection", "").lower().split(",")}
    return "upgrade" in options or headers.get("Upgrade", "").strip().lower() == "websocket"


def closes_connection(version, headers):
    """Whether this is the client's last request on the connection."""
    options = {option.strip() for option in headers.get("Connection", "").lower().split(",")}
    if "close" in options:
        return True
    return version < "HTTP/1.1" and "keep-alive" not in options
