"""Pinned keys, and the times of a connection: who does not have the one or keep the other is sent nothing."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509

from runcap.forwarder import Forwarder, NoAnswer, NotSent
from runcap.pki.pins import pin_of
from runcap.upstream.pool import Route
from runcap.vendors.base import Upstream
from tests.fakes.certificates import FakeAuthority

HOST = "api.stripe.com"
CALL = Upstream("POST", "/v1/charges", body=b"amount=5")


class Vendor:
    """A TLS server that remembers what it was sent."""

    def __init__(self, folder: Path, answer: bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}") -> None:
        authority = FakeAuthority.create()
        self.ca_file, self._leaf_file = folder / "ca.pem", folder / "leaf.pem"
        authority.write_certificate(self.ca_file)
        authority.write_leaf(self._leaf_file, HOST)
        self.root_pin = pin_of(authority.certificate)
        self.leaf_pin = pin_of(x509.load_pem_x509_certificate(self._leaf_file.read_bytes()))
        self.received = b""
        self._answer = answer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.received += data
            writer.write(self._answer)
        writer.close()

    @asynccontextmanager
    async def forwarder(self, *pins: bytes, first_byte_seconds: float = 5) -> AsyncIterator[Forwarder]:
        """A forwarder that knows this vendor and these pins."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._leaf_file)
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        route = Route(HOST, "127.0.0.1", port, self.ca_file, pins)
        async with (
            server,
            Forwarder({"stripe": route}, timeout_seconds=10, first_byte_seconds=first_byte_seconds) as forwarder,
        ):
            yield forwarder


async def test_the_pinned_leaf_is_spoken_to(tmp_path: Path) -> None:
    """A vendor whose own key is pinned gets the call."""
    vendor = Vendor(tmp_path)
    async with vendor.forwarder(bytes(32), vendor.leaf_pin) as forwarder:
        assert 200 == (await forwarder.send("stripe", CALL, ())).status
    assert b"amount=5" in vendor.received


@pytest.mark.skipif(not hasattr(ssl.SSLObject, "get_verified_chain"), reason="the chain cannot be asked for")
async def test_a_pinned_authority_is_enough(tmp_path: Path) -> None:
    """A pin of the root lets the vendor renew its leaf."""
    vendor = Vendor(tmp_path)
    async with vendor.forwarder(vendor.root_pin) as forwarder:
        assert 200 == (await forwarder.send("stripe", CALL, ())).status


async def test_another_key_is_sent_nothing(tmp_path: Path) -> None:
    """A certificate that verifies, but has none of the pinned keys, ends the handshake: nothing was sent."""
    vendor = Vendor(tmp_path)
    async with vendor.forwarder(bytes(32)) as forwarder:
        with pytest.raises(NotSent, match="pinned key"):
            await forwarder.send("stripe", CALL, ())
    assert b"" == vendor.received


async def test_a_vendor_that_never_ends_its_handshake() -> None:
    """Making a connection has a time of its own, TLS included; nothing was sent in it."""

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
        route = Route(HOST, "127.0.0.1", server.sockets[0].getsockname()[1])
        async with Forwarder({"stripe": route}, timeout_seconds=10, connect_seconds=0.2) as forwarder:
            with pytest.raises(NotSent):
                await forwarder.send("stripe", CALL, ())


async def test_a_vendor_that_stays_silent(tmp_path: Path) -> None:
    """The first byte of an answer has a time of its own; the call was sent, so nobody can tell what it cost."""
    vendor = Vendor(tmp_path, answer=b"")
    async with vendor.forwarder(first_byte_seconds=0.2) as forwarder:
        with pytest.raises(NoAnswer):
            await forwarder.send("stripe", CALL, ())
    assert b"amount=5" in vendor.received
