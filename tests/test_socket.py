"""`verdigris.socket`: sockets of every family, waits, time-outs, and what happens when they are closed."""

from __future__ import annotations

import copy
import errno
import gc
import io
import os
import pickle
import socket as standard
import threading
import warnings
import weakref

import pytest
import verdigris
from verdigris import socket
from verdigris.exceptions import ConcurrentObjectUseError


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def pair():
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def connected(listener):
    """A client and the server's end of its connection."""
    accepting = verdigris.spawn(listener.accept)
    client = socket.create_connection(listener.getsockname())
    return client, accepting.get()[0]


def test_a_tcp_connection_carries_bytes_both_ways(listener):
    client, server = connected(listener)
    with client, server:
        client.sendall(b"ping")
        assert server.recv(100) == b"ping"
        server.sendall(b"pong")
        assert client.recv(100) == b"pong"
        client.shutdown(socket.SHUT_WR)
        assert server.recv(100) == b""


def test_a_wait_lets_others_run(pair):
    left, right = pair
    order = []

    def reader():
        order.append("reads")
        order.append(left.recv(10))

    reading = verdigris.spawn(reader)
    verdigris.sleep(0)
    order.append("writes")
    right.send(b"x")
    reading.get()
    assert order == ["reads", "writes", b"x"]


def test_many_connections_at_once(listener):
    def echo(connection):
        with connection:
            while data := connection.recv(4096):
                connection.sendall(data)

    def serve():
        while True:
            verdigris.spawn(echo, listener.accept()[0])

    def client(number):
        message = b"%d" % number * 300
        with socket.create_connection(listener.getsockname()) as sock:
            for _ in range(20):
                sock.sendall(message)
                received = b""
                while len(received) < len(message):
                    received += sock.recv(4096)
                assert received == message
        return number

    serving = verdigris.spawn(serve)
    clients = [verdigris.spawn(client, number) for number in range(200)]
    verdigris.joinall(clients, raise_error=True)
    assert [greenlet.value for greenlet in clients] == list(range(200))
    serving.kill()


def test_sendall_of_more_than_the_kernel_takes(pair):
    left, right = pair
    data = os.urandom(5_000_000)
    sending = verdigris.spawn(left.sendall, memoryview(data))
    received = bytearray()
    while len(received) < len(data):
        received += right.recv(1 << 20)
    sending.get()
    assert received == data


@pytest.mark.parametrize("size", [1, 100, 16 * 1024, 16 * 1024 + 1, 1 << 20])
def test_recv_of_every_size(pair, size):
    left, right = pair
    left.sendall(b"abc")
    assert right.recv(size) == b"abc"[:size]


def test_recv_into(pair):
    left, right = pair
    left.sendall(b"abcdef")
    buffer = bytearray(10)
    assert right.recv_into(buffer, 2) == 2
    assert right.recv_into(memoryview(buffer)[2:]) == 4
    assert buffer == b"abcdef\0\0\0\0"
    with pytest.raises(TypeError, match="read-write bytes-like object, not bytes"):
        right.recv_into(b"abc")
    with pytest.raises(ValueError, match="buffer too small"):
        right.recv_into(buffer, 11)


def test_asking_for_nothing_waits_for_nothing(pair):
    assert pair[0].recv(0) == b""
    assert pair[0].recv_into(bytearray()) == 0
    with pytest.raises(ValueError, match="negative buffersize in recv"):
        pair[0].recv(-1)


@pytest.mark.parametrize(
    "family, host",
    [(socket.AF_INET, host) for host in ("127.0.0.1", "127.9.10.99", "127.100.109.255")] + [(socket.AF_INET6, "::1")],
)
def test_udp(family, host):
    try:
        receiver = socket.socket(family, socket.SOCK_DGRAM)
        receiver.bind((host, 0))
    except OSError:
        pytest.skip("no such family or address here")
    with receiver, socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.bind((host, 0))
        assert sender.sendto(b"first", receiver.getsockname()) == 5
        assert sender.sendto(b"second", 0, receiver.getsockname()) == 6
        assert receiver.recvfrom(100) == (b"first", sender.getsockname())
        buffer = bytearray(10)
        assert receiver.recvfrom_into(buffer) == (6, sender.getsockname())
        assert buffer[:6] == b"second"


