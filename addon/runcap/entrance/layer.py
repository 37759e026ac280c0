"""The layers above mitmproxy's sockets: the proxy's own port, and the calls on it and on the gateway.

mitmproxy gives us its connection handling and its TLS tunnel; its HTTP layers and its upstream connections are never
used for a vendor. `ProxyLayer` reads the CONNECT and asks the addon (`ProxyConnectHook`); a vendor's tunnel gets
`runcap.entrance.tlslayer.VendorTLSLayer` and in it a `CallLayer`, which asks the addon once for each call
(`VendorCallHook`); any other tunnel gets `runcap.entrance.relay.RelayLayer`.
"""

import logging
import time

from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context

from runcap.decision import Code, Deny
from runcap.entrance.hooks import (
    FAIL_CLOSED,
    Entrance,
    ProxyConnectHook,
    ProxyRequest,
    VendorCall,
    VendorCallHook,
    Verdict,
)
from runcap.entrance.limits import DEFAULT_LIMITS, LINGER_SECONDS, Limits
from runcap.entrance.relay import RelayLayer
from runcap.entrance.tlslayer import AgentTLS, VendorTLSLayer
from runcap.entrance.wire import Malformed, Message, MessageReader
from runcap.reply import Reply, encode, plain_refusal

__all__ = ["CallLayer", "Entrance", "FailedLayer", "ProxyLayer", "ProxyRequest", "VendorCall", "Verdict"]

logger = logging.getLogger(__name__)


