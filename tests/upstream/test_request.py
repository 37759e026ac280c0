"""A call as bytes: one request of strict HTTP/1.1, or nothing."""

import pytest

from runcap.entrance.wire import MessageReader
from runcap.upstream.request import encode_request
from runcap.vendors.base import Upstream

SIGNATURE = (("authorization", "Bearer sk"), ("idempotency-key", "k"))


def test_a_call() -> None:
    """Host first, the signature last, the length exact."""
    call = Upstream("POST", "/v1/charges", "expand=x", (("content-type", "text/plain"),), b"a=1")
    assert (
        b"POST /v1/charges?expand=x HTTP/1.1\r\nhost: api.stripe.com\r\ncontent-type: text/plain\r\n"
        b"authorization: Bearer sk\r\nidempotency-key: k\r\naccept-encoding: identity\r\ncontent-length: 3\r\n\r\na=1"
    ) == encode_request("api.stripe.com", call, SIGNATURE)


@pytest.mark.parametrize(("method", "length"), [("GET", []), ("DELETE", []), ("POST", ["0"]), ("PUT", ["0"])])
def test_no_body(method: str, length: list[str]) -> None:
    """A method that usually has one says that it has none."""
    reader = MessageReader()
    reader.feed(encode_request("api.stripe.com", Upstream(method, "/v1/x"), ()))
    message = reader.next_message()
    assert message is not None
    assert (length, b"") == (message.values("content-length"), message.body)


@pytest.mark.parametrize(
    "call",
    [
        Upstream("GET", "/v1/x", headers=(("x", "1\r\nHost: evil.example"),)),
        Upstream("GET", "/v1/x", headers=(("x", "1\nHost: evil.example"),)),
        Upstream("GET", "/v1/x", headers=(("x", "1\r\n\r\nDELETE /v1/x HTTP/1.1"),)),
        Upstream("GET", "/v1/x", headers=(("x: y\r\nz", "1"),)),
        Upstream("GET", "/v1/x", headers=(("x", "\0"),)),
        Upstream("GET", "/v1/x", headers=(("x", "€"),)),
        Upstream("GET", "/v1/x HTTP/1.1\r\nX: 1\r\n\r\nGET /"),
        Upstream("GET", "/v1/x y"),
        Upstream("GET", "/v1/é"),
        Upstream("GET", "/v1/x", "a=\r\n"),
        Upstream("get", "/v1/x"),
    ],
)
def test_what_would_be_more_than_one_request_is_none(call: Upstream) -> None:
    """Whatever got past the checks before: what goes to a vendor is one request."""
    with pytest.raises(ValueError, match=r"HTTP/1\.1|latin-1"):
        encode_request("api.stripe.com", call, SIGNATURE)
