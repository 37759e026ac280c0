"""A tunnel to another host, through real sockets: what its client may open it with."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from runcap.decision import Code
from runcap.entrance.destinations import Tunnel
from tests.entrance.test_relay import client_hello, in_records
from tests.proxy.conftest import Proxy


class Elsewhere:
    """A host that is no vendor: greets whoever connects, and remembers what it was sent."""

    def __init__(self) -> None:
        self.received = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        while data := await reader.read(65536):
            self.received += data
            writer.write(b"!")
        writer.close()

    @asynccontextmanager
    async def reached(
        self, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A tunnel to it."""
        async with await asyncio.start_server(self.serve, "127.0.0.1", 0) as server:
            address: Any = server.sockets[0].getsockname()

            async def decide(authority: str) -> Tunnel:
                return Tunnel(address)

            monkeypatch.setattr(proxy.service.destinations, "decide", decide)
            reader, writer, head = await proxy.connect("elsewhere.example:443")
            assert head.startswith(b"HTTP/1.1 200 ")
            yield reader, writer
            writer.close()


@pytest.mark.parametrize(
    "opening",
    [
        client_hello("elsewhere.example"),
        in_records(client_hello("elsewhere.example"), 40),
        client_hello(None),
        b"SSH-2.0\r\n",
    ],
    ids=["tls", "tls-in-pieces", "no-name", "no-tls"],
)
async def test_what_is_relayed(proxy: Proxy, monkeypatch: pytest.MonkeyPatch, opening: bytes) -> None:
    """The server may speak first, and gets the client's bytes as they are, however they were cut."""
    elsewhere = Elsewhere()
    async with elsewhere.reached(proxy, monkeypatch) as (reader, writer):
        assert b"hello\n" == await reader.readexactly(6)
        writer.write(opening[:2])
        await asyncio.sleep(0.01)
        writer.write(opening[2:])
        while elsewhere.received != opening:
            await reader.readexactly(1)
        writer.write(b"more")
        while elsewhere.received != opening + b"more":
            await reader.readexactly(1)
    assert [] == proxy.service.denied


@pytest.mark.parametrize(
    "opening",
    [client_hello("api.stripe.com"), in_records(client_hello("files.stripe.com"), 40), b"\x16\x03\x01\x00\x00more"],
    ids=["vendor", "sibling-in-pieces", "unreadable"],
)
async def test_what_is_not(proxy: Proxy, monkeypatch: pytest.MonkeyPatch, opening: bytes) -> None:
    """A vendor's name, and what cannot be read, ends the tunnel with an alert before a byte has passed."""
    elsewhere = Elsewhere()
    async with elsewhere.reached(proxy, monkeypatch) as (reader, writer):
        assert b"hello\n" == await reader.readexactly(6)
        writer.write(opening)
        assert b"\x15\x03\x03\x00\x02\x02\x31" == await reader.read()
    assert b"" == elsewhere.received
    assert [Code.HOST_DENIED] == [deny.code for deny in proxy.service.denied]


async def test_an_exception_while_judging_ends_it(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that could not be checked is not relayed."""

    def fail(name: str) -> None:
        raise LookupError("injected")

    monkeypatch.setattr(proxy.service.destinations, "check_name", fail)
    elsewhere = Elsewhere()
    async with elsewhere.reached(proxy, monkeypatch) as (reader, writer):
        await reader.readexactly(6)
        writer.write(client_hello("elsewhere.example"))
        assert ssl.AlertDescription.ALERT_DESCRIPTION_ACCESS_DENIED == (await reader.read())[-1]
    assert b"" == elsewhere.received
