"""What the agent gets: the vendor's answer, or a refusal in the vendor's own envelope; and how it looks on the wire."""

import json
from http import HTTPStatus

import msgspec

from runcap.decision import Code, Deny
from runcap.ledger.model import Ended, Held
from runcap.money import usd_from_micros
from runcap.vendors.base import Response, Vendor

_REDACTED = "[redacted by runcap]"

_HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
    "upgrade", "content-length", "content-encoding", "alt-svc", "strict-transport-security",
})  # fmt: skip
"""Headers of an answer that end at us: they speak of one connection, or of a body that we have decoded."""


class Reply(msgspec.Struct, frozen=True):
    """What the agent gets."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def denied(vendor: Vendor, deny: Deny) -> Reply:
    """A refusal in the vendor's own envelope."""
    body, headers = vendor.error(deny)
    content_type = ("content-type", "application/json")
    return Reply(deny.status, (content_type, *headers), json.dumps(body).encode())


def plain_refusal(deny: Deny) -> Reply:
    """A refusal in runcap's own JSON, where no vendor's envelope applies."""
    body = json.dumps(deny.fields(None)).encode()
    headers = [("content-type", "application/json")]
    if deny.code is Code.PROXY_AUTH_REQUIRED:
        headers.append(("proxy-authenticate", 'Basic realm="runcap"'))
    return Reply(deny.status, tuple(headers), body)


def credentials(secret: str, signature: tuple[tuple[str, str], ...]) -> list[str]:
    """All spellings of the secret that went upstream: itself, and as it stood in the Authorization header."""
    sent = [value.partition(" ")[2] for name, value in signature if name.lower() == "authorization"]
    return [secret, *(token for token in sent if token and token != secret)]


def forwarded(response: Response, held: Held, ended: Ended | None, credentials: list[str]) -> Reply:
    """The vendor's answer for the agent: without the secret, should the vendor have echoed it, and with our headers."""
    cost = held.held_micros if ended is None else ended.settled_micros
    given_back = held.held_micros - cost
    headers = [
        (name, _redacted(value, credentials))
        for name, value in response.headers
        if name not in _HOP_BY_HOP and not name.startswith("runcap-")
    ]
    headers += [
        ("Runcap-Run", held.run_id),
        ("Runcap-Cost-Usd", usd_from_micros(cost)),
        ("Runcap-Spent-Usd", usd_from_micros(held.spent_micros - given_back)),
    ]
    if held.remaining_micros is not None:
        headers.append(("Runcap-Remaining-Usd", usd_from_micros(held.remaining_micros + given_back)))
    body = response.body
    for credential in credentials:
        body = body.replace(credential.encode(), _REDACTED.encode())
    return Reply(response.status, tuple(headers), body)


def _redacted(text: str, credentials: list[str]) -> str:
    for credential in credentials:
        text = text.replace(credential, _REDACTED)
    return text


def encode(reply: Reply, *, last: bool) -> bytes:
    """An answer as bytes, with a Content-Length of our own."""
    try:
        phrase = HTTPStatus(reply.status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {reply.status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in reply.headers]
    if reply.status != HTTPStatus.NO_CONTENT:
        lines.append(f"content-length: {len(reply.body)}")
    lines.append("connection: close" if last else "connection: keep-alive")
    head = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"
    return head if reply.status == HTTPStatus.NO_CONTENT else head + reply.body
