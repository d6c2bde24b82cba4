"""Servers of the libraries of green threads, the same source for all: `python green.py LIBRARY WHAT [CONNECTIONS PORT]`.

LIBRARY is verdigris, gevent or eventlet; WHAT is echo, tls, udp, accept, proxy (PORT: of what is behind it), or http,
which is no server: it fetches from PORT over CONNECTIONS connections. Servers print ``port N``.
"""

import ssl
import sys
from importlib import import_module
from pathlib import Path

BACKLOG = 1024
BLOCK = 65536
CERTIFICATE = str(Path(__file__).parents[2] / "tests" / "data" / "localhost.pem")


def echo(sock, address):
    while data := sock.recv(BLOCK):
        sock.sendall(data)


def accept(sock, address):
    pass


class Gevent:
    """gevent's names, in gevent or in verdigris."""

    def __init__(self, library):
        self.library = library
        self.socket = import_module(f"{library}.socket")
        self.spawn = import_module(f"{library}").spawn

    def patch(self):
        import_module(f"{self.library}.monkey").patch_all()

    def serve(self, handle, tls=None):
        StreamServer = import_module(f"{self.library}.server").StreamServer
        server = StreamServer(("127.0.0.1", 0), handle, backlog=BACKLOG, **({"ssl_context": tls} if tls else {}))
        server.start()
        announce(server.server_port)
        server.serve_forever()

    def serve_datagrams(self):
        DatagramServer = import_module(f"{self.library}.server").DatagramServer

        class Echo(DatagramServer):
            def handle(self, data, address):
                self.socket.sendto(data, address)

        server = Echo("127.0.0.1:0", spawn=None)
        server.start()
        announce(server.server_port)
        server.serve_forever()

    def tls_context(self):
        return import_module(f"{self.library}.ssl").SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def run_all(self, function, count):
        greenlets = [self.spawn(function) for _ in range(count)]
        import_module(f"{self.library}").joinall(greenlets)


class Eventlet:
    """The same with eventlet's names."""

    def __init__(self):
        import eventlet
        from eventlet.green import socket

        self.eventlet = eventlet
        self.socket = socket
        self.spawn = eventlet.spawn

    def patch(self):
        self.eventlet.monkey_patch()

    def serve(self, handle, tls=None):
        listener = self.eventlet.listen(("127.0.0.1", 0), backlog=BACKLOG)
        announce(listener.getsockname()[1])

        def handle_and_close(sock, address):
            if tls:
                sock = tls.wrap_socket(sock, server_side=True)
            try:
                handle(sock, address)
            finally:
                sock.close()

        self.eventlet.serve(listener, handle_and_close, concurrency=1_000_000)

    def serve_datagrams(self):
        sock = self.socket.socket(self.socket.AF_INET, self.socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        announce(sock.getsockname()[1])
        while True:
            sock.sendto(*sock.recvfrom(BLOCK))

    def tls_context(self):
        from eventlet.green import ssl as green_ssl

        return green_ssl.GreenSSLContext(ssl.PROTOCOL_TLS_SERVER)

    def run_all(self, function, count):
        for greenlet in [self.spawn(function) for _ in range(count)]:
            greenlet.wait()


def announce(port):
    print(f"port {port}", flush=True)


def proxy(library, port):
    """To what is behind, and back: a greenlet for each direction."""

    def pump(source, destination):
        while data := source.recv(BLOCK):
            destination.sendall(data)

    def handle(sock, address):
        behind = library.socket.create_connection(("127.0.0.1", port))
        try:
            library.spawn(pump, behind, sock)
            pump(sock, behind)
        finally:
            behind.close()

    library.serve(handle)


def fetch(library, connections, port):
    """Pages of an HTTP server, by the standard library's client over patched sockets."""
    library.patch()
    from http.client import HTTPConnection

    def body():
        connection = HTTPConnection("127.0.0.1", port)
        while True:
            connection.request("GET", "/")
            connection.getresponse().read()

    library.run_all(body, connections)


def main():
    name, what = sys.argv[1:3]
    connections, port = (int(argument) for argument in [*sys.argv[3:], "0", "0"][:2])
    library = Eventlet() if name == "eventlet" else Gevent(name)
    if what == "echo":
        library.serve(echo)
    elif what == "accept":
        library.serve(accept)
    elif what == "tls":
        context = library.tls_context()
        context.load_cert_chain(CERTIFICATE)
        library.serve(echo, context)
    elif what == "udp":
        library.serve_datagrams()
    elif what == "proxy":
        proxy(library, port)
    elif what == "http":
        fetch(library, connections, port)
    else:
        sys.exit(f"no such program: {what}")


main()
