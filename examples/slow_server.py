"""A slow HTTP server: answers every request after a fixed delay, a thousand and more of them at once.

    python examples/slow_server.py [--port 8000] [--delay 0.05]

It stands for any service that a program waits for. Plain asyncio in a process of its own, so that it says nothing about
verdigris; its first line of output is its URL.
"""

import argparse
import asyncio

BODY = b"The answer took a while.\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--port", type=int, default=0, help="default: a free one")
    options.add_argument("--delay", type=float, default=0.05, help="seconds before each answer; default: 0.05")
    given = options.parse_args()
    try:
        asyncio.run(serve(given.port, given.delay))
    except KeyboardInterrupt:
        pass


async def serve(port: int, delay: float) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection until the client closes it."""
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")  # requests without a body
                await asyncio.sleep(delay)
                writer.write(ANSWER)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    main()
