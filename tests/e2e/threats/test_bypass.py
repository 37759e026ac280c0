"""Threats 18 to 22: ways around the layer that prices."""

from tests.e2e.harness import IssuedRun, RuncapUp
from tests.e2e.threats.canned import Script
from tests.e2e.threats.raw import FORM, STRIPE, Raw, authorization, charge, email, tunnel
from tests.e2e.threats.scene import Scene


def test_18_a_leading_line_break(scene: Scene, run: IssuedRun) -> None:
    """Empty lines before a request are refused, so that nothing takes the bytes for another protocol."""
    attacks = (b"\r\n" + charge(run), b"\n" + charge(run), b"\r\n\r\n" + charge(run))
    with scene.refused(*["malformed"] * len(attacks)):
        for data in attacks:
            with tunnel(scene.up) as raw:
                answer = scene.note(raw.send(data).answer())
                assert (422, "malformed") == (answer.status, answer.code), data


def test_19_raw_bytes_in_the_tunnel(scene: Scene) -> None:
    """What is no TLS in a vendor's tunnel is no call, is told so, and goes nowhere."""
    attacks = (b"\x00\x01\x02 binary\r\n\r\n", b"SSH-2.0-x\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x00")
    with scene.refused(*["malformed"] * len(attacks)):
        for data in attacks:
            with Raw(scene.up.proxy) as raw:
                assert 200 == raw.connect(f"{STRIPE}:443").status
                answer = scene.note(raw.send(data).answer())
                assert (422, "malformed") == (answer.status, answer.code), data
                assert b"" == raw.rest()


def test_19_raw_bytes_inside_tls(scene: Scene) -> None:
    """Nor does what is no HTTP."""
    attacks = (b"\x00\x01\x02 binary\r\n\r\n", b"SSH-2.0-x\r\n\r\n", b"*1\r\n$4\r\nPING\r\n\r\n")
    with scene.refused(*["malformed"] * len(attacks)):
        for data in attacks:
            with tunnel(scene.up) as raw:
                answer = scene.note(raw.send(data).answer())
                assert (422, "malformed") == (answer.status, answer.code), data


def test_20_a_body_over_the_limit(scene: Scene, run: IssuedRun) -> None:
    """Announced or not, a large body is refused before anything is reserved."""
    large = b"a" * 300_000
    host = f"POST /v1/payment_intents HTTP/1.1\r\nHost: {STRIPE}\r\n".encode() + authorization(run) + FORM
    attacks = (
        host + b"Content-Length: 300000\r\n\r\n",
        host + b"Content-Length: 99999999999999999999\r\n\r\n",
        host + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(large), large),
        host + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 60_000,
    )
    with scene.refused("too_large", "malformed", "too_large", "too_large"):
        for data, status in zip(attacks, (413, 422, 413, 413), strict=True):
            with tunnel(scene.up) as raw:
                assert status == scene.note(raw.send(data).answer()).status, data[:200]


def test_21_a_vendor_that_switches_protocols(scene: Scene, up: RuncapUp) -> None:
    """101 is no answer to a call: it counts as unknown, and no tunnel opens."""
    run = up.issue("switching", daily_usd="1")
    switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
    scene.evil.scripts.append(Script(switch))
    with tunnel(up, "api.resend.com") as raw:
        answer = scene.note(raw.send(email(run)).answer())
    assert (504, "upstream_unknown") == (answer.status, answer.code)
    [row] = up.calls(run, 1)
    assert ("unknown", True) == (row["outcome"], row["settled_micros"] > 0)


def test_22_http2(scene: Scene, run: IssuedRun) -> None:
    """No ALPN but HTTP/1.1: a client that offers h2 alone is told at its first frame, and no upgrade is made."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    with scene.refused("malformed", "malformed", "malformed"):
        with tunnel(scene.up, alpn=("h2",)) as raw:
            assert None is raw.socket.selected_alpn_protocol()  # type: ignore[attr-defined]
            assert 422 == scene.note(raw.send(preface).answer()).status
        with tunnel(scene.up) as raw:
            assert 422 == scene.note(raw.send(preface).answer()).status
        with tunnel(scene.up) as raw:
            upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
            assert 422 == scene.note(raw.send(charge(run, headers=upgrade)).answer()).status


def test_22_mitmproxys_own_pages_do_not_exist(scene: Scene) -> None:
    """Neither mitm.it nor its certificate and revocation list paths are served."""
    targets = ("http://mitm.it/", "http://mitm.it/cert/pem", "http://mitm.it/mitmproxy-0.crl", "/mitmproxy-0.crl")
    with scene.refused(*["host_denied"] * (len(targets) + 1)):
        for target in targets:
            with Raw(scene.up.proxy) as raw:
                raw.send(f"GET {target} HTTP/1.1\r\nHost: mitm.it\r\n\r\n".encode())
                assert 403 == scene.note(raw.answer()).status, target
        with Raw(scene.up.proxy) as raw:
            assert 403 == scene.note(raw.connect("mitm.it:80")).status
