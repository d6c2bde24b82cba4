"""The WSGI server: what it says to clients that keep the rules of HTTP, and to those that do not."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import verdigris
from verdigris import pywsgi, socket

CHUNKED = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    path = environ["PATH_INFO"]
    if path == "/echo":
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["REQUEST_METHOD"].encode(), b" ", body]
    if path == "/parts":
        start_response("200 OK", [])
        return iter([b"one", b"", b"two"])
    if path == "/environ":
        start_response("200 OK", [])
        return [repr(sorted((k, v) for k, v in environ.items() if k.isupper())).encode()]
    if path == "/silent":
        return []
    if path == "/inject":
        with pytest.raises(ValueError, match="carriage return or newline in header value"):
            start_response("200 OK", [("A", "b\r\nC: d")])
    start_response("404 Not Found", [("Content-Length", "4")])
    return [b"none"]


@contextlib.contextmanager
def serving(
    handle: Callable[..., Any] = application, listener: Any = ("127.0.0.1", 0), **options: Any
) -> Iterator[Any]:
    server = pywsgi.WSGIServer(listener, handle, **{"log": None, "error_log": None, **options})
    server.start()
    try:
        yield server
    finally:
        server.stop()


def talk(server: Any, request: bytes) -> bytes:
    """Everything that the server says to this request, until it closes the connection, or we after it has nothing to say."""
    with socket.create_connection(("127.0.0.1", server.server_port)) as connection, verdigris.Timeout(10):
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        said = b""
        while data := connection.recv(65536):
            said += data
        return said


def split(answer: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    return status, dict(line.split(b": ", 1) for line in lines), body


def test_a_list_has_a_length() -> None:
    with serving() as server:
        status, headers, body = split(talk(server, b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"))
    assert (status, body) == (b"HTTP/1.1 200 OK", b"POST hello")
    assert headers[b"Content-Length"] == b"10"
    assert headers[b"Date"].endswith(b"GMT")


def test_an_iterator_has_chunks_in_http_1_1_alone() -> None:
    with serving() as server:
        _, headers, body = split(talk(server, b"GET /parts HTTP/1.1\r\nHost: x\r\n\r\n"))
        assert (headers[b"Transfer-Encoding"], body) == (b"chunked", b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
        _, headers, body = split(talk(server, b"GET /parts HTTP/1.0\r\n\r\n"))
        assert b"Transfer-Encoding" not in headers
        assert (headers[b"Connection"], body) == (b"close", b"onetwo")


def test_requests_follow_each_other() -> None:
    request = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n%d"
    with serving() as server:
        said = talk(server, b"".join(request % number for number in range(9)))
    assert [b"POST %d" % number in said for number in range(9)] == [True] * 9
    assert said.count(b"200 OK") == 9


def test_a_body_nobody_read_is_passed_over() -> None:
    with serving() as server:
        first = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 26\r\n\r\nGET /echo HTTP/1.1\r\nX: y\r\n"
        said = talk(server, first + b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (said.count(b"404 Not Found"), said.count(b"200 OK")) == (1, 1)


def test_head_has_no_body() -> None:
    with serving() as server:
        status, headers, body = split(talk(server, b"HEAD /echo HTTP/1.1\r\nHost: x\r\n\r\n"))
    assert (status, headers[b"Content-Length"], body) == (b"HTTP/1.1 200 OK", b"5", b"")


def test_chunks_come_in() -> None:
    with serving() as server:
        _, _, body = split(talk(server, CHUNKED + b"\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"))
    assert body == b"POST abc0123456789"


def test_who_waits_for_100_is_asked_for_the_body_once() -> None:
    with serving() as server:
        said = talk(server, b"PUT /echo HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi")
    assert said.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert said.endswith(b"\r\n\r\nPUT hi")


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/3.0\r\n\r\n",
        b"GET / SPDY/1.1\r\n\r\n",
        b"GET  HTTP/1.1 x y\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"b" * 100_000 + b"\r\n\r\n",
        CHUNKED + b"\r\nx\r\n",
        CHUNKED + b"\r\n3\r\nabcd\r\n0\r\n\r\n",
        CHUNKED + b"\r\n" + b"0" * 20 + b"\r\n\r\n",
        CHUNKED + b"\r\n1;" + b"x" * 10_000 + b"\r\na\r\n0\r\n\r\n",
        CHUNKED + b"\r\n0\r\nnot a trailer\r\n\r\n",
        CHUNKED + b"\r\n0\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    ],
)
def test_a_broken_request_is_answered_once_and_the_connection_closed(request_: bytes) -> None:
    with serving() as server:
        said = talk(server, request_ + b"GET /echo HTTP/1.1\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert said.count(b"HTTP/1.1") == 1


def test_a_line_without_end_is_too_long() -> None:
    with serving() as server:
        assert talk(server, b"GET /" + b"x" * 20_000).startswith(b"HTTP/1.1 414 ")


def test_a_client_that_goes_away_is_no_error_of_the_server() -> None:
    with serving() as server:
        assert talk(server, b"") == b""
        assert talk(server, b"GET / HT").startswith(b"HTTP/1.1 400 ")
        assert b"200 OK" in talk(server, b"GET /echo HTTP/1.1\r\n\r\n")


def test_errors_of_the_application_go_to_the_hub_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[Any] = []
    monkeypatch.setattr(
        verdigris.get_hub(), "handle_error", lambda context, *error: reported.append((context, error[1]))
    )

    def fails(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        raise ZeroDivisionError("secret")

    with serving(fails) as server:
        status, _, body = split(talk(server, b"GET / HTTP/1.1\r\nAuthorization: hidden\r\nHost: x\r\n\r\n"))
    assert (status, body) == (b"HTTP/1.1 500 Internal Server Error", b"Internal Server Error")
    ((context, error),) = reported
    assert isinstance(error, ZeroDivisionError)
    assert "hidden" not in repr(context)
    assert context["HTTP_AUTHORIZATION"] == "hidden"


def test_an_application_that_says_nothing_is_an_error() -> None:
    errors = io.StringIO()
    with serving(error_log=errors) as server:
        assert talk(server, b"GET /silent HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 500 ")
    assert "without having called start_response()" in errors.getvalue()


def test_headers_cannot_be_injected() -> None:
    with serving() as server:
        assert b"C: d" not in talk(server, b"GET /inject HTTP/1.0\r\n\r\n")


def test_the_environment() -> None:
    request = b"GET /environ?q=%20 HTTP/1.1\r\nHost: x\r\nA-B: 1\r\na-b: 2\r\nA_B: forged\r\nCookie: c=1\r\nCookie: d=2\r\n\r\n"
    with serving(environ={"EXTRA": "yes"}) as server:
        environ = dict(eval(split(talk(server, request))[2]))
        assert environ["SERVER_PORT"] == str(server.server_port)
    expected = {
        "REQUEST_METHOD": "GET", "PATH_INFO": "/environ", "QUERY_STRING": "q=%20", "SCRIPT_NAME": "",
        "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "x", "HTTP_A_B": "1,2",
        "HTTP_COOKIE": "c=1; d=2", "EXTRA": "yes",
    }  # fmt: skip
    assert {key: environ.get(key) for key in expected} == expected


def test_the_log_has_a_line_a_request(caplog: pytest.LogCaptureFixture) -> None:
    lines = io.StringIO()
    with serving(log=lines) as server:
        talk(server, b"GET /echo HTTP/1.1\r\n\r\n")
    assert "127.0.0.1 - - [" in lines.getvalue()
    assert '"GET /echo HTTP/1.1" 200 ' in lines.getvalue()
    caplog.set_level(logging.INFO)
    with serving(log=logging.getLogger("access")) as server:
        talk(server, b"GET / HTTP/1.1\r\n\r\n")
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert '"GET / HTTP/1.1" 404 ' in caplog.messages[0]
    assert not caplog.messages[0].endswith("\n")


def test_a_hundred_clients_wait_for_each_other() -> None:
    arrived, everybody = [], verdigris.event.Event()

    def waits(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        arrived.append(environ["PATH_INFO"])
        if len(arrived) == 100:
            everybody.set()
        everybody.wait()
        start_response("200 OK", [])
        return [b"ok"]

    with serving(waits) as server:
        clients = [verdigris.spawn(talk, server, b"GET /%d HTTP/1.1\r\n\r\n" % number) for number in range(100)]
        verdigris.joinall(clients, raise_error=True)
    assert all(client.value.endswith(b"ok") for client in clients)
