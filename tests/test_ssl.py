"""`verdigris.ssl`: TLS on our sockets, with the standard module's own code."""

from __future__ import annotations

import gc
import os
import ssl as standard
import weakref
from pathlib import Path

import pytest
import verdigris
from verdigris import socket, ssl

CERTIFICATE = str(Path(__file__).parent / "data" / "localhost.pem")


@pytest.fixture(params=["TLSv1_2", "TLSv1_3"])
def version(request):
    return ssl.TLSVersion[request.param]


@pytest.fixture
def server_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


@pytest.fixture
def client_context():
    return ssl.create_default_context(cafile=CERTIFICATE)


def wrapped_pair(server_context, client_context, **client_arguments):
    """The two ends of a TLS connection, after their handshakes."""
    left, right = socket.socketpair()
    accepting = verdigris.spawn(server_context.wrap_socket, left, server_side=True)
    client_arguments.setdefault("server_hostname", "localhost")
    client = client_context.wrap_socket(right, **client_arguments)
    return client, accepting.get()


@pytest.fixture
def pair(server_context, client_context):
    client, server = wrapped_pair(server_context, client_context)
    with client, server:
        yield client, server


def test_bytes_both_ways(server_context, client_context, version):
    client_context.minimum_version = client_context.maximum_version = version
    client, server = wrapped_pair(server_context, client_context)
    with client, server:
        assert client.version() == server.version() == version.name.replace("_", ".")
        client.sendall(b"ping")
        assert server.recv(10) == b"ping"
        server.write(b"pong")
        assert client.read(10) == b"pong"


def test_what_is_known_of_the_other_side(pair):
    client, server = pair
    assert isinstance(client, socket.socket)
    assert client.getpeercert()["subject"] == ((("commonName", "localhost"),),)
    assert ssl.DER_cert_to_PEM_cert(client.getpeercert(True)).startswith("-----BEGIN CERTIFICATE")
    assert server.getpeercert() is None
    assert client.cipher() == server.cipher()
    assert client.server_hostname == "localhost"
    assert server.server_side
    assert client.get_channel_binding("tls-unique") is not None
    assert server.context.verify_mode is ssl.CERT_NONE
    with pytest.raises(NotImplementedError):
        client.dup()


def test_a_certificate_that_is_not_trusted(server_context):
    left, right = socket.socketpair()
    accepting = verdigris.spawn(server_context.wrap_socket, left, server_side=True)
    context = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError):
        context.wrap_socket(right, server_hostname="localhost")
    with pytest.raises(OSError):
        accepting.get()


def test_much_data_in_both_directions_at_once(pair):
    data = os.urandom(3_000_000)

    def receive(sock):
        received = bytearray()
        while len(received) < len(data):
            received += sock.recv(65536)
        return received

    receiving = [verdigris.spawn(receive, sock) for sock in pair]
    sending = [verdigris.spawn(sock.sendall, data) for sock in pair]
    verdigris.joinall(sending, raise_error=True)
    assert [greenlet.get() for greenlet in receiving] == [data, data]


def test_recv_into_and_makefile(pair):
    client, server = pair
    client.sendall(b"abc")
    buffer = bytearray(10)
    assert server.recv_into(buffer) == 3
    assert server.pending() == 0
    with client.makefile("rw", newline="\n") as file, server.makefile("rw", newline="\n") as other:
        file.write("line\n")
        file.flush()
        assert other.readline() == "line\n"


def test_many_handshakes_at_once(server_context, client_context):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listener = server_context.wrap_socket(listening, server_side=True, do_handshake_on_connect=False)

        def echo(connection):
            with connection:
                connection.do_handshake()
                connection.sendall(connection.recv(100))

        def serve():
            while True:
                verdigris.spawn(echo, listener.accept()[0])

        def client(number):
            plain = socket.create_connection(listener.getsockname())
            with client_context.wrap_socket(plain, server_hostname="localhost") as sock:
                sock.sendall(b"%d" % number)
                return sock.recv(100)

        serving = verdigris.spawn(serve)
        clients = [verdigris.spawn(client, number) for number in range(30)]
        assert [greenlet.get() for greenlet in clients] == [b"%d" % number for number in range(30)]
        serving.kill()
        listener.close()