def test_nobody_is_served_twice_before_everybody_was_served_once():
    count, rounds = 30, 20
    served = [0] * count

    def serve(sock, number):
        with sock:
            while data := sock.recv(100):
                served[number] += 1
                assert max(served) - min(served) <= 1
                sock.sendall(data)

    def ask(sock):
        with sock:
            for _ in range(rounds):
                sock.sendall(b"x")
                assert sock.recv(100) == b"x"

    askers, servers = [], []
    for number in range(count):
        # Not TCP, whose messages a loaded system may deliver in another order.
        asker, sock = socket.socketpair()
        askers.append(asker)
        servers.append(verdigris.spawn(serve, sock, number))
    verdigris.joinall([verdigris.spawn(ask, asker) for asker in reversed(askers)], raise_error=True)
    verdigris.joinall(servers, raise_error=True)
    assert served == [rounds] * count


@pytest.mark.parametrize("name", ["path", "abstract"])
def test_unix(tmp_path, name):
    address = str(tmp_path / "socket") if name == "path" else b"\0verdigris-test-%d" % os.getpid()
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:
        listening.bind(address)
        listening.listen()
        accepting = verdigris.spawn(listening.accept)
        client.connect(address)
        server, peer = accepting.get()
        with server:
            assert peer == ""
            assert client.getpeername() == address
            client.send(b"x")
            assert server.recv(1) == b"x"
            assert server.family is socket.AF_UNIX


def test_unix_datagrams_have_addresses(tmp_path):
    paths = [str(tmp_path / name) for name in ("one", "two")]
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as two,
    ):
        one.bind(paths[0])
        two.bind(paths[1])
        one.sendto(b"x", paths[1])
        assert two.recvfrom(10) == (b"x", paths[0])


def test_descriptors_are_passed(pair):
    left, right = pair
    reader, writer = os.pipe()
    receiving = verdigris.spawn(socket.recv_fds, right, 10, 1)
    verdigris.sleep(0)
    socket.send_fds(left, [b"fd"], [writer])
    os.close(writer)
    message, descriptors, _, _ = receiving.get()
    assert message == b"fd"
    os.write(descriptors[0], b"through")
    assert os.read(reader, 10) == b"through"
    os.close(reader)
    os.close(descriptors[0])


def test_a_host_name_is_resolved(listener):
    accepting = verdigris.spawn(listener.accept)
    with socket.socket() as sock:
        sock.connect(("localhost", listener.getsockname()[1]))
        accepting.get()[0].close()


# ---- time-outs


def test_recv_times_out(pair):
    pair[0].settimeout(0.01)
    with pytest.raises(TimeoutError, match="timed out"):
        pair[0].recv(1)
    assert socket.timeout is TimeoutError
    # It may be used again.
    pair[1].send(b"x")
    assert pair[0].recv(1) == b"x"


def test_sendall_times_out_as_a_whole(pair):
    left, right = pair
    left.settimeout(0.05)

    def trickle():
        # Something is read all the time, but it would take for ever.
        while True:
            right.recv(1000)
            verdigris.sleep(0.001)

    reading = verdigris.spawn(trickle)
    with pytest.raises(TimeoutError):
        left.sendall(b"x" * 50_000_000)
    reading.kill()


def test_accept_times_out(listener):
    listener.settimeout(0.01)
    with pytest.raises(TimeoutError):
        listener.accept()


def test_send_takes_a_timeout_of_its_own(pair):
    pair[0].settimeout(None)
    with pytest.raises(TimeoutError):
        while True:
            pair[0].send(b"x" * 100_000, timeout=0.01)


def test_a_verdigris_timeout_ends_a_wait(pair):
    with pytest.raises(verdigris.Timeout), verdigris.Timeout(0.01):
        pair[0].recv(1)
    pair[1].send(b"x")
    assert pair[0].recv(1) == b"x"


def test_kill_ends_a_wait(pair):
    reading = verdigris.spawn(pair[0].recv, 1)
    verdigris.sleep(0)
    reading.kill()
    pair[1].send(b"x")
    assert pair[0].recv(1) == b"x"


def test_not_blocking_is_told_at_once(pair):
    left, _ = pair
    left.setblocking(False)
    assert left.gettimeout() == 0.0
    assert not left.getblocking()
    with pytest.raises(BlockingIOError):
        left.recv(1)
    with pytest.raises(BlockingIOError):
        while True:
            left.send(b"x" * 100_000)
    left.setblocking(True)
    assert left.gettimeout() is None


