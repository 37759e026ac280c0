"""With ``proxy.auth = "vault_key"`` a CONNECT needs a run's key, and the tunnel is that run's alone."""

import asyncio
import base64
import json
import re
from typing import Any

import pytest

from runcap.decision import Code, Deny
from runcap.entrance.proxyauth import ProxyAuth
from runcap.runs import key_digest, new_vault_key
from tests.proxy.conftest import HOST, Proxy

GOOD, REVOKED = new_vault_key(), new_vault_key()


@pytest.fixture
def closed(proxy: Proxy) -> Proxy:
    """A proxy that knows two keys, one of them revoked."""
    service = proxy.service
    service.proxy_auth = ProxyAuth(service, required=True)
    service.keys = {key_digest(GOOD): None, key_digest(REVOKED): Deny(Code.KEY_REVOKED, "revoked", run_id="R")}
    return proxy


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


async def connect(proxy: Proxy, *credentials: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    lines = "".join(f"Proxy-Authorization: {value}\r\n" for value in credentials)
    writer.write(f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n{lines}\r\n".encode())
    return reader, writer, await reader.readuntil(b"\r\n\r\n")


@pytest.mark.parametrize(
    "credentials",
    [
        basic(f"run:{GOOD}"),
        basic(f":{GOOD}"),
        basic(f"run:sk_live_{GOOD}"),
        f"Bearer {GOOD}",
        f"bearer {GOOD}",
    ],
    ids=["password", "no user", "in a vendor's prefix", "Bearer", "bearer"],
)
async def test_a_good_key_opens_the_tunnel(closed: Proxy, credentials: str) -> None:
    """As the password of Basic, with any user, or as Bearer; and the calls inside are bound to it."""
    reader, writer, head = await connect(closed, credentials)
    assert head.startswith(b"HTTP/1.1 200 ")
    await writer.start_tls(closed.trust, server_hostname=HOST)
    writer.write(b"GET /v1/balance HTTP/1.1\r\nHost: api.stripe.com\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    assert [key_digest(GOOD)] == [call.key_digest for call in closed.service.calls]
    writer.close()


@pytest.mark.parametrize(
    ("credentials", "message"),
    [
        ((), "for runs only"),
        ((basic(f"run:{GOOD}"), basic(f"run:{GOOD}")), "for runs only"),
        ((basic(GOOD),), "holds no vault key"),
        ((basic(f"{GOOD}:x"),), "holds no vault key"),
        ((basic(f"run:{GOOD[:-1]}"),), "holds no vault key"),
        (("Basic !!!",), "holds no vault key"),
        (("Basic w6Q6dmtf",), "holds no vault key"),
        ((f"Digest {GOOD}",), "holds no vault key"),
        ((GOOD,), "holds no vault key"),
        ((basic(f"run:{REVOKED}"),), "revoked"),
        ((f"Bearer {new_vault_key()}",), "no run has it"),
    ],
)
async def test_without_a_good_key_there_is_no_tunnel(closed: Proxy, credentials: tuple[str, ...], message: str) -> None:
    """The answer is 407 and says how; the connection ends, and the refusal is the run's whose key it was."""
    reader, writer, head = await connect(closed, *credentials)
    assert head.startswith(b"HTTP/1.1 407 Proxy Authentication Required\r\n")
    assert b'\r\nproxy-authenticate: Basic realm="runcap"\r\n' in head
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None
    answer: Any = json.loads(await reader.readexactly(int(length[1])))
    assert "proxy_auth_required" == answer["code"]
    assert message in answer["message"]
    assert b"" == await reader.read()
    assert [Code.PROXY_AUTH_REQUIRED] == [deny.code for deny in closed.service.denied]
    shown = key_digest(REVOKED) if message == "revoked" else None
    if message != "no run has it":
        assert [shown] == closed.service.denied_keys
    writer.close()


async def test_other_hosts_need_a_key_too(closed: Proxy) -> None:
    """Else the proxy would be a way out for everybody on its network."""
    reader, writer = await asyncio.open_connection("127.0.0.1", closed.port)
    writer.write(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 407 ")
    writer.close()


async def test_an_unreachable_ledger_opens_nothing(closed: Proxy) -> None:
    """Nobody can tell whether the key is good, so it is 503 and no tunnel."""
    closed.service.keys[key_digest(GOOD)] = Deny(Code.LEDGER_UNAVAILABLE, "not now")
    _, writer, head = await connect(closed, basic(f"run:{GOOD}"))
    assert head.startswith(b"HTTP/1.1 503 ")
    writer.close()


async def test_by_default_no_key_is_asked_for(proxy: Proxy) -> None:
    """On loopback; what is shown all the same is not looked at."""
    _, writer, head = await connect(proxy, "Basic nonsense")
    assert head.startswith(b"HTTP/1.1 200 ")
    writer.close()
