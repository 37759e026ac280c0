"""An engine in the test's own event loop, with a service that answers in the guard's place."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from OpenSSL import SSL

from runcap.addon import Runcap
from runcap.decision import Code, Deny, Refused
from runcap.entrance.agenttls import AgentTLS
from runcap.entrance.destinations import Destinations
from runcap.entrance.hooks import VendorCall
from runcap.entrance.limits import DEFAULT_LIMITS, Limits
from runcap.entrance.proxyauth import ProxyAuth
from runcap.entrance.wire import Message
from runcap.pki.ca import Authority, LeafCache
from runcap.proxy.engine import Engine, bind
from runcap.reply import Reply

VENDOR: Any = SimpleNamespace(name="stripe", host="api.stripe.com", sibling_domain="stripe.com")
HOST = "api.stripe.com"


class EchoService:
    """Answers each call with what it read; remembers all it saw."""

    def __init__(self, authority: Authority, limits: Limits) -> None:
        self.draining = False
        self.limits = limits
        self.destinations = Destinations({VENDOR.host: VENDOR}, "tunnel")
        self.agent_tls = AgentTLS(LeafCache(authority))
        self.proxy_auth = ProxyAuth(self, required=False)
        self.outer_tls: SSL.Context | None = None
        self.keys: dict[str, Deny | None] = {}
        """Vault keys' digests, and why they are not good."""
        self.calls: list[VendorCall] = []
        self.denied: list[Deny] = []
        self.denied_keys: list[str | None] = []

    async def handle(self, call: VendorCall) -> Reply:
        self.calls.append(call)
        if call.problem is not None:
            return Reply(422, (), str(call.problem).encode())
        assert call.message is not None
        return Reply(
            200, (("x-entrance", call.entrance.value),), call.message.target.encode() + b"|" + call.message.body
        )

    async def identify(self, digest: str) -> None:
        deny = self.keys.get(digest, Deny(Code.KEY_UNKNOWN, "no run has it"))
        if deny is not None:
            raise Refused(deny)

    async def record_denial(self, message: Message | None, deny: Deny, key_digest: str | None = None) -> None:
        self.denied.append(deny)
        self.denied_keys.append(key_digest)

    async def close(self) -> None:
        pass


class Proxy:
    """A running engine, and ways to speak to it."""

    def __init__(self, engine: Engine, addon: Runcap, service: EchoService, ports: tuple[int, int], ca: Path) -> None:
        self.engine, self.addon, self.service = engine, addon, service
        self.port, self.gateway_port = ports
        self.trust = ssl.create_default_context(cafile=str(ca))

    async def connect(self, authority: str = f"{HOST}:443") -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
        """Send a CONNECT; the third item is the head of its answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        return reader, writer, await reader.readuntil(b"\r\n\r\n")

    async def tunnel(self, server_name: str = HOST) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TLS connection inside a CONNECT to the vendor."""
        reader, writer, head = await self.connect()
        assert head.startswith(b"HTTP/1.1 200 ")
        await writer.start_tls(self.trust, server_hostname=server_name)
        return reader, writer


@pytest.fixture
def limits() -> Limits:
    """What connections may take; a test module may want less."""
    return DEFAULT_LIMITS


@pytest.fixture
async def proxy(tmp_path: Path, limits: Limits) -> AsyncIterator[Proxy]:
    """An engine on free ports."""
    authority = Authority.load_or_create(tmp_path / "ca")
    addon = Runcap()
    service: Any = EchoService(authority, limits)
    addon.service = service
    engine = Engine(addon, limits)
    sockets = bind("127.0.0.1", 0), bind("127.0.0.1", 0)
    ports = sockets[0].getsockname()[1], sockets[1].getsockname()[1]
    await engine.listen(*sockets)
    yield Proxy(engine, addon, service, ports, tmp_path / "ca" / "ca.pem")
    engine.close()
