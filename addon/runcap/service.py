"""What one proxy process needs to handle calls, put together from the configuration."""

import logging
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from runcap.agents.budget import Desk
from runcap.agents.canary import answer_canary, is_canary
from runcap.config import Config, load
from runcap.decision import Code, Deny, Refused
from runcap.entrance.admission import audit_path
from runcap.entrance.agenttls import AgentTLS
from runcap.entrance.destinations import Destinations
from runcap.entrance.layer import Entrance, VendorCall
from runcap.entrance.outertls import server_context
from runcap.entrance.proxyauth import ProxyAuth
from runcap.entrance.wire import Message
from runcap.guard import Guard
from runcap.home import prepare
from runcap.ledger.ledger import Ledger
from runcap.parts import make_forwarder, make_vendors
from runcap.pki.ca import Authority, LeafCache
from runcap.proxy.backstage import LEDGER_URL, Backstage
from runcap.reply import Reply, denied, plain_refusal
from runcap.secretstore import SecretStore
from runcap.secretstore.keeper import SecretKeeper
from runcap.vendors.base import Vendor

logger = logging.getLogger(__name__)

_UNPREFIXED = {"v1": "stripe", "2010-04-01": "twilio"}
"""First segments of paths that are one vendor's alone: stripe-node takes a host and a port, but no path before them."""


class Service:
    """Handles the calls of one process."""

    def __init__(
        self,
        config: Config,
        guard: Guard,
        desk: Desk,
        vendors: dict[str, Vendor],
        proxy_auth: ProxyAuth,
        *,
        resources: AsyncExitStack,
    ) -> None:
        """Take the parts; `open_service` makes them."""
        self.draining = False
        """Set when the process is about to end: connections close after the answer that they wait for."""
        self.limits = config.limits
        self.destinations = Destinations(
            vendors,
            config.proxy.other_hosts,
            allow_hosts=config.proxy.allow_hosts,
            deny_hosts=config.proxy.deny_hosts,
        )
        self.agent_tls = _agent_tls(config.home / "ca")
        self.proxy_auth = proxy_auth
        self.outer_tls = None if config.proxy.tls is None else server_context(config.proxy.tls)
        """For the connections to our own ports, if they are to be TLS."""
        self._tls_files = config.proxy.tls
        self._guard = guard
        self._desk = desk
        self._by_host = vendors
        self._by_name = {vendor.name: vendor for vendor in vendors.values()}
        self._ca_folder = config.home / "ca"
        self._drain_seconds = config.proxy.drain_seconds
        self._resources = resources
        self.keeper: SecretKeeper | None = None
        """Reads the secrets anew when it is asked to."""

    async def handle(self, call: VendorCall) -> Reply:
        """Answer one call by the vendor that it came for."""
        if call.entrance is Entrance.GATEWAY:
            return await self._handle_gateway(call)
        vendor = self._by_host[call.host]
        if call.message is not None:
            return await self._handle_vendor(vendor, call.message, gateway=False, opened_by=call.key_digest)
        assert call.problem is not None
        return await self._guard.refuse_malformed(vendor, call.problem)

    async def answer_agent(self, path: str, message: Message) -> Reply:
        """Answer what an agent asks runcap itself."""
        try:
            return await self._desk.answer(path, message)
        except Refused as refused:
            await self.record_denial(message, refused.deny)
            return plain_refusal(refused.deny)

    async def record_denial(self, message: Message | None, deny: Deny, key_digest: str | None = None) -> None:
        """Audit a request on the proxy's own port that leads nowhere, as the run's whose key it has shown."""
        row: dict[str, Any] = {"status": deny.status, "vendor": None, "method": "", "path": ""}
        if message is not None:
            row |= {"method": message.method, "path": audit_path("/" + message.target)[1:]}
        try:
            await self._guard.record_denial(row, deny, key_digest)
        except Refused as unavailable:
            logger.warning("a denied destination could not be audited: %s", unavailable)

    def reload(self) -> None:
        """Read secrets and certificates anew; what cannot be read stays as it was, with a word in the log."""
        if self.keeper is not None:
            self.keeper.reload()
        try:
            self.agent_tls = _agent_tls(self._ca_folder)
            self.outer_tls = None if self._tls_files is None else server_context(self._tls_files)
        except (ValueError, OSError) as error:
            logger.error("the certificates stay as they were: %s", error)

    async def drain(self) -> None:
        """Wait for the calls under way and for their endings, at most for the configured time."""
        self.draining = True
        await self._guard.drain(self._drain_seconds)

    async def close(self) -> None:
        """Drain, then end the connections to vendors and ledger."""
        await self.drain()
        await self._resources.aclose()

    async def _handle_gateway(self, call: VendorCall) -> Reply:
        message = call.message
        if message is None:
            assert call.problem is not None
            deny = Deny(call.problem.code, str(call.problem))
            await self.record_denial(None, deny)
            return plain_refusal(deny)
        if self._desk.knows(message.target):
            return await self.answer_agent(message.target, message)
        name, slash, rest = message.target.removeprefix("/").partition("/")
        if name in _UNPREFIXED:
            name, rest = _UNPREFIXED[name], message.target.removeprefix("/")
        vendor = self._by_name.get(name)
        if vendor is None or not slash:
            prefixes = ", ".join(f"/{known}/" for known in self._by_name)
            deny = Deny(Code.HOST_DENIED, f"The gateway's paths begin with one of {prefixes}.")
            await self.record_denial(message, deny)
            return plain_refusal(deny)
        return await self._handle_vendor(vendor, replace(message, target="/" + rest), gateway=True)

    async def _handle_vendor(self, vendor: Vendor, message: Message, *, gateway: bool, opened_by: str = "") -> Reply:
        if not is_canary(message):
            return await self._guard.handle(vendor, message, gateway=gateway, opened_by=opened_by)
        try:
            return await answer_canary(self._desk, vendor, message, gateway=gateway)
        except Refused as refused:
            await self.record_denial(message, refused.deny)
            return denied(vendor, refused.deny)


async def open_service(config_path: str | None) -> Service:
    """Put a service together.

    Raises:
        ValueError, RuntimeError, OSError: with a sentence for the operator.
    """
    config = load(Path(config_path) if config_path else None)
    prepare(config.home)
    async with AsyncExitStack() as stack:
        url = os.environ.get(LEDGER_URL)
        if url is None:
            url = (await stack.enter_async_context(Backstage(config))).ledger_url
        ledger = Ledger.connect(url, namespace=config.ledger.namespace, wait_replicas=config.ledger.wait_replicas)
        stack.push_async_callback(ledger.close)
        forwarder = await stack.enter_async_context(make_forwarder(config))
        store = SecretStore(config)
        keeper = await stack.enter_async_context(SecretKeeper(store, config.secrets.command_max_age_seconds))
        guard = Guard(
            ledger=ledger,
            forwarder=forwarder,
            secret_of=lambda name: secret.reveal() if (secret := store.get_or_none(name)) is not None else None,
            timeout_seconds=config.proxy.vendor_timeout_seconds,
            grace_seconds=config.ledger.grace_seconds,
        )
        vendors = make_vendors(config)
        desk = Desk(ledger, config.audit_path, has_secret=lambda name: store.peek(name) is not None)
        proxy_auth = ProxyAuth(ledger, required=config.proxy.auth == "vault_key")
        service = Service(config, guard, desk, vendors, proxy_auth, resources=stack.pop_all())
        service.keeper = keeper
        return service
    raise AssertionError("unreachable")


def _agent_tls(folder: Path) -> AgentTLS:
    return AgentTLS(LeafCache(Authority.load_or_create(folder)))
