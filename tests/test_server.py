"""`verdigris.server`: accepting, limits, errors, stopping."""

from __future__ import annotations

import errno
import gc
import io
import os
import resource
import socket as standard
from pathlib import Path

import pytest
import verdigris
from verdigris import pool, socket, ssl
from verdigris.event import Event
from verdigris.server import DatagramServer, StreamServer

CERTIFICATE = str(Path(__file__).parent / "data" / "localhost.pem")
ANYWHERE = ("127.0.0.1", 0)


def echo(sock, address):
    while data := sock.recv(4096):
        sock.sendall(data)


def ask(server, message=b"hello", timeout=10):
    with socket.create_connection(server.address, timeout=timeout) as sock:
        sock.sendall(message)
        return sock.recv(4096)


@pytest.fixture
def errors():
    """What the hub reports, without its traceback."""
    hub = verdigris.get_hub()
    hub.exception_stream = stream = io.StringIO()
    yield stream
    del hub.exception_stream


@pytest.mark.parametrize(
    "spawn", ["default", "raw", 5, verdigris.spawn, verdigris.spawn_raw, pool.Pool(5), pool.Group()]
)
def test_connections_are_handled_at_once_and_closed(spawn):
    with StreamServer(ANYWHERE, echo, spawn=spawn) as server:
        server.start()
        asking = [verdigris.spawn(ask, server, b"%d" % number) for number in range(20)]
        assert [greenlet.get() for greenlet in asking] == [b"%d" % number for number in range(20)]


def test_handled_in_the_loop():
    seen = []
    with StreamServer(ANYWHERE, lambda sock, address: seen.append(address), spawn=None) as server:
        server.start()
        with socket.create_connection(server.address) as sock:
            assert sock.recv(1) == b""
            assert seen == [sock.getsockname()]


def test_blocking_in_the_loop_is_refused(errors):
    with StreamServer(ANYWHERE, lambda sock, address: verdigris.sleep(1), spawn=None) as server:
        server.start()
        with socket.create_connection(server.address) as sock:
            assert sock.recv(1) == b""
    assert "Impossible to call blocking function in the event loop callback" in errors.getvalue()


def test_an_error_in_a_handler_harms_nobody_else(errors):
    def handle(sock, address):
        if sock.recv(100) == b"bad":
            raise ValueError("bad request")
        sock.sendall(b"good")

    with StreamServer(ANYWHERE, handle) as server:
        server.start()
        assert ask(server, b"bad") == b""
        assert ask(server) == b"good"
    assert "ValueError: bad request" in errors.getvalue()


def test_a_pool_limits_how_many_are_handled():
    gate = Event()
    running = []

    def handle(sock, address):
        running.append(address)
        gate.wait()
        running.remove(address)
        sock.sendall(b"done")

    with StreamServer(ANYWHERE, handle, spawn=2) as server:
        server.start()
        clients = [verdigris.spawn(ask, server) for _ in range(5)]
        while len(running) < 2:
            verdigris.sleep(0.001)
        for _ in range(20):
            verdigris.sleep(0)
        assert len(running) == 2
        assert server.full()
        gate.set()
        assert [greenlet.get() for greenlet in clients] == [b"done"] * 5


def test_stopping_waits_for_handlers_and_then_kills_them():
    ended = []

    def handle(sock, address):
        try:
            sock.recv(1)
        finally:
            ended.append(address)

    server = StreamServer(ANYWHERE, handle, spawn=3)
    server.start()
    with socket.create_connection(server.address) as sock:
        while not server.pool:
            verdigris.sleep(0.001)
        server.stop(timeout=0.01)
        assert len(ended) == 1
        assert sock.recv(1) == b""
    assert server.closed
    with pytest.raises(ConnectionRefusedError):
        ask(server)


def test_serve_forever_until_stopped():
    server = StreamServer(ANYWHERE, echo)
    serving = verdigris.spawn(server.serve_forever)
    while not server.started:
        verdigris.sleep(0)
    assert ask(server) == b"hello"
    server.stop()
    serving.get(timeout=5)


def test_accepting_pauses_and_resumes():
    with StreamServer(ANYWHERE, echo) as server:
        server.start()
        server.stop_accepting()
        with pytest.raises(TimeoutError):
            ask(server, timeout=0.02)
        server.start_accepting()
        assert ask(server) == b"hello"