@pytest.mark.parametrize(
    "value, error", [(-1, ValueError), (float("nan"), ValueError), ("1", TypeError), ([], TypeError)]
)
def test_a_bad_timeout_is_refused(pair, value, error):
    with pytest.raises(error):
        pair[0].settimeout(value)


def test_the_default_timeout_is_taken(listener):
    socket.setdefaulttimeout(5)
    try:
        with socket.socket() as sock:
            assert sock.gettimeout() == 5
        client, server = connected(listener)
        with client, server:
            assert server.gettimeout() == 5
    finally:
        socket.setdefaulttimeout(None)


# ---- connecting


def refused_address():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()


def test_connection_refused():
    with socket.socket() as sock:
        with pytest.raises(ConnectionRefusedError):
            sock.connect(refused_address())
    with socket.socket() as sock:
        assert sock.connect_ex(refused_address()) == errno.ECONNREFUSED
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(refused_address())
    with pytest.raises(ExceptionGroup):
        socket.create_connection(refused_address(), all_errors=True)


def test_connect_times_out():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        address = listening.getsockname()
        clients = []
        # Until the queue of connections that nobody accepts is full.
        with pytest.raises(TimeoutError):
            for _ in range(50):
                clients.append(socket.create_connection(address, timeout=0.2))
        with socket.socket() as sock:
            sock.settimeout(0.01)
            assert sock.connect_ex(address) == errno.EAGAIN
        for client in clients:
            client.close()


def test_connect_that_does_not_block(listener):
    with socket.socket() as sock:
        sock.setblocking(False)
        assert sock.connect_ex(listener.getsockname()) == errno.EINPROGRESS
        socket.wait_write(sock.fileno(), timeout=5)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


@pytest.mark.parametrize(
    "address, error",
    [
        (5, TypeError),
        (None, TypeError),
        ("127.0.0.1", TypeError),
        (("127.0.0.1", 70000), OverflowError),
        (("127.0.0.1", "http"), TypeError),
    ],
)
def test_bad_addresses_are_refused(address, error):
    with socket.socket() as sock, pytest.raises(error):
        sock.connect(address)


def test_a_full_unix_listener_is_waited_for(tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(1)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(10)]
        connecting = [verdigris.spawn(client.connect, path) for client in clients]
        verdigris.sleep(0)
        accepted = [listening.accept()[0] for _ in clients]
        verdigris.joinall(connecting, raise_error=True)
        for sock in clients + accepted:
            sock.close()


# ---- closing


CALLS = [
    ("recv", (1,)),
    ("recv_into", (bytearray(1),)),
    ("recvfrom", (1,)),
    ("send", (b"x",)),
    ("sendall", (b"x",)),
    ("sendto", (b"x", ("127.0.0.1", 1))),
    ("accept", ()),
    ("connect", (("127.0.0.1", 1),)),
    ("bind", (("127.0.0.1", 0),)),
    ("listen", ()),
    ("getsockname", ()),
    ("getpeername", ()),
    ("getsockopt", (1, 2)),
    ("setsockopt", (1, 2, 3)),
    ("shutdown", (2,)),
    ("dup", ()),
    ("recvmsg", (1,)),
    ("sendmsg", ([b"x"],)),
]


@pytest.mark.parametrize("method, arguments", CALLS)
def test_a_closed_socket_says_so(method, arguments):
    sock = socket.socket()
    sock.close()
    with pytest.raises(OSError) as caught:
        getattr(sock, method)(*arguments)
    assert caught.value.errno == errno.EBADF


def test_a_closed_socket_can_be_asked_about():
    sock = socket.socket()
    sock.close()
    sock.close()
    assert sock.closed
    assert sock.fileno() == -1
    assert sock.detach() == -1
    assert (sock.family, sock.type, sock.proto) == (socket.AF_INET, socket.SOCK_STREAM, 0)
    assert "[closed]" in repr(sock)


@pytest.mark.parametrize("end", ["close", "detach", "shutdown"])
def test_closing_wakes_who_waits(end):
    left, right = socket.socketpair()
    reading = verdigris.spawn(left.recv, 1)
    verdigris.sleep(0)
    if end == "close":
        left.close()
    elif end == "detach":
        os.close(left.detach())
    else:
        left.shutdown(socket.SHUT_RDWR)
    with pytest.raises(socket.cancel_wait_ex) as caught:
        reading.get(timeout=5)
    assert caught.value.errno == errno.EBADF
    left.close()
    right.close()


