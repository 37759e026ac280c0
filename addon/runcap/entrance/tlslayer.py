"""TLS with the agent inside a vendor's tunnel: the one name, our own certificate, and an end to whatever fails."""

import logging
from collections.abc import Callable
from contextlib import suppress

from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.tls import ClientTLSLayer
from mitmproxy.proxy.tunnel import TunnelState
from OpenSSL import SSL

from runcap.entrance.hooks import Entrance, VendorCall, VendorCallHook
from runcap.entrance.limits import MAX_HELLO_BYTES, Limits
from runcap.entrance.wire import Malformed
from runcap.reply import encode

logger = logging.getLogger(__name__)

AgentTLS = Callable[[str], SSL.Connection]
"""Makes the server side of a TLS connection with the agent, for a vendor's host (`runcap.entrance.agenttls`)."""

UNRECOGNIZED_NAME = b"\x15\x03\x03\x00\x02\x02\x70"
"""A fatal TLS alert, unrecognized_name (112, RFC 6066 section 3)."""


class VendorTLSLayer(ClientTLSLayer):
    """TLS with the agent, in a vendor's name and with our own certificate for it.

    mitmproxy's `tls_start_client` hook is not used: no other addon, and not mitmproxy's own CA, gets to choose.
    """

    def __init__(self, context: Context, agent_tls: AgentTLS, host: str, calls: layer.Layer, limits: Limits) -> None:
        super().__init__(context)
        self._agent_tls = agent_tls
        self._host = host
        self._limits = limits
        self._timer: commands.RequestWakeup | None = None
        self.child_layer = calls

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Give the handshake its time, and close the connection on any error: mitmproxy would leave it open."""
        try:
            if isinstance(event, events.Start):
                self._timer = commands.RequestWakeup(self._limits.handshake_seconds)
                yield self._timer
            if isinstance(event, events.Wakeup) and event.command is self._timer:
                if self.tunnel_state is TunnelState.ESTABLISHING:
                    yield from self._give_up(f"it took longer than {self._limits.handshake_seconds} seconds")
                return
            yield from super()._handle_event(event)
        except Exception:
            logger.exception("TLS with the agent failed inside runcap; the connection to %s is closed", self._host)
            self.tunnel_state = TunnelState.CLOSED
            yield commands.CloseConnection(self.context.client)

    def receive_handshake_data(self, data: bytes) -> layer.CommandGenerator[tuple[bool, str | None]]:
        """Bound what a ClientHello may take before it is one."""
        if not self.client_hello_parsed and len(self.recv_buffer) + len(data) > MAX_HELLO_BYTES:
            return False, "Cannot parse ClientHello: too large"
        return (yield from super().receive_handshake_data(data))

    def start_tls(self) -> layer.CommandGenerator[None]:
        """Refuse a ClientHello that names another host than the CONNECT did; else take the leaf for it."""
        if self.conn.sni == self._host:
            try:
                self.tls = self._agent_tls(self._host)
            except Exception:
                logger.exception("no certificate for %s; the connection is closed", self._host)
                yield commands.CloseConnection(self.conn)
            return
        problem = f"The TLS handshake names {self.conn.sni!r} in a tunnel to {self._host}."
        logger.warning("refused: %s", problem)
        yield from self._report(problem)
        yield commands.SendData(self.conn, UNRECOGNIZED_NAME)
        yield commands.CloseConnection(self.conn)

    def on_handshake_error(self, err: str) -> layer.CommandGenerator[None]:
        """Answer bytes that are no TLS, and say in the log what mostly is the reason of all else."""
        if err.startswith("Cannot parse ClientHello"):
            call = yield from self._report(f"What comes in the tunnel to {self._host} is no TLS handshake.")
            yield commands.SendData(self.conn, encode(call.reply, last=True))
            yield from self._give_up("no TLS")
        elif self.tls is None:
            yield from self._give_up(err)  # refused, and said so
        else:
            yield from self.tls_interact()  # the alert that OpenSSL has for the client
            yield from self._give_up(err)

    def send_close(self, command: commands.CloseConnection) -> layer.CommandGenerator[None]:
        """Say that this is the end of what we have to say, so that no answer looks cut."""
        if self.tls is not None:
            with suppress(SSL.Error):  # it may have ended before
                self.tls.shutdown()
            yield from self.tls_interact()
        yield from super().send_close(command)

    def _report(self, problem: str) -> layer.CommandGenerator[VendorCall]:
        """Have it audited; the reply is there for clients that can read one."""
        call = VendorCall(Entrance.TUNNEL, self._host, None, Malformed(problem), client_id=self.context.client.id)
        yield VendorCallHook(call)
        return call

    def _give_up(self, reason: str) -> layer.CommandGenerator[None]:
        if self.tls is not None and "connection closed" not in reason:
            logger.warning(
                "TLS with the agent failed for %s: %s. If the agent does not know runcap's root certificate, point it "
                "at the bundle that `runcap ca export` writes.",
                self._host,
                reason,
            )
        self.conn.error = reason
        self.tunnel_state = TunnelState.CLOSED
        self.event_to_child = self.errored  # type: ignore[method-assign]
        yield commands.CloseConnection(self.tunnel_connection)
