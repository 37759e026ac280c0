"""The layers above mitmproxy's sockets: the proxy's own port, the vendors' TLS, and the calls inside.

mitmproxy gives us its connection handling and its TLS tunnel; its HTTP layers and its upstream connections are never
used for a vendor. `ProxyLayer` reads the CONNECT and asks the addon (`ProxyConnectHook`); a vendor's tunnel gets
`VendorTLSLayer` and in it a `CallLayer`, which asks the addon once for each call (`VendorCallHook`). Both questions
come with a 503 for an answer: if nobody gives another, because an exception ended the addon's hook, say, the agent is
refused and nothing has been sent.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from mitmproxy.connection import Client, Server
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.tcp import TCPLayer
from mitmproxy.proxy.layers.tls import ClientTLSLayer
from OpenSSL import SSL

from runcap.decision import Code, Deny
from runcap.reply import Reply, encode, plain_refusal
from runcap.wire import Malformed, Message, MessageReader

logger = logging.getLogger(__name__)


FAIL_CLOSED = plain_refusal(Deny(Code.INTERNAL, "runcap is not able to handle calls; nothing was sent."))
"""The answer of every call until the guard has set another."""


AgentTLS = Callable[[str], SSL.Connection]
"""Makes the server side of a TLS connection with the agent, for a vendor's host (`runcap.tls`)."""


class Entrance(Enum):
    """By which way a call came in."""

    TUNNEL = "tunnel"
    """Through CONNECT and TLS to a vendor's host."""
    GATEWAY = "gateway"
    """On the plain-HTTP gateway, the vendor named by the path's first segment."""


@dataclass(slots=True)
class VendorCall:
    """One call, or what could not be read as one, with room for its answer."""

    entrance: Entrance
    host: str
    """The vendor's host that the tunnel was made for; empty on the gateway."""
    message: Message | None
    problem: Malformed | None
    reply: Reply = FAIL_CLOSED
    last: bool = False
    """Close the connection after this answer."""


@dataclass
class VendorCallHook(commands.StartHook):
    """A call has been read whole. The addon sets its reply."""

    data: VendorCall


class Verdict(Enum):
    """What to do with a CONNECT."""

    REFUSE = "refuse"
    INTERCEPT = "intercept"
    TUNNEL = "tunnel"


@dataclass(slots=True)
class ProxyRequest:
    """A request on the proxy's own port, normally CONNECT, with room for what to do with it."""

    client: Client
    server: Server
    message: Message | None
    problem: Malformed | None
    verdict: Verdict = Verdict.REFUSE
    host: str = ""
    """For `Verdict.INTERCEPT`: the vendor's host."""
    address: tuple[str, int] | None = None
    """For `Verdict.TUNNEL`: the checked address to dial."""
    reply: Reply = FAIL_CLOSED
    """For `Verdict.REFUSE`."""


@dataclass
class ProxyConnectHook(commands.StartHook):
    """A request on the proxy's own port has been read. The addon sets its verdict."""

    data: ProxyRequest


