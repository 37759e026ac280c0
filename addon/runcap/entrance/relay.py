"""A tunnel to a host that is no vendor: bytes pass untouched, once the first of them have been looked at.

CONNECT to one host and a TLS handshake that names another is how a vendor's host would be reached behind our back, so
the ClientHello is held until its server name has been checked as the CONNECT's host was. What is no TLS is relayed as
it is. A name that is encrypted (ECH) cannot be seen: there the name outside is checked.
"""

from dataclasses import dataclass

from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.tcp import TCPLayer
from mitmproxy.proxy.layers.tls import parse_client_hello

from runcap.entrance.hooks import TunnelHello, TunnelHelloHook
from runcap.entrance.limits import MAX_HELLO_BYTES
from runcap.entrance.wire import Message

ACCESS_DENIED = b"\x15\x03\x03\x00\x02\x02\x31"
"""A fatal TLS alert, access_denied (49, RFC 8446 section 6): the client's library says so in its error."""

_SERVER_NAME = 0
"""The extension's number (RFC 6066)."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The first bytes of a tunnel's client."""

    name: str | None = None
    """The server that its TLS handshake names; None: it names none, or is no TLS."""
    problem: str = ""
    """It begins like a TLS handshake and cannot be read as one."""


def read_opening(data: bytes) -> Opening | None:
    """Read the first bytes of a tunnel; None: more are needed."""
    if not starts_like_tls_record(data):
        return None if data in (b"\x16", b"\x16\x03") else Opening()
    if len(data) > MAX_HELLO_BYTES:
        return Opening(problem=f"The ClientHello is larger than {MAX_HELLO_BYTES} bytes.")
    try:
        hello = parse_client_hello(data)
        if hello is None:
            return None
        names = sum(number == _SERVER_NAME for number, _ in hello.extensions)
        name = hello.sni
    except Exception:  # noqa: BLE001 (whatever the parser makes of hostile bytes, they are not relayed)
        return Opening(problem="The ClientHello cannot be read.")
    if names > 1 or (names and name is None):
        return Opening(problem="The ClientHello's server name cannot be read.")
    return Opening(name=name)


class RelayLayer(TCPLayer):
    """Relays bytes both ways; the client's wait until its opening has been allowed."""

    def __init__(self, context: Context, connect: Message | None) -> None:
        super().__init__(context, ignore=True)
        self._connect = connect
        self._held = bytearray()
        self._opened = False

    def relay_messages(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Hold the client's first bytes until they have been judged."""
        if self._opened or not isinstance(event, events.DataReceived) or event.connection != self.context.client:
            yield from super().relay_messages(event)
            return
        self._held += event.data
        opening = read_opening(bytes(self._held))
        if opening is None:
            return
        self._opened = True
        if opening.name is not None or opening.problem:
            hello = TunnelHello(self._connect, opening.name, opening.problem)
            yield TunnelHelloHook(hello)
            if not hello.allowed:
                yield from self._refuse()
                return
        yield from super().relay_messages(events.DataReceived(self.context.client, bytes(self._held)))
        self._held.clear()

    def _refuse(self) -> layer.CommandGenerator[None]:
        self._handle_event = self.done
        yield commands.SendData(self.context.client, ACCESS_DENIED)
        yield commands.CloseConnection(self.context.server)
        yield commands.CloseConnection(self.context.client)
