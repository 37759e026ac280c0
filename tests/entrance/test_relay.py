"""The first bytes of a tunnel: which server they name, and what is not relayed."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runcap.entrance.limits import MAX_HELLO_BYTES
from runcap.entrance.relay import Opening, read_opening


def client_hello(name: str | None) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def in_records(hello: bytes, size: int) -> bytes:
    """The same handshake message, cut into several TLS records."""
    body = hello[5:]
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece for piece in pieces)


@pytest.mark.parametrize("name", ["api.stripe.com", "example.com", None])
def test_the_name_is_read(name: str | None) -> None:
    """Whole, in pieces, and over several records."""
    hello = client_hello(name)
    assert Opening(name) == read_opening(hello)
    assert Opening(name) == read_opening(in_records(hello, 50))
    assert {None} == {read_opening(hello[:length]) for length in range(1, len(hello))}


@pytest.mark.parametrize("data", [b"SSH-2.0-client\r\n", b"GET / HTTP/1.1\r\n", b"\x00\x01", b"\x16\x04\x00"])
def test_other_protocols_are_not_held(data: bytes) -> None:
    """What is no TLS names nobody."""
    assert Opening() == read_opening(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        b"\x16\x03\x01\x00\x00",
        client_hello("example.com").replace(b"example.com", b"exam\x00le.com"),
        client_hello("example.com").replace(b"\x00\x00\x0bexample.com", b"\x01\x00\x0bexample.com"),
        b"\x16\x03\x01\x40\x00" + bytes(MAX_HELLO_BYTES),
    ],
    ids=["short", "empty-record", "nul-in-name", "name-type", "too-large"],
)
def test_what_begins_like_tls_must_be_readable(data: bytes) -> None:
    """A handshake that we cannot read might be one that the server can."""
    opening = read_opening(data)
    assert opening is not None
    assert opening.problem != ""


@given(st.binary(max_size=300))
def test_no_bytes_break_it(data: bytes) -> None:
    """Whatever comes, it is held, relayed or refused."""
    assert isinstance(read_opening(b"\x16\x03\x01" + data), Opening | None)