def test_connect_wraps(server_context, client_context):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listener = server_context.wrap_socket(listening, server_side=True)
        accepting = verdigris.spawn(listener.accept)
        with client_context.wrap_socket(socket.socket(), server_hostname="localhost") as client:
            client.connect(listener.getsockname())
            server = accepting.get()[0]
            client.send(b"x")
            assert server.recv(1) == b"x"
            server.close()
        listener.close()


@pytest.mark.parametrize(
    "operation, message",
    [
        (lambda sock: sock.recv(1), "The read operation timed out"),
        (lambda sock: sock.recv_into(bytearray(1)), "The read operation timed out"),
        (lambda sock: sock.sendall(b"x" * 50_000_000), "The write operation timed out"),
    ],
)
def test_timeouts_say_what_took_too_long(pair, operation, message):
    pair[0].settimeout(0.01)
    with pytest.raises(TimeoutError, match=message):
        operation(pair[0])


def test_a_handshake_times_out(client_context):
    left, right = socket.socketpair()
    right.settimeout(0.01)
    with left, pytest.raises(TimeoutError, match="The handshake operation timed out"):
        client_context.wrap_socket(right, server_hostname="localhost")


def test_not_blocking(pair):
    client, _ = pair
    client.setblocking(False)
    with pytest.raises(ssl.SSLWantReadError):
        client.recv(1)
    with pytest.raises(ssl.SSLWantWriteError):
        while True:
            client.send(b"x" * 100_000)


def test_closing_wakes_who_waits(pair):
    reading = verdigris.spawn(pair[0].recv, 1)
    verdigris.sleep(0)
    pair[0].close()
    with pytest.raises(socket.cancel_wait_ex):
        reading.get(timeout=5)


def test_unwrap_leaves_a_plain_socket(pair):
    client, server = pair
    unwrapping = verdigris.spawn(server.unwrap)
    assert client.unwrap() is client
    assert unwrapping.get() is server
    client.sendall(b"plain")
    assert server.recv(10) == b"plain"
    with pytest.raises(ValueError, match="No SSL wrapper"):
        client.unwrap()


def test_alpn_sni_and_sessions(server_context, client_context):
    seen = []
    server_context.sni_callback = lambda sock, name, context: seen.append((type(sock), name, context))
    server_context.set_alpn_protocols(["h2", "http/1.1"])
    client_context.set_alpn_protocols(["http/1.1"])
    client_context.maximum_version = ssl.TLSVersion.TLSv1_2
    client, server = wrapped_pair(server_context, client_context)
    assert client.selected_alpn_protocol() == server.selected_alpn_protocol() == "http/1.1"
    assert seen == [(ssl.SSLSocket, "localhost", server_context)]
    session = client.session
    assert not client.session_reused
    client.close()
    server.close()
    client, server = wrapped_pair(server_context, client_context, session=session)
    assert client.session_reused
    client.close()
    server.close()


def test_get_server_certificate(server_context):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listener = server_context.wrap_socket(listening, server_side=True)
        accepting = verdigris.spawn(listener.accept)
        expected = Path(CERTIFICATE).read_text()
        assert ssl.get_server_certificate(listener.getsockname()).strip() in expected
        accepting.get()[0].close()
        listener.close()


def test_wrap_socket_of_old():
    left, right = socket.socketpair()
    accepting = verdigris.spawn(ssl.wrap_socket, left, certfile=CERTIFICATE, server_side=True)
    with ssl.wrap_socket(right, ca_certs=CERTIFICATE, cert_reqs=ssl.CERT_REQUIRED) as client, accepting.get() as server:
        client.send(b"x")
        assert server.recv(1) == b"x"
    with pytest.raises(ValueError, match="certfile must be specified"):
        ssl.wrap_socket(left, server_side=True)


