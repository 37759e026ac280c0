"""A call as bytes for a vendor."""

from runcap.entrance.wire import is_strict_head
from runcap.vendors.base import Upstream

_WITHOUT_BODY = frozenset({"GET", "DELETE"})
"""Methods for which an absent Content-Length says that there is no body (RFC 9110, section 8.6)."""


def encode_request(host: str, upstream: Upstream, signature: tuple[tuple[str, str], ...]) -> bytes:
    """The whole request: to this host, with the call's own headers and the signature's.

    An answer is asked for uncompressed, so that nobody can send a small one that is large.

    Raises:
        ValueError: it would not be one request of strict HTTP/1.1; nothing of it may be sent.
    """
    target = f"{upstream.path}?{upstream.query}" if upstream.query else upstream.path
    lines = [f"{upstream.method} {target} HTTP/1.1", f"host: {host}"]
    lines += [f"{name}: {value}" for name, value in (*upstream.headers, *signature)]
    lines.append("accept-encoding: identity")
    if upstream.body or upstream.method not in _WITHOUT_BODY:
        lines.append(f"content-length: {len(upstream.body)}")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    if head.count(b"\n") != len(lines) + 1 or not is_strict_head(head):
        raise ValueError("a header or the path has a character that HTTP/1.1 does not allow")
    return head + upstream.body
