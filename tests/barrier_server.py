"""An HTTP(S) server that answers nobody until a given number of requests have arrived, and then everybody.

    python barrier_server.py COUNT [--tls]

It tells programs that wait at once from programs that wait one after another, without a clock: one after another, the second
request never comes. Then it gives up and answers 503 with the number it saw. It starts anew with every COUNT requests.
Plain asyncio in a process of its own; its first line of output is its URL.
"""

import argparse
import asyncio
import ssl
from pathlib import Path

CERTIFICATE = Path(__file__).parent / "data" / "localhost.pem"
PATIENCE = 20.0
"""Seconds without a new request after which the rest is given up."""


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("count", type=int)
    options.add_argument("--tls", action="store_true")
    given = options.parse_args()
    context = None
    if given.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
    asyncio.run(Barrier(given.count).serve(context))


class Barrier:
    """Holds requests back until `count` of them are there."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.begin()

    def begin(self) -> None:
        self.arrived = 0
        self.complete = asyncio.Event()

    async def serve(self, context: ssl.SSLContext | None) -> None:
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0, backlog=4096, ssl=context)
        scheme = "https" if context else "http"
        print(f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/", flush=True)
        await server.serve_forever()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            status, body = await self.wait()
            writer.write(
                b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(body), body)
            )
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def wait(self) -> tuple[bytes, bytes]:
        """Arrives, waits for the others, and tells how it went."""
        complete = self.complete
        self.arrived += 1
        if self.arrived == self.count:
            complete.set()
            self.begin()
        while not complete.is_set():
            seen = self.arrived
            try:
                await asyncio.wait_for(complete.wait(), PATIENCE)
            except TimeoutError:
                if self.arrived == seen:
                    return b"503 Service Unavailable", b"only %d of %d requests came" % (seen, self.count)
        return b"200 OK", b"all %d requests came" % self.count


if __name__ == "__main__":
    main()
