"""A vendor that behaves as told, call by call: closes, stays silent, answers twice."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from runcap.upstream.pool import Route
from tests.fakes.certificates import FakeAuthority

HOST = "api.stripe.com"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

type Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


async def answers(writer: asyncio.StreamWriter) -> None:
    """Answer, and keep the connection."""
    writer.write(OK)
    await writer.drain()


@dataclass
class ScriptedVendor:
    """A TLS server; when it has been told nothing more, it answers."""

    behaviours: list[Behaviour] = field(default_factory=list)
    requests: list[tuple[int, str]] = field(default_factory=list)
    """Connection and request line."""
    connections: int = 0
    """So far."""
    open: int = 0
    """Of them, now."""
    server: asyncio.Server | None = None

    @property
    def calls(self) -> list[int]:
        """The connection of each."""
        return [connection for connection, _ in self.requests]

    @asynccontextmanager
    async def serving(self, folder: Path) -> AsyncIterator[Route]:
        """Serve on a free port, and say how it is reached."""
        authority = FakeAuthority.create()
        authority.write_certificate(folder / "ca.pem")
        authority.write_leaf(folder / "leaf.pem", HOST)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "leaf.pem")
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        yield Route(HOST, "127.0.0.1", self.server.sockets[0].getsockname()[1], folder / "ca.pem")
        self.server.close()
        await self.server.wait_closed()

    def stop(self) -> None:
        """Refuse connections from here on; those that are open stay."""
        assert self.server is not None
        self.server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        number = self.connections
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = head.lower().partition("content-length: ")[2].partition("\r\n")[0]
                await reader.readexactly(int(length or 0))
                self.requests.append((number, head.partition(" HTTP")[0]))
                behave = self.behaviours.pop(0) if self.behaviours else answers
                await behave(writer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.open -= 1
            writer.close()
