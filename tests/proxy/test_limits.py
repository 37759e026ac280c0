"""What a connection may take: time, and a place among others."""

import asyncio
import ssl

import pytest

from runcap.decision import Code
from runcap.entrance.limits import Limits
from tests.proxy.conftest import Proxy
from tests.proxy.test_engine import CALL, answer


@pytest.fixture
def limits() -> Limits:
    """Little, so that each limit is soon reached."""
    return Limits(head_seconds=0.2, idle_seconds=0.4, handshake_seconds=0.2, connections=8, connections_per_address=6)


async def test_a_silent_connection_is_told_and_closed(proxy: Proxy) -> None:
    """Whoever connects and sends nothing gets a 408 when its time is up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)

    assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
    assert [Code.TOO_SLOW] == [deny.code for deny in proxy.service.denied]
    writer.close()


async def test_a_head_that_drips(proxy: Proxy) -> None:
    """Sending a byte now and then buys no time."""
    reader, writer = await proxy.tunnel()
    dripping = asyncio.create_task(_drip(writer, CALL))
    try:
        assert (await reader.read()).startswith(b"HTTP/1.1 422 ")
    finally:
        dripping.cancel()
        writer.close()
    assert [Code.TOO_SLOW] == [call.problem.code for call in proxy.service.calls if call.problem]


async def test_a_second_head_that_drips(proxy: Proxy) -> None:
    """The next request on a connection has its time too, from its first byte; an idle connection has more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.gateway_port)
    writer.write(CALL)
    assert 200 == (await answer(reader))[0]
    await asyncio.sleep(0.25)
    writer.write(CALL + CALL[:10])
    assert 200 == (await answer(reader))[0]
    assert (await reader.read()).startswith(b"HTTP/1.1 422 ")
    assert [False, False, True] == [call.problem is not None for call in proxy.service.calls]
    writer.close()


async def test_a_body_that_drips(proxy: Proxy) -> None:
    """A whole request has the time that a connection may be idle."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.gateway_port)
    writer.write(CALL[:-8])
    dripping = asyncio.create_task(_drip(writer, b"a" * 8))
    try:
        assert (await reader.read()).startswith(b"HTTP/1.1 422 ")
    finally:
        dripping.cancel()
        writer.close()
    assert ["whole request" in str(call.problem) for call in proxy.service.calls] == [True]


async def test_a_handshake_that_never_comes(proxy: Proxy) -> None:
    """A vendor's tunnel in which no handshake happens is closed."""
    reader, writer, _ = await proxy.connect()

    assert b"" == await reader.read()
    writer.close()


async def test_a_client_hello_without_end(proxy: Proxy) -> None:
    """A ClientHello has a size."""
    reader, writer, _ = await proxy.connect()
    record = b"\x16\x03\x01\x40\x00" + bytes(0x4000)
    writer.write(b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(0x4000 - 4) + record * 2)

    assert 422 == (await answer(reader))[0]
    writer.close()


async def test_an_exception_in_the_handshake_closes(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of ours in the TLS layer leaves no connection hanging."""
    from runcap.entrance.tlslayer import VendorTLSLayer

    def fail(self: VendorTLSLayer, data: bytes) -> None:
        raise LookupError("injected")

    monkeypatch.setattr(VendorTLSLayer, "receive_handshake_data", fail)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await proxy.tunnel()


async def test_a_newcomer_takes_the_place_of_the_oldest_stranger(proxy: Proxy) -> None:
    """At the limit for an address, a connection that has carried no call goes, and an honest call gets through."""
    strangers = [await asyncio.open_connection("127.0.0.1", proxy.port) for _ in range(6)]
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.gateway_port)
    writer.write(CALL)

    assert 200 == (await answer(reader))[0]
    assert b"" == await strangers[0][0].read()
    assert 6 == len(proxy.engine.crowd)
    for _, stranger in strangers:
        stranger.close()
    writer.close()


async def test_without_strangers_the_newcomer_is_refused(proxy: Proxy) -> None:
    """Connections that have carried good calls stay; who comes then is told 503."""
    kept = []
    for _ in range(6):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.gateway_port)
        writer.write(CALL)
        assert 200 == (await answer(reader))[0]
        kept.append(writer)
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.gateway_port)
    writer.write(CALL)
    status, body = await answer(reader)
    assert (503, True) == (status, b'"overloaded"' in body)
    assert 6 == len(proxy.service.calls)
    for each in (*kept, writer):
        each.close()


async def test_a_large_head_is_answered_before_the_end(proxy: Proxy) -> None:
    """A client that goes on sending still reads why it was refused."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.gateway_port)
    writer.write(b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 2_000_000)
    await writer.drain()

    assert (await reader.read()).startswith(b"HTTP/1.1 422 ")
    assert [Code.TOO_LARGE] == [call.problem.code for call in proxy.service.calls if call.problem]
    writer.close()


async def _drip(writer: asyncio.StreamWriter, data: bytes) -> None:
    for byte in data:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.06)
