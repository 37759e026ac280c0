"""Threats 23 to 28: bytes that can be read in two ways are read in none."""

from tests.e2e.harness import IssuedRun, RuncapUp
from tests.e2e.threats.raw import CHARGE, CHARGE_MICROS, FORM, STRIPE, authorization, charge, tunnel
from tests.e2e.threats.scene import Scene

LENGTH = f"{len(CHARGE)}".encode()


def post(run: IssuedRun, *, start: bytes = b"POST /v1/payment_intents HTTP/1.1", framing: bytes, body: bytes) -> bytes:
    """A charge with a request line and a framing of its own."""
    host = f"Host: {STRIPE}\r\n".encode()
    return start + b"\r\n" + host + authorization(run) + FORM + framing + b"\r\n" + body


def refused(scene: Scene, *attacks: bytes) -> None:
    """Each of these is refused, and its connection ends with it."""
    with scene.refused(*["malformed"] * len(attacks)):
        for data in attacks:
            with tunnel(scene.up) as raw:
                answer = scene.note(raw.send(data).answer())
                assert (422, "malformed") == (answer.status, answer.code), data
                assert b"connection: close" in answer.head
                assert b"" == raw.rest()


def test_23_two_lengths(scene: Scene, run: IssuedRun) -> None:
    """Content-Length together with Transfer-Encoding, twice, signed, or in a list."""
    framings = (
        b"Content-Length: %b\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: %b\r\n",
        b"Content-Length: %b\r\nContent-Length: %b\r\n",
        b"Content-Length: %b\r\nContent-Length: 0\r\n",
        b"Content-Length: +%b\r\n",
        b"Content-Length: -%b\r\n",
        b"Content-Length: %b, %b\r\n",
        b"Content-Length: 0%b\r\n",
        b"Content-Length: 0x40\r\n",
        b"Content-Length : %b\r\n",
    )
    refused(scene, *(post(run, framing=framing.replace(b"%b", LENGTH), body=CHARGE) for framing in framings))


def test_24_other_transfer_codings(scene: Scene, run: IssuedRun) -> None:
    """Chunked alone is accepted."""
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(CHARGE), CHARGE)
    codings = ("gzip, chunked", "chunked, gzip", "identity", "xchunked", "chunked\r\nTransfer-Encoding: chunked")
    refused(scene, *(post(run, framing=f"Transfer-Encoding: {coding}\r\n".encode(), body=body) for coding in codings))


def test_25_trailers(scene: Scene, run: IssuedRun) -> None:
    """Fields after a chunked body could change what was priced."""
    body = b"%x\r\n%b\r\n0\r\nAuthorization: Bearer other\r\n\r\n" % (len(CHARGE), CHARGE)
    refused(scene, post(run, framing=b"Transfer-Encoding: chunked\r\n", body=body))


def test_26_bare_control_characters(scene: Scene, run: IssuedRun) -> None:
    """Bare CR, LF and NUL, and folded lines."""
    headers = (
        b"X-A: b\rX-C: d\r\n",
        b"X-A: b\nX-C: d\r\n",
        b"X-A: b\x00c\r\n",
        b"X-A: b\r\n c\r\n",
        b"X\x00A: b\r\n",
        b"X A: b\r\n",
    )
    refused(scene, *(charge(run, headers=header) for header in headers))


def test_27_other_versions_and_methods(scene: Scene, run: IssuedRun) -> None:
    """HTTP/1.1 in its one spelling."""
    starts = (
        b"POST /v1/payment_intents",
        b"POST /v1/payment_intents HTTP/1.0",
        b"POST /v1/payment_intents HTTP/9.9",
        b"post /v1/payment_intents HTTP/1.1",
        b"POST  /v1/payment_intents HTTP/1.1",
        b"POST /v1/payment_intents HTTP/1.1 ",
    )
    refused(
        scene, *(post(run, start=start, framing=b"Content-Length: %b\r\n" % LENGTH, body=CHARGE) for start in starts)
    )


def test_28_hop_by_hop_headers_stay_here(scene: Scene, run: IssuedRun) -> None:
    """Connection cannot take the idempotency key away, and Proxy-Authorization never reaches the vendor."""
    mark = scene.fakes.journal.mark()
    headers = b"Connection: Idempotency-Key\r\nIdempotency-Key: one\r\nProxy-Authorization: Basic c2VjcmV0\r\n"
    with tunnel(scene.up) as raw:
        assert 200 == scene.note(raw.send(charge(run, headers=headers)).answer()).status
    [entry] = scene.fakes.journal.entries(mark)
    names = {name for name, _ in entry.headers}
    assert {"idempotency-key"} == names & {"idempotency-key", "proxy-authorization", "proxy-connection"}
    assert "Idempotency-Key" != entry.header("connection")


def test_28_pipelined_calls_are_priced_one_by_one(scene: Scene, up: RuncapUp) -> None:
    """Two calls in one packet are two calls: the second finds the cap used up."""
    mark = scene.fakes.journal.mark()
    run = up.issue("pipelined", daily_usd="1")
    with tunnel(up) as raw:
        raw.send(charge(run) + charge(run))
        statuses = [scene.note(raw.answer()).status for _ in range(2)]
    assert [200, 429] == statuses
    assert 1 == len(scene.fakes.journal.entries(mark))
    assert CHARGE_MICROS == up.spent_micros(run)