def test_a_descriptor_number_used_again_wakes_the_new_user():
    for _ in range(20):
        left, right = socket.socketpair()
        reading = verdigris.spawn(left.recv, 1)
        verdigris.sleep(0)
        left.close()
        with pytest.raises(OSError):
            reading.get()
        right.close()
        left, right = socket.socketpair()
        reading = verdigris.spawn(left.recv, 1)
        verdigris.sleep(0)
        right.send(b"x")
        assert reading.get(timeout=5) == b"x"
        left.close()
        right.close()


def test_two_readers_are_refused(pair):
    left, right = pair
    reading = verdigris.spawn(left.recv, 1)
    verdigris.sleep(0)
    with pytest.raises(ConcurrentObjectUseError, match="already used by another greenlet"):
        left.recv(1)
    # One may read while another writes.
    left.send(b"x")
    right.send(b"y")
    assert reading.get() == b"y"


def test_a_file_keeps_the_descriptor_open(pair):
    left, right = pair
    with left.makefile("rb") as file:
        left.close()
        right.sendall(b"line\nrest")
        right.close()
        assert file.readline() == b"line\n"
        assert file.read() == b"rest"
        assert left.fileno() != -1
    assert left.fileno() == -1


def test_text_files(pair):
    left, right = pair
    with left.makefile("rw", encoding="utf-8", newline="\n") as file, right.makefile("rw", encoding="utf-8") as other:
        file.write("grün\n")
        file.flush()
        assert other.readline() == "grün\n"
    with pytest.raises(ValueError, match="invalid mode"):
        left.makefile("x")


@pytest.mark.parametrize("which", ["made", "accepted"])
def test_an_unclosed_socket_warns_and_is_closed(listener, which):
    client, server = connected(listener)
    sock, other = (client, server) if which == "made" else (server, client)
    del client, server
    descriptor = sock.fileno()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del sock
        gc.collect()
    assert [warning.category for warning in caught] == [ResourceWarning]
    with pytest.raises(OSError):
        os.fstat(descriptor)
    other.close()


# ---- the object


def test_it_is_no_dictionary_and_can_be_weakly_referenced():
    with socket.socket() as sock:
        assert not hasattr(sock, "__dict__")
        with pytest.raises(AttributeError):
            sock.connect = None
        assert weakref.ref(sock)() is sock


def test_it_is_not_pickled_or_copied():
    with socket.socket() as sock:
        for function in (pickle.dumps, copy.copy):
            with pytest.raises(TypeError, match="Cannot serialize"):
                function(sock)


def test_subclasses_may_have_their_own_arguments():
    class Named(socket.socket):
        def __init__(self, name):
            super().__init__(socket.AF_INET, socket.SOCK_DGRAM)
            self.name = name

    with Named("it") as sock:
        assert sock.name == "it"
        assert sock.type is socket.SOCK_DGRAM


def test_dup_detach_and_fromfd(pair):
    left, right = pair
    left.settimeout(3)
    with left.dup() as twin:
        assert twin.gettimeout() == 3
        twin.send(b"dup")
        assert right.recv(10) == b"dup"
    descriptor = left.detach()
    assert left.closed
    with socket.fromfd(descriptor, socket.AF_UNIX, socket.SOCK_STREAM) as twin:
        os.close(descriptor)
        twin.send(b"fd")
        assert right.recv(10) == b"fd"


def test_a_descriptor_says_what_it_is(listener):
    with socket.socket(fileno=os.dup(listener.fileno())) as sock:
        assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
    with pytest.raises(OSError):
        socket.socket(fileno=10**6)


def test_ref_says_whether_a_wait_keeps_the_loop_running(pair):
    assert pair[0].ref
    pair[0].ref = False
    assert not pair[0].ref
    assert not pair[0]._read_event.ref
    assert not pair[0]._write_event.ref
    reading = verdigris.spawn(pair[0].recv, 1)
    verdigris.sleep(0)
    # Nothing else is to be done: what is not counted does not keep anybody.
    assert verdigris.get_hub().join(timeout=5)
    reading.kill()


def test_the_standard_names_are_all_there():
    assert set(standard.__all__) <= set(socket.__all__)
    for name in socket.__all__:
        getattr(socket, name)


