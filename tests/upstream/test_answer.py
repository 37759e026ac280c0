"""A vendor's answer, byte for byte: what is read, and what is refused because it could be read in two ways."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runcap.upstream.answer import MAX_BODY_BYTES, MAX_HEAD_BYTES, AnswerReader, BadAnswer
from runcap.vendors.base import Response

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def sized(body: bytes, head: bytes = OK) -> bytes:
    """An answer with a Content-Length."""
    return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def read(*pieces: bytes) -> tuple[Response | None, AnswerReader]:
    """Feed pieces until the answer is whole."""
    reader = AnswerReader()
    for piece in pieces:
        if (response := reader.feed(piece)) is not None:
            return response, reader
    return None, reader


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(
            sized(b"{}", OK + b"Request-Id: req_1\r\nX: \xe9 \r\n"),
            Response(200, (("request-id", "req_1"), ("x", "é"), ("content-length", "2")), b"{}"),
            id="names are small, values keep their bytes",
        ),
        pytest.param(
            CHUNKED + b"1\r\n{\r\n1;x=y\r\n}\r\n0\r\n\r\n",
            Response(200, (("transfer-encoding", "chunked"),), b"{}"),
            id="chunked",
        ),
        pytest.param(
            CHUNKED + b"2\r\n{}\r\n0\r\nRequest-Id: forged\r\n\r\n",
            Response(200, (("transfer-encoding", "chunked"),), b"{}"),
            id="a trailer is no header",
        ),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", Response(204, (), b""), id="204"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\n\r\n", Response(304, (), b""), id="304"),
        pytest.param(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + sized(b"1"),
            Response(200, (("content-length", "1"),), b"1"),
            id="interim answers are passed over",
        ),
        pytest.param(
            sized(gzip.compress(b"{}"), OK + b"Content-Encoding: gzip\r\n"),
            Response(200, (("content-encoding", "gzip"), ("content-length", "22")), b"{}"),
            id="gzip",
        ),
        pytest.param(
            sized(zlib.compress(b"{}"), OK + b"Content-Encoding: deflate\r\n"),
            Response(200, (("content-encoding", "deflate"), ("content-length", "10")), b"{}"),
            id="deflate",
        ),
        pytest.param(
            sized(b"{}", OK + b"Content-Encoding: identity\r\n"),
            Response(200, (("content-encoding", "identity"), ("content-length", "2")), b"{}"),
            id="identity",
        ),
    ],
)
def test_a_whole_answer(answer: bytes, expected: Response) -> None:
    """However it is framed; and its connection is good for the next."""
    response, reader = read(answer)
    assert (expected, True) == (response, reader.keep_alive)
    assert expected == read(*(answer[at : at + 1] for at in range(len(answer))))[0]


NO_ANSWERS = {
    "no length": (OK + b"\r\n{}", "does not say how long"),
    "HTTP/1.0 without one": (b"HTTP/1.0 200 OK\r\n\r\n{}", "does not say how long"),
    "not chunked last": (OK + b"Transfer-Encoding: gzip\r\n\r\n", "does not say how long"),
    "chunked and a length": (OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}", "strict"),
    "a length and chunked": (OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", "strict"),
    "two lengths": (OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", "strict"),
    "two different lengths": (OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "strict"),
    "a negative length": (OK + b"Content-Length: -2\r\n\r\n{}", "strict"),
    "a list of lengths": (OK + b"Content-Length: 2, 2\r\n\r\n{}", "strict"),
    "a length beyond 64 bits": (OK + b"Content-Length: 99999999999999999999\r\n\r\n{}", "strict"),
    "a length beyond the bound": (OK + b"Content-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1), "larger than"),
    "a folded header": (OK + b"X: 1\r\n folded\r\nContent-Length: 2\r\n\r\n{}", "strict"),
    "NUL in a name": (OK + b"X\0: 1\r\nContent-Length: 2\r\n\r\n{}", "strict"),
    "bare line feeds": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", "strict"),
    "HTTP/2": (b"HTTP/2 200\r\nContent-Length: 2\r\n\r\n{}", "strict"),
    "SSH": (b"SSH-2.0-OpenSSH_9.6\r\n", "strict"),
    "no head": (b"{}", "strict"),
    "no chunk size": (CHUNKED + b"x\r\n", "strict"),
    "a chunk that is too long": (CHUNKED + b"2\r\n{}}\r\n0\r\n\r\n", "strict"),
    "switching protocols": (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        "switch protocols",
    ),
    "an endless head": (OK + b"X: " + b"x" * MAX_HEAD_BYTES, "head is larger"),
    "endless interim answers": (b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_HEAD_BYTES // 25 + 1), "head is larger"),
    "brotli": (sized(b"{}", OK + b"Content-Encoding: br\r\n"), "content-encoding is br"),
    "gzip twice": (sized(b"{}", OK + b"Content-Encoding: gzip, gzip\r\n"), "content-encoding is gzip, gzip"),
    "no gzip": (sized(b"{}", OK + b"Content-Encoding: gzip\r\n"), "cannot be decompressed"),
    "half a gzip": (sized(gzip.compress(b"{}")[:-4], OK + b"Content-Encoding: gzip\r\n"), "not whole"),
    "something behind the gzip": (
        sized(gzip.compress(b"{}") + b"x", OK + b"Content-Encoding: gzip\r\n"),
        "more behind",
    ),
    "a bomb": (sized(gzip.compress(bytes(MAX_BODY_BYTES + 1)), OK + b"Content-Encoding: gzip\r\n"), "larger than"),
}


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_what_is_no_answer(name: str) -> None:
    """It could be cut off, be read in two ways, or not end."""
    answer, problem = NO_ANSWERS[name]
    with pytest.raises(BadAnswer, match=problem):
        read(answer)


def test_a_chunked_body_without_an_end() -> None:
    """It is bounded as it grows."""
    reader = AnswerReader()
    reader.feed(CHUNKED)
    chunk = b"100000\r\n" + bytes(0x100000) + b"\r\n"
    for _ in range(MAX_BODY_BYTES // 0x100000):
        assert reader.feed(chunk) is None
    with pytest.raises(BadAnswer, match="larger than"):
        reader.feed(chunk)


@pytest.mark.parametrize(
    "answer",
    [
        sized(b"{}") + b"x",
        sized(b"{}") + sized(b"[]"),
        sized(b"{}", OK + b"Connection: close\r\n"),
        sized(b"{}", b"HTTP/1.0 200 OK\r\n"),
        CHUNKED + b"2\r\n{}\r\n0\r\n\r\n" + sized(b"[]"),
    ],
    ids=["garbage behind it", "another behind it", "close", "HTTP/1.0", "another behind a chunked one"],
)
def test_an_answer_that_is_its_connections_last(answer: bytes) -> None:
    """It is good itself; nothing else is sent on its connection, whose next answer it might have brought along."""
    response, reader = read(answer)
    assert response is not None
    assert (b"{}", False) == (response.body, reader.keep_alive)


def test_a_cut_answer_is_none() -> None:
    """The bytes so far are told from none, for who wonders whether the vendor had begun."""
    for answer in (sized(b"{}"), CHUNKED + b"2\r\n{}\r\n0\r\n\r\n"):
        for end in range(len(answer)):
            response, reader = read(answer[:end])
            assert (None, True) == (response, reader.begun)
    assert not AnswerReader().begun


@given(st.binary(max_size=300), st.lists(st.integers(0, 400), max_size=6), st.sampled_from([100, 40, 0]))
def test_the_pieces_do_not_matter(body: bytes, cuts: list[int], chunk: int) -> None:
    """The same bytes are the same answer, wherever the network cuts them."""
    if chunk:
        parts = [body[at : at + chunk] for at in range(0, len(body), chunk)]
        answer = CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    else:
        answer = sized(body)
    ends = sorted({min(cut, len(answer)) for cut in cuts} | {len(answer)})
    pieces = [answer[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    response, _ = read(*(piece for piece in pieces if piece))
    assert response is not None
    assert body == response.body
