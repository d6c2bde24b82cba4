"""What clients can do wrong, and the answers to it."""


class InvalidClientInput(OSError):
    """The body of a request breaks the rules of its encoding."""


class InvalidClientRequest(ValueError):
    """The head of a request makes no sense."""

    def __init__(self, message):
        ValueError.__init__(self, message)
        self.formatted_message = message


def _answer(status, body):
    headers = (("Content-Type", "text/plain"), ("Connection", "close"), ("Content-Length", str(len(body))))
    return status, headers, body


def _whole(status):
    return f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-length: 0\r\n\r\n".encode("ascii")


#: The answers that are made like an application's: status, headers, body.
ANSWERS = {
    400: _answer("400 Bad Request", b""),
    500: _answer("500 Internal Server Error", b"Internal Server Error"),
}

#: The answers to what never got as far as an application: all bytes of them.
BAD_REQUEST = _whole("400 Bad Request")
REQUEST_TOO_LONG = _whole("414 Request URI Too Long")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
