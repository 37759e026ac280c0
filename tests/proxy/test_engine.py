"""The engine through real sockets: how calls come in, and that whatever fails, fails closed."""

import asyncio
import re
import ssl
from typing import Any

import pytest

from runcap.decision import Code
from tests.proxy.conftest import HOST, Proxy

CALL = b"POST /v1/charges HTTP/1.1\r\nHost: api.stripe.com\r\nContent-Length: 8\r\n\r\namount=5"


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one answer: its status and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None
    return int(head[9:12]), await reader.readexactly(int(length[1]))


async def test_calls_on_one_connection_are_answered_in_order(proxy: Proxy) -> None:
    """Two pipelined calls are two calls, answered one after the other."""
    reader, writer = await proxy.tunnel()
    writer.write(CALL + CALL.replace(b"charges", b"refunds"))

    assert (200, b"/v1/charges|amount=5") == await answer(reader)
    assert (200, b"/v1/refunds|amount=5") == await answer(reader)
    assert [HOST, HOST] == [call.host for call in proxy.service.calls]
    writer.close()


async def test_the_gateway_takes_plain_http(proxy: Proxy) -> None:
    """The second entrance reads the same calls without TLS."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.gateway_port)
    writer.write(CALL)

    assert (200, b"/v1/charges|amount=5") == await answer(reader)
    assert ["gateway"] == [call.entrance.value for call in proxy.service.calls]
    writer.close()


async def test_a_client_that_sends_early_is_understood(proxy: Proxy) -> None:
    """A ClientHello in the same packet as the CONNECT is not lost."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = proxy.trust.wrap_bio(incoming, outgoing, server_hostname=HOST)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    writer.write(f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n".encode() + outgoing.read())

    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    incoming.write(await reader.read(65536))
    tls.do_handshake()
    assert "TLSv1.3" == tls.version()
    writer.close()


async def test_expect_continue(proxy: Proxy) -> None:
    """A client that waits before its body is told to go on."""
    reader, writer = await proxy.tunnel()
    head, body = CALL[:-8], CALL[-8:]
    writer.write(head.replace(b"Content-Length", b"Expect: 100-continue\r\nContent-Length"))

    assert b"HTTP/1.1 100 Continue\r\n\r\n" == await reader.readuntil(b"\r\n\r\n")
    writer.write(body)
    assert (200, b"/v1/charges|amount=5") == await answer(reader)
    writer.close()


async def test_malformed_bytes_are_answered_and_the_connection_ends(proxy: Proxy) -> None:
    """After bytes that are no request nothing on the connection can be trusted."""
    reader, writer = await proxy.tunnel()
    writer.write(b"\r\n" + CALL + CALL)

    status, _ = await answer(reader)
    assert 422 == status
    assert b"" == await reader.read()
    assert 1 == len(proxy.service.calls)
    writer.close()


async def test_half_closed_clients_get_their_answer(proxy: Proxy) -> None:
    """A client that shuts its sending side after the request still reads the reply."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.gateway_port)
    writer.write(CALL)
    writer.write_eof()

    assert (200, b"/v1/charges|amount=5") == await answer(reader)
    writer.close()


async def test_another_name_in_the_handshake_is_refused(proxy: Proxy) -> None:
    """CONNECT to the vendor, SNI of somebody else: no handshake, and a call that is audited as refused."""
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await proxy.tunnel("attacker.example")

    assert ["attacker.example" in str(call.problem) for call in proxy.service.calls] == [True]


async def test_no_name_in_the_handshake_is_refused(proxy: Proxy) -> None:
    """A handshake without SNI is nobody's."""
    _, writer, _ = await proxy.connect()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await writer.start_tls(context)
    assert 1 == len(proxy.service.calls)


async def test_raw_bytes_in_a_vendors_tunnel_end_it(proxy: Proxy) -> None:
    """What is not TLS is no call, is told so, and reaches no layer that would relay it."""
    reader, writer, _ = await proxy.connect()
    writer.write(b"\x00\x01 raw bytes, no TLS\r\n\r\n")

    status, body = await answer(reader)
    assert (422, True) == (status, b"no TLS handshake" in body)
    assert b"" == await reader.read()
    assert [None] == [call.message for call in proxy.service.calls]
    writer.close()


