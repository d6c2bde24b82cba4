"""Servers of asyncio: `python asynchronous.py asyncio|uvloop protocol|streams WHAT [CONNECTIONS PORT]`.

The loop is the standard one or uvloop's; the servers are written with callbacks (protocol), which is the cheapest that
there is, or as coroutines (streams), which is how most are written. WHAT is as in `green.py`, without http: the standard
library has no HTTP client for asyncio.
"""

import asyncio
import ssl
import sys
from pathlib import Path

BACKLOG = 1024
BLOCK = 65536
CERTIFICATE = Path(__file__).parents[2] / "tests" / "data" / "localhost.pem"


def announce(server):
    print(f"port {server.sockets[0].getsockname()[1]}", flush=True)


# Protocols ------------------------------------------------------------------------------------------------------------


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class Accept(asyncio.Protocol):
    def connection_made(self, transport):
        transport.close()


class EchoDatagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data, address)


class Behind(asyncio.Protocol):
    def __init__(self, front):
        self.front = front

    def data_received(self, data):
        self.front.write(data)

    def connection_lost(self, error):
        self.front.close()


class Proxy(asyncio.Protocol):
    port = 0

    def connection_made(self, transport):
        self.transport = transport
        self.behind = None
        self.waiting = []
        self.task = asyncio.ensure_future(self.connect())

    async def connect(self):
        loop = asyncio.get_running_loop()
        self.behind, _ = await loop.create_connection(lambda: Behind(self.transport), "127.0.0.1", self.port)
        for data in self.waiting:
            self.behind.write(data)

    def data_received(self, data):
        if self.behind is None:
            self.waiting.append(data)
        else:
            self.behind.write(data)

    def connection_lost(self, error):
        if self.behind is not None:
            self.behind.close()


# Streams --------------------------------------------------------------------------------------------------------------


async def pump(reader, writer):
    while data := await reader.read(BLOCK):
        writer.write(data)
        await writer.drain()


async def echo(reader, writer):
    try:
        await pump(reader, writer)
    finally:
        writer.close()


async def accept(reader, writer):
    writer.close()


async def proxy(reader, writer):
    reader_behind, writer_behind = await asyncio.open_connection("127.0.0.1", Proxy.port)
    try:
        await asyncio.gather(pump(reader, writer_behind), pump(reader_behind, writer))
    finally:
        writer_behind.close()
        writer.close()


async def main(style, what, connections=0, port=0):
    Proxy.port = int(port)
    loop = asyncio.get_running_loop()
    if what == "udp":
        transport, _ = await loop.create_datagram_endpoint(EchoDatagrams, ("127.0.0.1", 0))
        print(f"port {transport.get_extra_info('sockname')[1]}", flush=True)
        await loop.create_future()
    context = None
    if what == "tls":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
    if style == "protocol":
        protocol = {"echo": Echo, "tls": Echo, "accept": Accept, "proxy": Proxy}[what]
        server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=BACKLOG, ssl=context)
    else:
        handle = {"echo": echo, "tls": echo, "accept": accept, "proxy": proxy}[what]
        server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=BACKLOG, ssl=context, limit=BLOCK)
    announce(server)
    await server.serve_forever()


if sys.argv[1] == "uvloop":
    import uvloop

    uvloop.run(main(*sys.argv[2:]))
else:
    asyncio.run(main(*sys.argv[2:]))