class _MessageLayer(layer.Layer):
    """Reads a client's messages one by one; what a message means is its subclass's.

    A message must come in its time: the whole head soon after the connection's start or the message's first byte, the
    whole message within the time that a connection may be idle.
    """

    def __init__(self, context: Context, limits: Limits = DEFAULT_LIMITS) -> None:
        super().__init__(context)
        self._limits = limits
        self._reader = MessageReader()
        self._reading = True
        self._since: float | None = None
        """When what is being waited for began; None: nothing is, and the connection may be idle."""
        self._timer: commands.RequestWakeup | None = None

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        try:
            if isinstance(event, events.DataReceived) and event.connection == self.context.client:
                self._reader.feed(event.data)
                yield from self._read()
                yield from self._keep_time()
            elif isinstance(event, events.Start):
                self._since = time.monotonic()
                yield from self._keep_time()
            elif isinstance(event, events.Wakeup) and event.command is self._timer:
                yield from self._time_is_up()
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
                if self._since is None and self._reader.mid_message:
                    self._since = time.monotonic()
                if self._reader.awaits_continue:
                    yield commands.SendData(self.context.client, b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            self._since = None
            yield from self._message(message, problem)

    def _message(self, message: Message | None, problem: Malformed | None) -> layer.CommandGenerator[None]:
        raise NotImplementedError

    def _answer(self, reply: Reply, *, last: bool, unread: bool = False) -> layer.CommandGenerator[None]:
        """Send an answer; with `unread`, the client may be in the middle of sending what nobody will read."""
        yield commands.SendData(self.context.client, encode(reply, last=last))
        if not last:
            return
        self._reading = False
        self._since = None
        if unread and self.context.client.connected:
            # Closed at once, the client's next byte would make the system reset the connection and drop the answer.
            self._handle_event = self._linger  # type: ignore[method-assign]
            yield commands.CloseTcpConnection(self.context.client, half_close=True)
            self._timer = commands.RequestWakeup(LINGER_SECONDS)
            yield self._timer
        else:
            self._handle_event = self._ignore  # type: ignore[method-assign]
            yield commands.CloseConnection(self.context.client)

    def _linger(self, event: events.Event) -> layer.CommandGenerator[None]:
        """After the last answer: throw away what else arrives, until the client has closed or its time is up."""
        timed_out = isinstance(event, events.Wakeup) and event.command is self._timer
        if timed_out or isinstance(event, events.ConnectionClosed):
            self._handle_event = self._ignore  # type: ignore[method-assign]
            yield commands.CloseConnection(self.context.client)

    def _ignore(self, event: events.Event) -> layer.CommandGenerator[None]:
        """After the end: what else arrives is thrown away."""
        del event
        yield from ()

    def _allowed_seconds(self) -> float:
        return self._limits.idle_seconds if self._reader.mid_body else self._limits.head_seconds

    def _keep_time(self) -> layer.CommandGenerator[None]:
        """One timer at the most for a connection, and none while it is idle between two messages."""
        if self._since is not None and self._timer is None:
            self._timer = commands.RequestWakeup(self._since + self._allowed_seconds() - time.monotonic())
            yield self._timer

    def _time_is_up(self) -> layer.CommandGenerator[None]:
        """Give up on the message, if it is still the one that was waited for."""
        self._timer = None
        if self._since is None or not self._reading:
            return
        allowed = self._allowed_seconds()
        if time.monotonic() < self._since + allowed:
            yield from self._keep_time()
            return
        part = "whole request" if self._reader.mid_body else "head of a request"
        problem = Malformed(f"The {part} did not arrive within {allowed} seconds.", Code.TOO_SLOW)
        yield from self._message(None, problem)


class CallLayer(_MessageLayer):
    """A connection on which every message is a call to a vendor."""

    def __init__(
        self,
        context: Context,
        entrance: Entrance,
        host: str = "",
        *,
        key_digest: str = "",
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        super().__init__(context, limits)
        self._entrance = entrance
        self._host = host
        self._key_digest = key_digest

    def _message(self, message: Message | None, problem: Malformed | None) -> layer.CommandGenerator[None]:
        call = VendorCall(self._entrance, self._host, message, problem)
        call.client_id, call.key_digest = self.context.client.id, self._key_digest
        yield VendorCallHook(call)
        # Whoever has no good key gets no second guess on the same connection.
        last = call.last or message is None or not message.keep_alive or call.reply.status == 401
        yield from self._answer(call.reply, last=last, unread=message is None)


class ProxyLayer(_MessageLayer):
    """The proxy's own port: CONNECT, and a clear refusal of all else."""

    def __init__(self, context: Context, agent_tls: AgentTLS, *, limits: Limits = DEFAULT_LIMITS) -> None:
        super().__init__(context, limits)
        self._agent_tls = agent_tls
        self._child: layer.Layer | None = None

    def _message(self, message: Message | None, problem: Malformed | None) -> layer.CommandGenerator[None]:
        request = ProxyRequest(self.context.client, self.context.server, message, problem)
        yield ProxyConnectHook(request)
        if request.verdict is Verdict.INTERCEPT:
            calls = CallLayer(
                self.context, Entrance.TUNNEL, request.host, key_digest=request.key_digest, limits=self._limits
            )
            tls = VendorTLSLayer(self.context, self._agent_tls, request.host, calls, self._limits)
            yield from self._enter(tls)
        elif request.verdict is Verdict.TUNNEL and request.address is not None:
            self.context.server.address = request.address
            error = yield commands.OpenConnection(self.context.server)
            if error:
                deny = Deny(Code.UPSTREAM_UNREACHABLE, f"runcap could not open the tunnel: {error}.")
                yield from self._answer(plain_refusal(deny), last=True)
            else:
                yield from self._enter(RelayLayer(self.context, message))
        else:
            yield from self._answer(request.reply, last=True, unread=message is None)

    def _enter(self, child: layer.Layer) -> layer.CommandGenerator[None]:
        """Tell the agent that the tunnel is open, and hand everything that follows to the layer inside it."""
        yield commands.SendData(self.context.client, b"HTTP/1.1 200 Connection established\r\n\r\n")
        self._reading = False
        self._child = child
        self._handle_event = self._inside  # type: ignore[method-assign]
        yield from child.handle_event(events.Start())
        early = self._reader.rest()
        if early:
            yield from child.handle_event(events.DataReceived(self.context.client, early))

    def _inside(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Everything is the child's, but for our own timer."""
        assert self._child is not None
        if not (isinstance(event, events.Wakeup) and event.command is self._timer):
            yield from self._child.handle_event(event)


class FailedLayer(_MessageLayer):
    """A connection that no layer could be made for: it is told so, and closed."""

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Answer the first bytes, whatever they are."""
        if isinstance(event, events.DataReceived):
            yield from self._answer(FAIL_CLOSED, last=True, unread=True)
        elif isinstance(event, events.ConnectionClosed):
            yield commands.CloseConnection(self.context.client)