def test_sendfile(pair, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 4000)
    left, right = pair

    def receive():
        received = b""
        while data := right.recv(65536):
            received += data
        return received

    receiving = verdigris.spawn(receive)
    with path.open("rb") as file:
        assert left.sendfile(file, 10, 500_000) == 500_000
        assert file.tell() == 500_010
        assert left.sendfile(io.BytesIO(b"memory")) == 6
    left.close()
    assert receiving.get() == path.read_bytes()[10:500_010] + b"memory"


# ---- waiting for any descriptor


def test_wait_read_and_write():
    reader, writer = os.pipe()
    socket.wait_write(writer)
    with pytest.raises(TimeoutError):
        socket.wait_read(reader, timeout=0.01)
    with pytest.raises(KeyError):
        socket.wait_read(reader, timeout=0.01, timeout_exc=KeyError("mine"))
    waiting = verdigris.spawn(socket.wait_read, reader)
    verdigris.sleep(0)
    os.write(writer, b"x")
    waiting.get(timeout=5)
    os.close(reader)
    os.close(writer)
    with pytest.raises(ValueError):
        socket.wait_read(-1)


def test_waiting_for_a_sockets_descriptor_is_not_fooled_by_what_is_remembered(pair):
    left, right = pair
    left.settimeout(0.01)
    with pytest.raises(TimeoutError):
        left.recv(1)
    right.send(b"xy")
    left.settimeout(None)
    assert left.recv(1) == b"x"
    socket.wait_read(left.fileno(), timeout=5)
    assert left.recv(1) == b"y"
    with pytest.raises(TimeoutError):
        socket.wait_read(left.fileno(), timeout=0.01)
    right.send(b"z")
    assert left.recv(1) == b"z"


def test_data_read_behind_the_sockets_back(pair):
    left, right = pair
    reading = verdigris.spawn(left.recv, 10)
    verdigris.sleep(0)
    right.send(b"one")
    assert reading.get() == b"one"
    right.send(b"two")
    verdigris.sleep(0)
    assert os.read(left.fileno(), 10) == b"two"
    reading = verdigris.spawn(left.recv, 10)
    verdigris.sleep(0)
    right.send(b"three")
    assert reading.get(timeout=5) == b"three"


# ---- threads


def test_a_socket_used_in_another_thread(pair):
    left, right = pair
    reading = verdigris.spawn(left.recv, 10)
    verdigris.sleep(0)
    right.send(b"here")
    assert reading.get() == b"here"
    results = []

    def elsewhere():
        for _ in range(3):
            results.append(left.recv(10))
            left.sendall(b"answer")

    thread = threading.Thread(target=elsewhere)
    thread.start()
    for _ in range(3):
        right.sendall(b"there")
        assert right.recv(10) == b"answer"
    while thread.is_alive():
        verdigris.sleep(0.001)
    thread.join()
    assert results == [b"there"] * 3
    # And back again.
    reading = verdigris.spawn(left.recv, 10)
    verdigris.sleep(0)
    right.send(b"home")
    assert reading.get(timeout=5) == b"home"


def test_closing_in_another_thread_wakes_who_waits(pair):
    left, _ = pair
    reading = verdigris.spawn(left.recv, 10)
    verdigris.sleep(0)
    thread = threading.Thread(target=left.close)
    thread.start()
    with pytest.raises(OSError) as caught:
        reading.get(timeout=5)
    assert caught.value.errno == errno.EBADF
    thread.join()


def test_a_reset_is_an_error_of_that_connection_only(listener):
    client, server = connected(listener)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    reading = verdigris.spawn(server.recv, 1)
    verdigris.sleep(0)
    client.close()
    with pytest.raises(ConnectionResetError):
        reading.get(timeout=5)
    server.close()
    client, server = connected(listener)
    with client, server:
        client.send(b"x")
        assert server.recv(1) == b"x"


# ---- what is remembered of a socket's readiness


def test_looking_without_taking_does_not_exhaust(listener):
    client, server = connected(listener)
    with client, server:
        waiting = verdigris.spawn(server.recv, 100, socket.MSG_PEEK)
        verdigris.sleep(0)
        client.send(b"abc")
        assert waiting.get(timeout=5) == b"abc"
        assert server.recv(100, socket.MSG_PEEK) == b"abc"
        assert server.recv(2) == b"ab"
        assert server.recv(100) == b"c"
        client.close()
        assert server.recv(100) == b""