def test_running_out_of_descriptors_pauses_is_told_once_and_recovers(errors):
    # What other tests left behind is to be closed before, not meanwhile.
    gc.collect()
    verdigris.get_hub().join(timeout=0.05)
    with StreamServer(ANYWHERE, echo) as server:
        server.start()
        server.max_delay = 0.01
        clients = [socket.socket() for _ in range(3)]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        # No descriptor is left, whatever their numbers are.
        lowest = os.open(os.devnull, os.O_RDONLY)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            for client in clients:
                client.connect(server.address)
                client.send(b"x")
            for _ in range(10):
                verdigris.sleep(0.005)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert errors.getvalue().count("failed with OSError") == 1
        for client in clients:
            assert client.recv(1) == b"x"
            client.close()
        assert ask(server) == b"hello"


def test_a_listener_that_is_no_longer_one_closes_the_server(errors, capsys):
    server = StreamServer(ANYWHERE, echo)
    server.start()

    def broken():
        raise OSError(errno.EBADF, "broken")

    server.do_read = broken
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.connect_ex(server.address)
        while server.started:
            verdigris.sleep(0.001)
    assert "failed with" in capsys.readouterr().err


@pytest.mark.parametrize("module", [socket, standard], ids=["ours", "standard"])
def test_a_listener_of_the_caller(module):
    listener = module.socket()
    listener.bind(ANYWHERE)
    listener.listen()
    with StreamServer(listener, echo) as server:
        assert server.address == listener.getsockname()
        server.start()
        assert ask(server) == b"hello"
        assert ask(server) == b"hello"
    assert listener.fileno() == -1


def test_a_unix_listener(tmp_path):
    path = str(tmp_path / "socket")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    with StreamServer(listener, echo) as server, socket.socket(socket.AF_UNIX) as sock:
        server.start()
        sock.connect(path)
        sock.send(b"x")
        assert sock.recv(1) == b"x"


def test_tls():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    client_context = ssl.create_default_context(cafile=CERTIFICATE)
    for arguments in ({"certfile": CERTIFICATE}, {"ssl_context": context}):
        with StreamServer(ANYWHERE, echo, **arguments) as server:
            assert server.ssl_enabled
            server.start()
            # One who never finishes the handshake holds nobody up.
            with socket.create_connection(server.address), socket.create_connection(server.address) as plain:
                with client_context.wrap_socket(plain, server_hostname="localhost") as sock:
                    sock.sendall(b"secret")
                    assert sock.recv(10) == b"secret"


def test_udp():
    class Echo(DatagramServer):
        def handle(self, data, address):
            self.sendto(data.upper(), address)

    with Echo(ANYWHERE) as server, socket.socket(type=socket.SOCK_DGRAM) as sock:
        server.start()
        sock.settimeout(5)
        for message in (b"one", b"two"):
            sock.sendto(message, server.address)
            assert sock.recvfrom(100) == (message.upper(), server.address)


@pytest.mark.parametrize(
    "address, expected",
    [
        (("127.0.0.1", 80), ("127.0.0.1", 80)),
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        (":80", ("", 80)),
        ("*:80", ("", 80)),
        (80, ("", 80)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_addresses(address, expected):
    server = StreamServer(address, echo)
    assert server.address == expected
    assert (server.server_host, server.server_port) == expected


@pytest.mark.parametrize(
    "arguments, error",
    [
        ((None, echo), TypeError),
        (("no port", echo), ValueError),
        ((ANYWHERE, None), TypeError),
    ],
)
def test_bad_arguments(arguments, error):
    with pytest.raises(error):
        StreamServer(*arguments)
    with pytest.raises(TypeError, match="backlog must be None"), socket.create_server(ANYWHERE) as listener:
        StreamServer(listener, echo, backlog=5)


def test_what_it_shows():
    server = StreamServer(("127.0.0.1", 5), echo)
    assert str(server) == f"<StreamServer address=127.0.0.1:5 handle={echo}>"
    assert f"at {id(server):#x}" in repr(server)
    server.handle = server.do_close
    assert "of self>" in repr(server)


def test_an_address_in_use_is_named():
    with socket.create_server(ANYWHERE) as listener:
        server = StreamServer(listener.getsockname(), echo)
        server.reuse_addr = 0
        with pytest.raises(OSError, match=str(listener.getsockname()[1])):
            server.start()
