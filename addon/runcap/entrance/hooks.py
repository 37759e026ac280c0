"""What our layers ask the addon, each question with room for its answer.

Every answer is a refusal from the start: if nobody gives another, because an exception ended the addon's hook, say,
the agent is refused and nothing has been sent.
"""

from dataclasses import dataclass
from enum import Enum

from mitmproxy.connection import Client, Server
from mitmproxy.proxy import commands

from runcap.decision import Code, Deny
from runcap.entrance.wire import Malformed, Message
from runcap.reply import Reply, plain_refusal

FAIL_CLOSED = plain_refusal(Deny(Code.INTERNAL, "runcap is not able to handle calls; nothing was sent."))
"""The answer of every call until the guard has set another."""


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
    client_id: str = ""
    """The connection that it came by (mitmproxy's id)."""
    key_digest: str = ""
    """Of the vault key that opened the tunnel, if one had to."""


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
    key_digest: str = ""
    """Of the vault key that it shows, if it has to show one."""


@dataclass
class ProxyConnectHook(commands.StartHook):
    """A request on the proxy's own port has been read. The addon sets its verdict."""

    data: ProxyRequest


@dataclass(slots=True)
class TunnelHello:
    """The TLS handshake that opens inside a tunnel to another host, with room for whether it may go on."""

    connect: Message | None
    """The CONNECT that the tunnel was made for."""
    name: str | None
    """The server that it names."""
    problem: str = ""
    """Why it cannot be read, if so."""
    allowed: bool = False


@dataclass
class TunnelHelloHook(commands.StartHook):
    """A tunnel's ClientHello has been read, and has not been relayed yet. The addon allows it."""

    data: TunnelHello