def test_every_property_of_a_context_can_be_set_and_read(monkeypatch, client_context):
    """Also after `ssl.SSLContext` was replaced: the standard setters name the class they belong to."""
    monkeypatch.setattr(standard, "SSLContext", ssl.SSLContext)
    client_context.minimum_version = ssl.TLSVersion.TLSv1_2
    client_context.maximum_version = ssl.TLSVersion.TLSv1_3
    client_context.options |= ssl.OP_NO_TICKET
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    client_context.hostname_checks_common_name = False
    client_context._msg_callback = print
    assert client_context._msg_callback is print
    assert client_context.verify_mode is ssl.CERT_NONE
    assert client_context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert client_context.options & ssl.OP_NO_TICKET


def test_a_context_is_a_standard_context(client_context):
    assert isinstance(client_context, standard.SSLContext)
    assert isinstance(ssl._create_unverified_context(), ssl.SSLContext)
    assert isinstance(ssl._create_default_https_context(), ssl.SSLContext)


def test_no_cycle_keeps_a_connection_alive(server_context, client_context):
    client, server = wrapped_pair(server_context, client_context)
    server.close()
    gc.collect()
    gc.disable()
    try:
        alive = weakref.ref(client)
        client.close()
        del client
        assert alive() is None
    finally:
        gc.enable()


def test_a_message_that_nobody_sent(client_context):
    left, right = socket.socketpair()
    left.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with left, pytest.raises(ssl.SSLError):
        client_context.wrap_socket(right, server_hostname="localhost")


def test_an_end_without_goodbye(server_context, client_context):
    client, server = wrapped_pair(server_context, client_context)
    with client, socket.socket(fileno=server.detach()) as plain:
        plain.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    client, server = wrapped_pair(server_context, client_context, suppress_ragged_eofs=False)
    with client, socket.socket(fileno=server.detach()) as plain:
        plain.shutdown(socket.SHUT_WR)
        with pytest.raises(ssl.SSLEOFError):
            client.recv(1)


LATE = """
import ssl, sys
before = ssl.create_default_context(cafile=sys.argv[1])
subclass = type("Subclass", (ssl.SSLContext,), {})
from verdigris import monkey
monkey.patch_all(queue=False)
import socket
import verdigris
from verdigris.ssl import SSLSocket

server_context = subclass(ssl.PROTOCOL_TLS_SERVER)
server_context.minimum_version = ssl.TLSVersion.TLSv1_2
server_context.options |= ssl.OP_NO_TICKET
server_context.verify_mode = ssl.CERT_NONE
server_context.load_cert_chain(sys.argv[1])
before.verify_flags |= ssl.VERIFY_X509_STRICT
left, right = socket.socketpair()
accepting = verdigris.spawn(server_context.wrap_socket, left, server_side=True)
with before.wrap_socket(right, server_hostname="localhost") as client, accepting.get() as server:
    assert type(client) is type(server) is SSLSocket
    reading = verdigris.spawn(server.recv, 10)
    verdigris.sleep(0)
    client.send(b"late")
    assert reading.get() == b"late"
"""


def test_contexts_made_before_patching_are_cooperative():
    import subprocess
    import sys

    subprocess.run([sys.executable, "-W", "ignore", "-c", LATE, CERTIFICATE], check=True, timeout=30)


def test_the_class_can_be_called(client_context):
    """As gevent's: geventhttpclient does."""
    left, right = socket.socketpair()
    accepting = verdigris.spawn(ssl.SSLSocket, left, certfile=CERTIFICATE, server_side=True)
    with (
        ssl.SSLSocket(right, _context=client_context, server_hostname="localhost") as client,
        accepting.get() as server,
    ):
        assert type(client) is type(server) is ssl.SSLSocket
        client.sendall(b"ping")
        assert server.recv(10) == b"ping"
