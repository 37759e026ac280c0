"""The mitmproxy addon: the hooks in the order in which a call meets them, and nothing else.

`runcap up` loads it into a lean master of its own; ``mitmdump -s addon/runcap/addon.py`` loads this very file. All
imports are absolute, since mitmdump loads the file as a module of its own.
"""

import logging
from typing import TYPE_CHECKING

from mitmproxy import ctx, exceptions
from mitmproxy.addonmanager import Loader
from mitmproxy.proxy import layer as mitm_layer
from mitmproxy.proxy import server_hooks
from mitmproxy.proxy.mode_specs import ReverseMode
from OpenSSL import SSL

from runcap.agents.budget import own_path
from runcap.decision import Code, Refused, refuse
from runcap.entrance.destinations import Intercept
from runcap.entrance.hooks import Entrance, ProxyRequest, TunnelHello, VendorCall, Verdict
from runcap.entrance.layer import CallLayer, FailedLayer, ProxyLayer
from runcap.entrance.limits import DEFAULT_LIMITS, Limits
from runcap.entrance.outertls import OuterTLSLayer
from runcap.entrance.wire import Message
from runcap.proxy import options
from runcap.reply import plain_refusal

if TYPE_CHECKING:
    from runcap.proxy.crowd import Crowd
    from runcap.service import Service

logger = logging.getLogger(__name__)


class Runcap:
    """Connects mitmproxy's hooks to the guard."""

    name = "runcap"

    def __init__(self) -> None:
        self.service: Service | None = None
        """None until everything that a call needs is up; every call is refused until then."""
        self.crowd: Crowd | None = None
        """Counts the connections, in our own engine; under mitmdump nobody does."""
        self._tunnels: set[str] = set()
        """Server connections (mitmproxy's ids) whose address has been checked and may be dialled, once."""

    def load(self, loader: Loader) -> None:
        """Add our option, and put the options that protect into force."""
        loader.add_option("runcap_config", str, "", "Path of runcap.toml; RUNCAP_CONFIG or ./runcap.toml otherwise.")
        options.enforce(ctx.options)

    def configure(self, updated: set[str]) -> None:
        """Refuse to start with, or to change to, an option that would open a way around us."""
        del updated
        unsafe = options.unsafe(ctx.options)
        if unsafe:
            raise exceptions.OptionsError("runcap refuses unsafe options: " + "; ".join(unsafe))

    async def running(self) -> None:
        """Start ledger, auditor and forwarder, unless whoever made us has given us a service."""
        if self.service is None:
            from runcap.service import open_service

            try:
                self.service = await open_service(ctx.options.runcap_config or None)
            except (RuntimeError, ValueError, OSError, Refused) as error:
                logger.error("runcap cannot start: %s", error)
                ctx.master.shutdown()

    def next_layer(self, nextlayer: mitm_layer.NextLayer) -> None:
        """Put our own layers on every connection; mitmproxy's are never asked."""
        context = nextlayer.context
        try:
            inner: mitm_layer.Layer
            if isinstance(context.client.proxy_mode, ReverseMode):
                inner = CallLayer(context, Entrance.GATEWAY, limits=self._limits)
            else:
                inner = ProxyLayer(context, self._agent_tls, limits=self._limits)
            tls = self.service.outer_tls if self.service is not None else None
            nextlayer.layer = inner if tls is None else OuterTLSLayer(context, tls, inner, self._limits)
        except Exception:
            logger.exception("no layer for a connection; it is refused")
            nextlayer.layer = FailedLayer(context)

    @property
    def _limits(self) -> Limits:
        return self.service.limits if self.service is not None else DEFAULT_LIMITS

    def _agent_tls(self, host: str) -> SSL.Connection:
        if self.service is None:
            raise RuntimeError("runcap is not running")
        return self.service.agent_tls.connection(host)

    async def proxy_connect(self, request: ProxyRequest) -> None:
        """Decide on a CONNECT: intercept a vendor, tunnel or deny the rest. What is asked of us is answered here."""
        service = self.service
        if service is None:
            return
        if request.message is not None and (path := own_path(request.message)) is not None:
            request.reply = await service.answer_agent(path, request.message)
            return
        try:
            if request.problem is not None:
                raise refuse(request.problem.code, str(request.problem))
            authority = _authority(request.message)
            if request.message is not None:
                request.key_digest = service.proxy_auth.key_digest(request.message)
            await service.proxy_auth.check(request.key_digest)
            decision = await service.destinations.decide(authority)
        except Refused as refused:
            request.reply = plain_refusal(refused.deny)
            await service.record_denial(request.message, refused.deny, request.key_digest or None)
            return
        if isinstance(decision, Intercept):
            request.verdict, request.host = Verdict.INTERCEPT, decision.vendor.host
        else:
            request.verdict, request.address = Verdict.TUNNEL, decision.address
            self._tunnels.add(request.server.id)

    async def vendor_call(self, call: VendorCall) -> None:
        """Hand a call to the guard; its reply stays a 503 if anything here fails."""
        if self.service is None:
            return
        call.last = self.service.draining
        if self.crowd is None or call.message is None:
            call.reply = await self.service.handle(call)
            return
        self.crowd.call_begins(call.client_id)
        try:
            call.reply = await self.service.handle(call)
        finally:
            self.crowd.call_ends(call.client_id, good=call.reply.status < 400)

    async def tunnel_hello(self, hello: TunnelHello) -> None:
        """Allow the handshake in a tunnel, unless it names a host that the CONNECT could not have named either."""
        if self.service is None:
            return
        try:
            if hello.problem:
                raise refuse(Code.HOST_DENIED, hello.problem)
            if hello.name is not None:
                self.service.destinations.check_name(hello.name)
        except Refused as refused:
            digest = self.service.proxy_auth.key_digest(hello.connect) if hello.connect is not None else ""
            await self.service.record_denial(hello.connect, refused.deny, digest or None)
        else:
            hello.allowed = True

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Let mitmproxy dial nothing but a tunnel that has been checked: only the forwarder talks to vendors."""
        data.server.error = "runcap lets mitmproxy connect to nothing but checked tunnels"
        if data.server.id in self._tunnels:
            self._tunnels.discard(data.server.id)
            data.server.error = None

    async def done(self) -> None:
        """End what `running` has started, after the calls under way have ended."""
        service, self.service = self.service, None
        if service is not None:
            await service.close()


def _authority(message: Message | None) -> str:
    if message is not None and message.method == "CONNECT":
        return message.target
    raise refuse(
        Code.HOST_DENIED,
        "This is a proxy for HTTPS: set HTTPS_PROXY to it and use https:// URLs (for a base URL, use the gateway).",
    )


addons = [Runcap()]
