"""The rules that a request must meet before any vendor code reads it.

A `runcap.entrance.wire.Message` is well-formed HTTP/1.1. Here it becomes a `Request` for one vendor: its host is that
vendor's and no other's, its path has one spelling, and no header stands in it that could make the vendor read it
differently from how it is priced. Whatever is not plainly right is refused.
"""

import re

from runcap.decision import Code, refuse
from runcap.entrance.wire import Message
from runcap.vendors.base import Request, Vendor

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})

_PATH = re.compile(r"(?:/[A-Za-z0-9_.:@+~=,-]+)+", re.ASCII)
"""No percent-encoding, no empty segment, no trailing slash: one path has one spelling."""
_DOTS = re.compile(r"/\.{1,2}(?:/|$)")
_QUERY = re.compile(r"[A-Za-z0-9_.:@+~=,&%\[\]/!$'()*?;-]*", re.ASCII)
_BODILESS = frozenset({"GET", "DELETE"})

_NOTHING = b"{}"
"""What resend-python sends with every GET and DELETE; it says nothing, and is not forwarded."""

_FORBIDDEN_HEADERS = {
    "content-encoding": "send the body uncompressed",
    "upgrade": "only plain HTTP/1.1 calls are possible",
    "trailer": "trailer fields are not accepted",
    "x-http-method-override": "send the real method",
    "x-http-method": "send the real method",
    "x-method-override": "send the real method",
}
_ONCE = frozenset({"host", "authorization", "content-type", "idempotency-key", "stripe-account", "stripe-version"})

_AUDITABLE_SEGMENT = re.compile(r"2010-04-01|(?![0-9.-]{7,}$)[A-Za-z0-9_.-]{1,128}", re.ASCII)
"""The date is the version in Twilio's paths, the one segment of digits that is certainly nobody's number."""


def admit(message: Message, vendor: Vendor, *, gateway: bool) -> Request:
    """Check a message against the rules and make it this vendor's request.

    On the gateway the host is the gateway's own, and the vendor's path prefix is already cut off the target.

    Raises:
        Refused: ``malformed`` with a sentence that names the rule.
    """
    if message.method not in METHODS:
        raise refuse(Code.MALFORMED, f"The method {message.method} is not one that {vendor.name} has.")
    host = _checked_headers(message).get("host")
    if host is None:
        raise refuse(Code.MALFORMED, "The header host is missing.")
    if not gateway and host not in (vendor.host, f"{vendor.host}:443"):
        raise refuse(Code.MALFORMED, f"The header host names {host!r} in a tunnel to {vendor.host}.")
    path, mark, query = message.target.partition("?")
    if _PATH.fullmatch(path) is None or _DOTS.search(path) is not None:
        raise refuse(Code.MALFORMED, "The path is not a plain absolute path: no encoding, no empty or dot segment.")
    if mark and (message.method not in _BODILESS or _QUERY.fullmatch(query) is None):
        raise refuse(Code.MALFORMED, f"A query string is not accepted here: {message.method} takes its body alone.")
    body = b"" if message.method in _BODILESS and message.body == _NOTHING else message.body
    if body and message.method in _BODILESS:
        raise refuse(Code.MALFORMED, f"A {message.method} with a body is not accepted.")
    return Request(
        method=message.method,
        path=path,
        query=query,
        headers=message.headers,
        body=body,
        gateway=gateway,
    )


def _checked_headers(message: Message) -> dict[str, str]:
    """Those headers that may be sent once, by name; none of them is there twice, and none that is forbidden at all."""
    once: dict[str, str] = {}
    for name, value in message.headers:
        if name in _FORBIDDEN_HEADERS:
            raise refuse(Code.MALFORMED, f"The header {name} is not accepted: {_FORBIDDEN_HEADERS[name]}.")
        if name in _ONCE:
            if name in once:
                raise refuse(Code.MALFORMED, f"The header {name} is sent more than once.")
            once[name] = value
    return once


def audit_path(target: str) -> str:
    """The path as the audit may keep it: no query, and no segment that could be a person's address or number."""
    path = target.partition("?")[0][:512]
    segments = (segment if _AUDITABLE_SEGMENT.fullmatch(segment) else "{hidden}" for segment in path.split("/")[1:])
    return "/" + "/".join(segments)