@pytest.mark.parametrize(
    "request_line",
    ["GET http://api.stripe.com/v1/x", "POST https://api.stripe.com/v1/x", "GET /", "GET http://mitm.it/"],
)
async def test_the_proxys_port_takes_connect_only(proxy: Proxy, request_line: str) -> None:
    """Absolute and origin form on the proxy's own port are refused with a hint."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(f"{request_line} HTTP/1.1\r\nHost: api.stripe.com\r\n\r\n".encode())

    status, body = await answer(reader)
    assert (403, True) == (status, b"HTTPS_PROXY" in body)
    assert [Code.HOST_DENIED] == [deny.code for deny in proxy.service.denied]
    writer.close()


async def test_a_denied_connect_says_why(proxy: Proxy) -> None:
    """CONNECT to loopback, the ledger's neighbourhood, is refused with a reason."""
    _, writer, head = await proxy.connect("127.0.0.1:443")

    assert head.startswith(b"HTTP/1.1 403 ")
    assert [Code.HOST_DENIED] == [deny.code for deny in proxy.service.denied]
    writer.close()


async def test_an_exception_in_the_call_hook_is_a_503(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The reply of a call is a refusal until the guard has set another."""
    monkeypatch.setattr(proxy.service, "handle", _fail)
    reader, writer = await proxy.tunnel()
    writer.write(CALL)

    status, body = await answer(reader)
    assert (503, True) == (status, b'"code": "internal"' in body)
    assert "vendor_call" in caplog.text
    writer.close()


async def test_an_exception_in_the_connect_hook_is_a_503(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CONNECT that could not be decided on is refused."""
    monkeypatch.setattr(proxy.service.destinations, "decide", _fail)
    _, writer, head = await proxy.connect()

    assert head.startswith(b"HTTP/1.1 503 ")
    writer.close()


async def test_an_exception_in_next_layer_forwards_nothing(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without our layer on it a connection stays mute."""
    monkeypatch.setattr(proxy.addon, "next_layer", _fail_now)
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"CONNECT api.stripe.com:443 HTTP/1.1\r\nHost: api.stripe.com:443\r\n\r\n")
    writer.write_eof()

    assert b"" == await reader.read()
    assert [] == proxy.service.calls
    writer.close()


async def test_an_exception_in_the_layer_is_a_503(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in our own layer answers and closes; it does not hang and does not forward."""
    monkeypatch.setattr("runcap.entrance.layer.CallLayer._message", _fail_now)
    reader, writer = await proxy.tunnel()
    writer.write(CALL)

    status, _ = await answer(reader)
    assert 503 == status
    assert b"" == await reader.read()
    writer.close()


async def test_an_exception_while_making_a_certificate_closes(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """No leaf, no connection."""
    monkeypatch.setattr(proxy.service.agent_tls, "connection", _fail_now)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await proxy.tunnel()
    assert [] == proxy.service.calls


async def test_mitmproxy_dials_nothing_unchecked(proxy: Proxy) -> None:
    """Whatever asks mitmproxy for a connection gets none, unless `proxy_connect` has checked its address."""
    data: Any = type("Data", (), {"server": type("Server", (), {"id": "x", "error": None})()})()

    proxy.addon.server_connect(data)

    assert "checked tunnels" in str(data.server.error)


async def test_without_a_service_every_call_is_refused(proxy: Proxy) -> None:
    """An addon that is not ready yet answers 503 on both entrances."""
    proxy.addon.service = None
    _, writer, head = await proxy.connect()
    assert head.startswith(b"HTTP/1.1 503 ")
    writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.gateway_port)
    writer.write(CALL)
    assert 503 == (await answer(reader))[0]
    writer.close()


async def test_a_tunnel_relays_bytes_untouched(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another host's bytes go through both ways, and only to the address that was checked."""

    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readexactly(5)).upper())
        writer.close()

    from runcap.entrance.destinations import Tunnel

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()

    async def checked(authority: str) -> Tunnel:
        return Tunnel(address)

    monkeypatch.setattr(proxy.service.destinations, "decide", checked)
    reader, writer, head = await proxy.connect("elsewhere.example:443")
    assert head.startswith(b"HTTP/1.1 200 ")
    writer.write(b"hello")
    assert b"HELLO" == await reader.read()
    writer.close()
    server.close()


async def _fail(*_: Any, **__: Any) -> Any:
    raise LookupError("injected")


def _fail_now(*_: Any, **__: Any) -> Any:
    raise LookupError("injected")
