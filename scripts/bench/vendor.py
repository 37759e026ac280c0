"""A vendor for the benchmark: answers each call at once, after it has read the whole of it.

An answer that is sent before the body was read makes some proxies drop the connection, so that they look slower than
they are; and a proxy is measured here, not a vendor, so the vendor costs as little as Python can.
"""

import argparse
import asyncio
import itertools
import re
import ssl
import sys
from typing import cast

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_ids = itertools.count()


class Vendor(asyncio.Protocol):
    """One connection: every whole request gets a new PaymentIntent."""

    def __init__(self, delay_seconds: float) -> None:
        self._delay_seconds = delay_seconds
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to answer on."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's do not inherit from it

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._buffer, 0, end + 2)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < whole:
                return
            self._buffer = self._buffer[whole:]
            if self._delay_seconds:
                asyncio.get_running_loop().call_later(self._delay_seconds, self._answer)
            else:
                self._answer()

    def _answer(self) -> None:
        body = b'{"id":"pi_%d","object":"payment_intent","amount":100,"currency":"usd","status":"%b"}' % (
            next(_ids),
            b"requires_confirmation",
        )
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nrequest-id: req_1\r\ncontent-length: %d\r\n\r\n"
        assert self._transport is not None
        self._transport.write(head % len(body) + body)


async def relay(port: int, delay_seconds: float) -> int:
    """A way to the vendor that takes `delay_seconds` in each direction, the TCP handshake's included; its port."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while data := await reader.read(65536):
            loop.call_later(delay_seconds, writer.write, data)
        loop.call_later(delay_seconds, writer.close)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2 * delay_seconds)  # the round trip of SYN and SYN-ACK
        to_vendor = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, to_vendor[1]), pump(to_vendor[0], writer), return_exceptions=True)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    return int(server.sockets[0].getsockname()[1])


async def main() -> None:
    """Print the ports, the delayed one second, and serve until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--certificate", action="append", required=True, help="HOST=PEM; the first is the default")
    parser.add_argument("--delay-ms", type=float, default=20.0, help="one way, on the second port")
    arguments = parser.parse_args()
    contexts = {}
    for given in arguments.certificate:
        host, _, path = given.partition("=")
        contexts[host] = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        contexts[host].load_cert_chain(path)
    context = next(iter(contexts.values()))

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = contexts.get(name or "", context)

    context.sni_callback = choose
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Vendor(0), "127.0.0.1", 0, ssl=context, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"{port} {await relay(port, arguments.delay_ms / 1000)}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(main())