class _MessageLayer(layer.Layer):
    """Reads a client's messages one by one; what a message means is its subclass's."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._reader = MessageReader()
        self._reading = True

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        try:
            if isinstance(event, events.DataReceived) and event.connection == self.context.client:
                self._reader.feed(event.data)
                yield from self._read()
            elif isinstance(event, events.ConnectionClosed) and event.connection == self.context.client:
                yield commands.CloseConnection(self.context.client)
        except Exception:
            logger.exception("a connection failed inside runcap; nothing was sent for it")
            yield from self._answer(FAIL_CLOSED, last=True)

    def _read(self) -> layer.CommandGenerator[None]:
        while self._reading:
            message = problem = None
            try:
                message = self._reader.next_message()
            except Malformed as malformed:
                problem = malformed
            if message is None and problem is None:
                if self._reader.awaits_continue:
                    yield commands.SendData(self.context.client, b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            yield from self._message(message, problem)

    def _message(self, message: Message | None, problem: Malformed | None) -> layer.CommandGenerator[None]:
        raise NotImplementedError

    def _answer(self, reply: Reply, *, last: bool) -> layer.CommandGenerator[None]:
        yield commands.SendData(self.context.client, encode(reply, last=last))
        if last:
            self._reading = False
            self._handle_event = self._ignore  # type: ignore[method-assign]
            yield commands.CloseConnection(self.context.client)

    def _ignore(self, event: events.Event) -> layer.CommandGenerator[None]:
        """After the last answer: what else arrives is thrown away."""
        del event
        yield from ()


class CallLayer(_MessageLayer):
    """A connection on which every message is a call to a vendor."""

    def __init__(self, context: Context, entrance: Entrance, host: str = "") -> None:
        super().__init__(context)
        self._entrance = entrance
        self._host = host

    def _message(self, message: Message | None, problem: Malformed | None) -> layer.CommandGenerator[None]:
        call = VendorCall(self._entrance, self._host, message, problem)
        yield VendorCallHook(call)
        yield from self._answer(call.reply, last=call.last or message is None or not message.keep_alive)


class ProxyLayer(_MessageLayer):
    """The proxy's own port: CONNECT, and a clear refusal of all else."""

    def __init__(self, context: Context, agent_tls: AgentTLS) -> None:
        super().__init__(context)
        self._agent_tls = agent_tls

    def _message(self, message: Message | None, problem: Malformed | None) -> layer.CommandGenerator[None]:
        request = ProxyRequest(self.context.client, self.context.server, message, problem)
        yield ProxyConnectHook(request)
        if request.verdict is Verdict.INTERCEPT:
            yield from self._enter(VendorTLSLayer(self.context, self._agent_tls, request.host))
        elif request.verdict is Verdict.TUNNEL and request.address is not None:
            self.context.server.address = request.address
            error = yield commands.OpenConnection(self.context.server)
            if error:
                deny = Deny(Code.UPSTREAM_UNREACHABLE, f"runcap could not open the tunnel: {error}.")
                yield from self._answer(plain_refusal(deny), last=True)
            else:
                yield from self._enter(TCPLayer(self.context, ignore=True))
        else:
            yield from self._answer(request.reply, last=True)

    def _enter(self, child: layer.Layer) -> layer.CommandGenerator[None]:
        """Tell the agent that the tunnel is open, and hand everything that follows to the layer inside it."""
        yield commands.SendData(self.context.client, b"HTTP/1.1 200 Connection established\r\n\r\n")
        self._reading = False
        self._handle_event = child.handle_event  # type: ignore[method-assign]
        yield from child.handle_event(events.Start())
        early = self._reader.rest()
        if early:
            yield from child.handle_event(events.DataReceived(self.context.client, early))


class VendorTLSLayer(ClientTLSLayer):
    """TLS with the agent, in a vendor's name and with our own certificate for it.

    mitmproxy's `tls_start_client` hook is not used: no other addon, and not mitmproxy's own CA, gets to choose.
    """

    def __init__(self, context: Context, agent_tls: AgentTLS, host: str) -> None:
        super().__init__(context)
        self._agent_tls = agent_tls
        self._host = host
        self.child_layer = CallLayer(context, Entrance.TUNNEL, host)

    def start_tls(self) -> layer.CommandGenerator[None]:
        """Refuse a ClientHello that names another host than the CONNECT did; else take the leaf for it."""
        if self.conn.sni != self._host:
            problem = Malformed(f"The TLS handshake names {self.conn.sni!r} in a tunnel to {self._host}.")
            yield VendorCallHook(VendorCall(Entrance.TUNNEL, self._host, None, problem))
            yield commands.CloseConnection(self.conn)
            return
        try:
            self.tls = self._agent_tls(self._host)
        except Exception:
            logger.exception("no certificate for %s; the connection is closed", self._host)
            yield commands.CloseConnection(self.conn)

    def on_handshake_error(self, err: str) -> layer.CommandGenerator[None]:
        """Say what mostly is the reason: the agent does not trust our root."""
        if self.tls is None:
            logger.warning("TLS with the agent refused: it names %r in a tunnel to %s", self.conn.sni, self._host)
            yield from super().on_handshake_error(err)
            return
        logger.warning(
            "TLS with the agent failed for %s: %s. If the agent does not know runcap's root certificate, point it at "
            "the bundle that `runcap ca export` writes.",
            self._host,
            err,
        )
        yield from super().on_handshake_error(err)
