"""The wire layer: what is one message, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runcap.decision import Code
from runcap.entrance.limits import MAX_BODY_BYTES, MAX_HEAD_BYTES
from runcap.entrance.wire import Malformed, Message, MessageReader

HEAD = b"POST /v1/charges HTTP/1.1\r\nHost: api.stripe.com\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def read(*chunks: bytes) -> list[Message]:
    """Feed the chunks one after the other and collect the messages."""
    reader = MessageReader()
    messages = []
    for chunk in chunks:
        reader.feed(chunk)
        while (message := reader.next_message()) is not None:
            messages.append(message)
    return messages


def test_one_message() -> None:
    """Method, target, headers and body come out as they went in; names are lower-cased."""
    (message,) = read(HEAD + b"Content-Length: 3\r\nX-A:  b \r\n\r\nabc")

    assert message.method == "POST"
    assert message.target == "/v1/charges"
    assert message.headers == (("host", "api.stripe.com"), ("content-length", "3"), ("x-a", "b"))
    assert message.body == b"abc"
    assert message.keep_alive


def test_pipelined_messages_are_read_one_by_one() -> None:
    """Two requests in one read are two messages, each with its own body."""
    first = HEAD + b"Content-Length: 3\r\n\r\nabc"
    second = b"POST /v1/refunds HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nde"

    assert [("/v1/charges", b"abc"), ("/v1/refunds", b"de")] == [(m.target, m.body) for m in read(first + second)]


@given(st.lists(st.integers(1, 20), max_size=12))
def test_it_does_not_matter_how_the_bytes_arrive(cuts: list[int]) -> None:
    """Cutting the stream anywhere gives the same messages."""
    stream = HEAD + b"Content-Length: 3\r\n\r\nabc" + CHUNKED + b"3\r\nxyz\r\n0\r\n\r\n"
    pieces, rest = [], stream
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]

    assert [b"abc", b"xyz"] == [message.body for message in read(*pieces, rest)]


def test_connection_close_is_seen() -> None:
    """A client that will close says so in the message."""
    (message,) = read(HEAD + b"Connection: close\r\n\r\n")

    assert not message.keep_alive


def test_expect_continue_is_asked_for_once() -> None:
    """A client that waits for 100 Continue gets leave once, then its body is read."""
    reader = MessageReader()
    reader.feed(HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")

    assert reader.next_message() is None
    assert reader.awaits_continue
    assert not reader.awaits_continue
    reader.feed(b"ab")
    message = reader.next_message()
    assert message is not None
    assert message.body == b"ab"


def test_connect_leaves_the_tunnels_first_bytes() -> None:
    """What follows a CONNECT in the same read belongs to the tunnel."""
    reader = MessageReader()
    reader.feed(b"CONNECT api.stripe.com:443 HTTP/1.1\r\nHost: api.stripe.com:443\r\n\r\n\x16\x03\x01")

    message = reader.next_message()
    assert message is not None
    assert message.target == "api.stripe.com:443"
    assert reader.rest() == b"\x16\x03\x01"


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", id="te-and-cl"),
        pytest.param(HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", id="two-cl"),
        pytest.param(HEAD + b"Content-Length: +3\r\n\r\nabc", id="signed-cl"),
        pytest.param(HEAD + b"Content-Length: 3, 3\r\n\r\nabc", id="comma-cl"),
        pytest.param(HEAD + b"Content-Length: 03\r\n\r\nabc", id="padded-cl"),
        pytest.param(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="gzip-chunked"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="two-te"),
        pytest.param(CHUNKED + b"3\r\nabc\r\n0\r\nX-T: y\r\n\r\n", id="trailers"),
        pytest.param(CHUNKED + b"3\r\nabc\r\n0\r\n\r\n" + HEAD + b"\r\n", id="pipelined-behind-chunked"),
        pytest.param(CHUNKED + b"zz\r\nabc\r\n0\r\n\r\n", id="bad-chunk-size"),
        pytest.param(HEAD + b"X-A: b\r\n c\r\n\r\n", id="obs-fold"),
        pytest.param(HEAD + b"X-A: b\rc\r\n\r\n", id="bare-cr"),
        pytest.param(HEAD + b"X-A: b\n\r\n", id="bare-lf"),
        pytest.param(b"POST / HTTP/1.1\nHost: x\n\n", id="only-lf"),
        pytest.param(HEAD + b"X-A: b\x00\r\n\r\n", id="nul"),
        pytest.param(HEAD + b"X A: b\r\n\r\n", id="blank-in-name"),
        pytest.param(HEAD + b"X-A : b\r\n\r\n", id="blank-before-colon"),
        pytest.param(b"\r\n" + HEAD + b"\r\n", id="leading-crlf"),
        pytest.param(b"GET /\r\n\r\n", id="http-0.9"),
        pytest.param(b"GET / HTTP/1.0\r\n\r\n", id="http-1.0"),
        pytest.param(b"GET / HTTP/9.9\r\n\r\n", id="http-9.9"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="http2-preface"),
        pytest.param(b"get / HTTP/1.1\r\n\r\n", id="lower-case-method"),
        pytest.param(b"GET  / HTTP/1.1\r\n\r\n", id="two-blanks"),
        pytest.param(b"GET /\xff HTTP/1.1\r\n\r\n", id="not-ascii-target"),
        pytest.param(HEAD + b"Upgrade: h2c\r\nConnection: upgrade\r\n\r\n", id="upgrade"),
        pytest.param(HEAD + b"Expect: 200-ok\r\n\r\n", id="unknown-expectation"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", id="tls"),
    ],
)
def test_ambiguous_bytes_are_refused(stream: bytes) -> None:
    """Whatever could be read in two ways, or is no HTTP/1.1, is malformed."""
    with pytest.raises(Malformed) as caught:
        read(stream)

    assert caught.value.code is Code.MALFORMED


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(HEAD + b"X-A: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n", id="head"),
        pytest.param(b"A" * (MAX_HEAD_BYTES + 1), id="endless-first-line"),
        pytest.param(HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1), id="body"),
        pytest.param(CHUNKED + b"%x\r\n" % (MAX_BODY_BYTES + 1) + b"a" * (MAX_BODY_BYTES + 1), id="chunked-body"),
        pytest.param(CHUNKED + b"1\r\na\r\n" * 70_000, id="one-byte-chunks"),
    ],
)
def test_what_is_too_large_is_refused(stream: bytes) -> None:
    """Heads and bodies are bounded."""
    with pytest.raises(Malformed) as caught:
        read(stream)

    assert caught.value.code is Code.TOO_LARGE


@given(st.binary(max_size=400))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    """Any bytes give messages or `Malformed`, never another exception."""
    try:
        messages = read(data)
    except Malformed:
        return
    assert all(isinstance(message, Message) for message in messages)