def test_no_urgent_data_says_nothing_about_the_rest(listener):
    client, server = connected(listener)
    with client, server:
        waiting = verdigris.spawn(server.recv, 1)
        verdigris.sleep(0)
        client.send(b"abc")
        assert waiting.get(timeout=5) == b"a"
        with pytest.raises(OSError):
            server.recv(1, socket.MSG_OOB)
        with pytest.raises(BlockingIOError):
            server.recvmsg(1, 0, socket.MSG_ERRQUEUE)
        assert server.recv(100) == b"bc"
        with pytest.raises(BlockingIOError):
            server.recv(1, socket.MSG_DONTWAIT)


def test_urgent_data_amid_the_rest(listener):
    client, server = connected(listener)
    with client, server:
        client.send(b"before")
        client.send(b"!", socket.MSG_OOB)
        client.send(b"after")
        # A read stops at the mark, and got less than it asked for although there is more.
        assert server.recv(100) == b"before"
        assert server.recv(1, socket.MSG_OOB) == b"!"
        assert server.recv(100) == b"after"


def test_two_objects_of_one_descriptor(pair):
    left, right = pair
    twin = socket.socket(fileno=left.fileno())
    waiting = verdigris.spawn(twin.recv, 1)
    verdigris.sleep(0)
    twin_waits = verdigris.spawn(left.recv, 1)
    verdigris.sleep(0)
    right.send(b"xy")
    assert {waiting.get(timeout=5), twin_waits.get(timeout=5)} == {b"x", b"y"}
    waiting = verdigris.spawn(twin.recv, 1)
    verdigris.sleep(0)
    left.close()
    # It is told, and does not wait for ever for a descriptor that is gone.
    with pytest.raises(OSError):
        waiting.get(timeout=5)
    twin.detach()


# What is known without asking the kernel -------------------------------------------------------------------------------


def tcp_pair():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        accepting = verdigris.spawn(listening.accept)
        client = socket.create_connection(listening.getsockname()[:2])
        server, _ = accepting.get()
    return server, client


def waiting_read(sock):
    """A greenlet that waits in `recv`, the descriptor known to the loop."""
    reading = verdigris.spawn(sock.recv, 100)
    verdigris.sleep(0)
    return reading


def test_data_after_urgent_data_is_not_lost():
    server, client = tcp_pair()
    with server, client:
        reading = waiting_read(server)
        # All of it arrives before the loop looks, so that it is told once; the urgent byte ends the first read early.
        client.sendall(b"one")
        client.send(b"!", socket.MSG_OOB)
        client.sendall(b"two")
        assert reading.get(timeout=5) == b"one"
        assert verdigris.spawn(server.recv, 100).get(timeout=5) == b"two"


def test_the_end_after_a_short_read_is_not_lost():
    server, client = tcp_pair()
    with server, client:
        reading = waiting_read(server)
        client.sendall(b"last")
        client.shutdown(socket.SHUT_WR)
        assert reading.get(timeout=5) == b"last"
        assert verdigris.spawn(server.recv, 100).get(timeout=5) == b""
        server.sendall(b"one way is open still")
        assert client.recv(100) == b"one way is open still"


def test_the_end_after_the_wait_has_begun_is_not_lost():
    server, client = tcp_pair()
    with server, client:
        reading = waiting_read(server)
        client.sendall(b"last")
        assert reading.get(timeout=5) == b"last"
        reading = waiting_read(server)
        client.shutdown(socket.SHUT_WR)
        assert reading.get(timeout=5) == b""


def test_peeking_says_nothing_about_what_is_left():
    server, client = tcp_pair()
    with server, client:
        client.sendall(b"123")
        assert server.recv(100, socket.MSG_PEEK) == b"123"
        assert server.recv(2) == b"12"
        assert server.recv(100) == b"3"


@pytest.mark.parametrize("size", [10, 65536, 100_000])
def test_reads_of_any_size_in_any_order(size):
    server, client = tcp_pair()
    with server, client:
        sent = [os.urandom(length) for length in (1, 200_000, 3, 70_000, 5)]
        writing = verdigris.spawn(lambda: [client.sendall(block) for block in sent] and client.close())
        received = b""
        while data := server.recv(size):
            assert len(data) <= size
            received += data
        writing.get()
        assert received == b"".join(sent)
