"""A way to the vendor that takes its time: for calls that cross a country instead of a cable."""

import argparse
import asyncio
import sys

import uvloop


async def relay(port: int, delay_seconds: float) -> int:
    """Relay to a port of this machine with a delay in each direction, the TCP handshake's included.

    Returns:
        The port on which it listens.
    """

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
    """Print the port, and relay until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True, help="of the vendor")
    parser.add_argument("--one-way-ms", type=float, required=True)
    arguments = parser.parse_args()
    sys.stdout.write(f"{await relay(arguments.port, arguments.one_way_ms / 1000)}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(main())
