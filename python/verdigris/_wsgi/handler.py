"""One connection: requests in, the application's answers out, as long as both sides want to go on."""

import contextlib
import errno
import sys
import time
import traceback
from datetime import datetime
from email.utils import formatdate
from functools import lru_cache
from socket import MSG_DONTWAIT
from urllib.parse import unquote

from .._core import GreenletExit
from . import request
from .body import MAX_REQUEST_LINE, Input
from .environ import SecureEnviron
from .errors import ANSWERS, BAD_REQUEST, REQUEST_TOO_LONG, InvalidClientInput, InvalidClientRequest

# What is read of a request that was refused, so that the client is not told "connection reset" before it has our answer.
_LEFT_OVER = 65536


class WSGIHandler:
    """Handles HTTP requests from a socket: makes the WSGI environment, calls the application, sends what it says.

    *sock* and *address* are those of an accepted connection, *server* is a `WSGIServer`. *rfile* is a file to read
    from, by default one of the socket. What subclasses of gevent's handler override is here under the same name.
    """

    protocol_version = "HTTP/1.1"

    #: What an application's breach of WSGI raises in it.
    ApplicationError = AssertionError

    #: Errors of sending that mean only that the client has gone.
    ignored_socket_errors = (errno.EPIPE, errno.ECONNRESET)

    _print_unexpected_exc = staticmethod(traceback.print_exc)

    # Of the connection.
    close_connection = False
    connection_upgraded = False

    # Of the request.
    requestline = None
    command = None
    path = None
    request_version = None
    headers = request.OldMessage()
    content_length = 0
    environ = None
    application = None
    wsgi_input = None
    time_start = 0
    time_finish = 0

    # Of the response. `status` and `response_headers` are bytes: what is sent.
    status = None
    _orig_status = None
    code = None
    response_headers = None
    provided_content_length = None
    provided_date = None
    headers_sent = False
    response_use_chunked = False
    response_length = 0
    result = None

    def __init__(self, sock, address, server, rfile=None):
        self.socket = sock
        self.client_address = address
        self.server = server
        self.rfile = sock.makefile("rb", -1) if rfile is None else rfile

    def handle(self):
        """Handles requests until one of the sides has enough. Called by the server, once."""
        try:
            while self.socket is not None:
                self.time_start = time.time()
                self.time_finish = 0
                answer = self.handle_one_request()
                if answer is None:
                    break
                if answer is True:
                    continue
                self.status, response = answer
                self._sendall(response)
                self.time_finish = time.time()
                self.log_request()
                self._drain()
                break
        except OSError as error:
            if error.errno not in self.ignored_socket_errors:
                raise
        finally:
            self._let_go()

    def _drain(self):
        with contextlib.suppress(OSError, ValueError):
            left = _LEFT_OVER
            while left > 0:
                # TLS takes no flags (ValueError): there, the answer is not lost.
                read = len(self.socket.recv(left, MSG_DONTWAIT))
                if not read:
                    break
                left -= read

    def _let_go(self):
        # The files go, too: they may be kept by an environment that the application keeps.
        if self.wsgi_input is not None:
            self.wsgi_input.rfile = self.wsgi_input.socket = None
        with contextlib.suppress(OSError):
            self.rfile.close()
        if self.socket is not None:
            self.socket.close()
        self.__dict__.pop("socket", None)
        self.__dict__.pop("rfile", None)
        self.__dict__.pop("wsgi_input", None)

    # Requests

    def handle_one_request(self):
        """Handles a request: None if it was the last, True if there may be more, or an error's status and whole response."""
        if self.rfile.closed:
            return None
        try:
            self.requestline = self.read_requestline()
        except OSError:
            # Between two requests a client may go as it likes.
            return None
        if not self.requestline:
            return None
        if isinstance(self.requestline, bytes):
            self.requestline = self.requestline.decode("latin-1")
        self.response_length = 0
        if len(self.requestline) >= MAX_REQUEST_LINE:
            return "414", REQUEST_TOO_LONG
        try:
            if not self.read_request(self.requestline):
                return "400", BAD_REQUEST
            self.environ = self.get_environ()
        except Exception as error:
            return self._handle_client_error(error)
        self.application = self.server.application
        self.handle_one_response()
        if self.close_connection or self.rfile.closed:
            return None
        return True

    def read_requestline(self):
        """Reads the first line of a request; what is not one, but empty, is passed over. Empty at the end."""
        line = self.rfile.readline(MAX_REQUEST_LINE)
        if line == b"\r\n":
            line = self.rfile.readline(MAX_REQUEST_LINE)
        return line

    def read_request(self, raw_requestline):
        """Parses the request's line and reads its headers. False, or an error, if the client is to be told that it is wrong."""
        self.requestline = raw_requestline.rstrip()
        self.command, self.path, self.request_version = request.parse_request_line(self.requestline)
        if not self._check_http_version():
            raise InvalidClientRequest(f"not a version of HTTP that is spoken here: {self.request_version!r}")
        if self.request_version == "HTTP/0.9":
            self.headers = request.OldMessage()
        else:
            self.headers = self.MessageClass(self.rfile, 0)
        self.content_length = request.content_length(self.headers)
        self.close_connection = request.closes_connection(self.request_version, self.headers)
        return True

    def MessageClass(self, *args):
        return request.headers_factory(*args)

    def _check_http_version(self):
        return self.request_version.startswith("HTTP/")

    def _connection_upgrade_requested(self):
        return request.wants_upgrade(self.headers)

    def _handle_client_error(self, ex):
        if isinstance(ex, InvalidClientRequest):
            self.log_error("%s", ex.formatted_message)
        elif not isinstance(ex, OSError):
            self._print_unexpected_exc()
            self.log_error("Invalid request: %s", str(ex) or type(ex).__name__)
        return "400", BAD_REQUEST

    def get_environ(self):
        """The environment of this request."""
        env = self.server.get_environ()
        path, _, query = self.path.partition("?")
        env["REQUEST_METHOD"] = self.command
        env["PATH_INFO"] = unquote(path, encoding="latin-1")
        env["QUERY_STRING"] = query
        env["SERVER_PROTOCOL"] = self.request_version
        if isinstance(self.client_address, tuple):
            env["REMOTE_ADDR"] = str(self.client_address[0])
            env["REMOTE_PORT"] = str(self.client_address[1])
        else:
            # A client on a Unix socket has no name.
            env["REMOTE_ADDR"] = env["REMOTE_PORT"] = ""
        content_type = self.headers.get("Content-Type")
        if content_type is not None:
            env["CONTENT_TYPE"] = _unfold(content_type)
        length = self.headers.get("Content-Length")
        if length is not None:
            env["CONTENT_LENGTH"] = length
        for key, value in self._headers():
            if key not in env or not key.startswith("HTTP_"):
                env[key] = value
            else:
                env[key] += ("; " if "COOKIE" in key else ",") + value
        chunked = request.is_chunked(self.headers)
        expects = self.headers.get("Expect", "").strip().lower() == "100-continue"
        asked = self.socket if expects and self.request_version >= "HTTP/1.1" else None
        self.wsgi_input = Input(self.rfile, self.content_length, socket=asked, chunked_input=chunked)
        env["wsgi.input"] = self.wsgi_input
        # The body ends where the input does, unless it is the beginning of another protocol.
        env["wsgi.input_terminated"] = not self._connection_upgrade_requested()
        return env

    def _headers(self):
        """The keys and values that headers get in the environment. Names with an underscore cannot be told from those with a
        dash there, so they are left out: nobody can forge the header of a proxy that way."""
        for name, value in self.headers.items():
            if "_" in name:
                continue
            key = name.replace("-", "_").upper()
            if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                yield "HTTP_" + key, _unfold(value)

    # Responses

    def handle_one_response(self):
        """Calls the application and sends what it answers."""
        self.time_start = time.time()
        self.time_finish = 0
        self.status = self._orig_status = self.code = None
        self.response_headers = None
        self.provided_content_length = self.provided_date = None
        self.headers_sent = self.response_use_chunked = self.connection_upgraded = False
        self.result = None
        self.response_length = 0
        try:
            try:
                self.run_application()
            finally:
                self._discard_input()
        except InvalidClientInput as error:
            self.log_error("%s", error)
            self._send_error_response_if_possible(400)
        except OSError as error:
            if error.errno in self.ignored_socket_errors:
                self.close_connection = True
            else:
                self.handle_error(*sys.exc_info())
        except BaseException:
            self.handle_error(*sys.exc_info())
        finally:
            self.time_finish = time.time()
            self.log_request()

    def _discard_input(self):
        if self.close_connection or self.connection_upgraded:
            return
        try:
            self.wsgi_input._discard()
        except OSError:
            # Where the next request begins is not known.
            self.close_connection = True

    def run_application(self):
        """Calls the application and sends its result."""
        try:
            self.result = self.application(self.environ, self.start_response)
            self.process_result()
        finally:
            close = getattr(self.result, "close", None)
            self.result = None
            if close is not None:
                close()

    def process_result(self):
        """Sends what the application returned."""
        if isinstance(self.result, (list, tuple)) and self.status is not None and not self.headers_sent:
            # With the headers, in one piece.
            self.write(b"".join(map(_bytes, self.result)))
        else:
            for data in self.result:
                if data:
                    self.write(data)
            if self.status is None:
                self.log_error("the application returned without having called start_response()")
                return self._send_error_response_if_possible(500)
            if not self.headers_sent:
                self.write(b"")
        if self.response_use_chunked:
            self._sendall(b"0\r\n\r\n")

    def start_response(self, status, headers, exc_info=None):
        """What an application calls before it answers (PEP 3333); returns `write`.

        Raises UnicodeError for what cannot be sent as Latin-1, and ValueError for a status or a header with a line's
        end in it, which would let others put headers into our answers.
        """
        if exc_info:
            try:
                if self.headers_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.headers_sent:
            raise self.ApplicationError("start_response() was called again after the headers were sent")

        encoded_status = _encoded(status, "status")
        encoded_headers = []
        given = {}
        for name, value in headers:
            encoded_headers.append((_encoded(name, "header name"), _encoded(value, "header value")))
            given[name.lower()] = value
        code = int(status.split(" ", 1)[0])
        length = given.get("content-length")
        if _has_no_body(code) and length is not None and length.strip() != "0":
            raise self.ApplicationError(
                f"Invalid Content-Length for {code} response: {length!r} (must be absent or zero)"
            )

        self.status = encoded_status
        self.code = code
        self.response_headers = encoded_headers
        self.provided_content_length = length
        self.provided_date = given.get("date")
        self.connection_upgraded = code == 101
        options = given.get("connection", "").lower()
        if self.connection_upgraded or "close" in options:
            self.close_connection = True
        return self.write

    def write(self, data):
        """Sends a piece of the body, and the headers before the first."""
        if data and _has_no_body(self.code):
            raise self.ApplicationError(f"The {self.code} response must have no body")
        data = _bytes(data)
        if self.headers_sent:
            self._write(data)
        elif self.status is None:
            raise self.ApplicationError("The application did not call start_response()")
        else:
            self._write_with_headers(data)

    def _write(self, data):
        if data and self.command != "HEAD":
            self._sendall(self._framed(data))

    def _write_with_headers(self, data):
        self.finalize_headers(len(data))
        self.headers_sent = True
        head = [b"HTTP/1.1 %s\r\n" % self.status]
        head += [b"%s: %s\r\n" % header for header in self.response_headers]
        head.append(b"\r\n")
        if data and self.command != "HEAD":
            head.append(self._framed(data))
        self._sendall(b"".join(head))

    def _framed(self, data):
        return b"%x\r\n%s\r\n" % (len(data), data) if self.response_use_chunked else data

    def finalize_headers(self, length=0):
        """Adds the headers that say how the body ends, if the application did not, and the date."""
        headers = self.response_headers
        if self.provided_date is None:
            headers.append((b"Date", _http_date(int(time.time()))))
        has_body = not _has_no_body(self.code) and not self.connection_upgraded
        if has_body and self.provided_content_length is None:
            if hasattr(self.result, "__len__"):
                # All of it is known. What went through `write` before comes on top.
                total = length if isinstance(self.result, (list, tuple)) else sum(map(len, self.result))
                headers.append((b"Content-Length", b"%d" % total))
            elif self.command == "HEAD":
                pass
            elif self.request_version >= "HTTP/1.1":
                self.response_use_chunked = True
                headers.append((b"Transfer-Encoding", b"chunked"))
            else:
                # The end of the body is that of the connection.
                self.close_connection = True
        if all(name.lower() != b"connection" for name, _ in headers):
            if self.close_connection:
                headers.append((b"Connection", b"close"))
            elif self.request_version == "HTTP/1.0":
                headers.append((b"Connection", b"keep-alive"))

    def _sendall(self, data):
        try:
            self.socket.sendall(data)
        except OSError as error:
            self._orig_status = self.status
            self.status = f"socket error: {error}"
            if self.code is not None and self.code > 0:
                self.code = -self.code
            self.close_connection = True
            raise
        self.response_length += len(data)

    # Errors and the log

    def handle_error(self, t, v, tb):
        """An exception of the application: reported by the hub; the client gets a status of 500, if there is time for one."""
        if not issubclass(t, GreenletExit):
            context = self.environ
            if not isinstance(context, SecureEnviron):
                context = self.server.secure_environ_class(context)
            self.server.loop.handle_error(context, t, v, tb)
        del tb
        self._send_error_response_if_possible(500)

    def _send_error_response_if_possible(self, error_code):
        if self.response_length:
            # Half an answer is out: the client sees that it is no more by the end of the connection.
            self.close_connection = True
            return
        status, headers, body = ANSWERS[error_code]
        self.headers_sent = False
        self.response_use_chunked = False
        try:
            self.start_response(status, list(headers))
            self.write(body)
        except OSError:
            self.close_connection = True

    def _log_error(self, t, v, tb):
        self.log_error("%s", "".join(traceback.format_exception(t, v, tb)))

    def log_error(self, msg, *args):
        """Writes to the server's log of errors."""
        try:
            message = msg % args
        except (TypeError, ValueError):
            message = f"{msg!r} {args!r}"
        with contextlib.suppress(OSError):
            message = f"{self.socket}: {message}"
        self.server.error_log.write(f"[{_now()}] {message}\n")

    def format_request(self):
        """The line of the access log about this request."""
        now = _now()
        if isinstance(self.client_address, tuple):
            client = self.client_address[0]
        else:
            client = self.client_address or "-"
        seconds = f"{self.time_finish - self.time_start:.6f}" if self.time_finish else "-"
        status = self._orig_status or self.status or "000"
        if isinstance(status, bytes):
            status = status.decode("latin-1")
        code = status.split()[0]
        line = (self.requestline or "").rstrip()
        return f'{client or "-"} - - [{now}] "{line}" {code} {self.response_length or "-"} {seconds}'

    def log_request(self):
        """Writes to the server's access log."""
        self.server.log.write(self.format_request() + "\n")


def _bytes(data):
    """A piece of the body. PEP 3333 wants bytes; gevent takes text, too."""
    return data.encode("latin-1") if isinstance(data, str) else bytes(data)


def _encoded(text, what):
    """The Latin-1 bytes of a part of the response's head."""
    if not isinstance(text, str):
        raise UnicodeError(f"The {what} must be a native string, not {type(text).__name__}: {text!r}")
    encoded = text.encode("latin-1")
    if "\r" in text or "\n" in text:
        raise ValueError(f"carriage return or newline in {what}", text)
    return encoded


def _unfold(value):
    """The value of a header that was continued on the next line."""
    return " ".join(map(str.strip, value.splitlines())) if "\n" in value or "\r" in value else value


def _has_no_body(code):
    return code in (204, 304)


def _now():
    return datetime.now().replace(microsecond=0)


@lru_cache(maxsize=2)
def _http_date(second):
    return formatdate(second, usegmt=True).encode("ascii")
