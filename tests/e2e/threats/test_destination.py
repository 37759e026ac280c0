"""Threats 7 to 17: where a call may go, whatever the agent says."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from runcap.entrance.destinations import Tunnel
from tests.e2e.client import Caller
from tests.e2e.harness import IssuedRun, RuncapUp
from tests.e2e.threats.canned import Canned
from tests.e2e.threats.conftest import Inside
from tests.e2e.threats.raw import CHARGE_MICROS, RESEND, STRIPE, TWILIO, Raw, charge, tunnel
from tests.e2e.threats.scene import Scene
from tests.fakes import FakeVendors, Fault
from tests.fakes.certificates import FakeAuthority
from tests.fakes.vendors import ACCOUNT_SID

HOST = f"Host: {STRIPE}\r\n".encode()


def denied(scene: Scene, *authorities: str, host: str | None = None) -> None:
    """Each CONNECT is refused with a reason, and its connection ends."""
    with scene.refused(*["host_denied"] * len(authorities)):
        for authority in authorities:
            with Raw(scene.up.proxy) as raw:
                answer = scene.note(raw.connect(authority, host))
                assert (403, "host_denied") == (answer.status, answer.code), authority
                assert b"" == raw.rest()


def test_07_the_tunnels_target_counts_not_the_host_header(scene: Scene) -> None:
    """CONNECT to an attacker with a vendor's Host header goes nowhere near the vendor."""
    denied(scene, "attacker.invalid:443", "127.0.0.1:443", host=f"{STRIPE}:443")


@pytest.mark.parametrize("name", ["api.stripe.com", "files.stripe.com", "API.Twilio.com"])
async def test_07_a_vendors_name_in_another_tunnel(
    scene: Scene, inside: Inside, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """CONNECT to an allowed host and TLS to a vendor in it: the ClientHello is not relayed."""
    reached: list[bytes] = []

    async def attacker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(await reader.read())
        writer.close()

    def attack() -> None:
        with scene.refused("host_denied"), Raw(inside.proxy) as raw:
            assert 200 == raw.connect("allowed.example:443").status
            with pytest.raises(ssl.SSLError, match=r"(?i)access.denied"):
                raw.handshake(scene.up, name)

    async with await asyncio.start_server(attacker, "127.0.0.1", 0) as server:
        address = server.sockets[0].getsockname()

        async def decide(authority: str) -> Tunnel:
            return Tunnel(address)

        monkeypatch.setattr(inside.service.destinations, "decide", decide)
        await asyncio.to_thread(attack)
    assert [b""] == reached


def test_08_another_name_in_the_handshake(scene: Scene) -> None:
    """CONNECT to the vendor, SNI of somebody else."""
    with scene.refused("malformed"), Raw(scene.up.proxy) as raw:
        assert 200 == raw.connect(f"{STRIPE}:443").status
        with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
            raw.handshake(scene.up, "attacker.example")


def test_09_no_name_in_the_handshake(scene: Scene) -> None:
    """A handshake without SNI is nobody's."""
    with scene.refused("malformed"), Raw(scene.up.proxy) as raw:
        assert 200 == raw.connect(f"{STRIPE}:443").status
        with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
            raw.handshake(scene.up, None)


def host_variants(scene: Scene, run: IssuedRun, *heads: bytes) -> None:
    """A charge in the vendor's tunnel with these in the place of its Host line is refused."""
    with scene.refused(*["malformed"] * len(heads)):
        for head in heads:
            with tunnel(scene.up) as raw:
                answer = scene.note(raw.send(charge(run).replace(HOST, head)).answer())
                assert (422, "malformed") == (answer.status, answer.code), head


def test_10_another_vendors_host(scene: Scene, run: IssuedRun) -> None:
    """A call in one vendor's tunnel cannot be another's."""
    host_variants(
        scene, run, f"Host: {TWILIO}\r\n".encode(), f"Host: {RESEND}\r\n".encode(), b"Host: attacker.example\r\n"
    )


def test_11_two_hosts(scene: Scene, run: IssuedRun) -> None:
    """Two Host headers, or none, or a list."""
    host_variants(
        scene, run, HOST + HOST, HOST + b"Host: attacker.example\r\n", b"", HOST[:-2] + b", attacker.example\r\n"
    )


def test_12_absolute_form_in_the_tunnel(scene: Scene, run: IssuedRun) -> None:
    """The target of a call is a path, never a URL."""
    targets = (
        "https://attacker.example/v1/payment_intents",
        f"https://{STRIPE}/v1/payment_intents",
        "//attacker.example/",
    )
    with scene.refused(*["malformed"] * len(targets)):
        for target in targets:
            with tunnel(scene.up) as raw:
                answer = scene.note(raw.send(charge(run, path=target)).answer())
                assert (422, "malformed") == (answer.status, answer.code), target


def test_13_absolute_form_on_the_plain_port(scene: Scene, run: IssuedRun) -> None:
    """The proxy's port takes CONNECT alone, and tells what to use."""
    targets = (f"http://{STRIPE}/v1/payment_intents", f"https://{STRIPE}/v1/payment_intents", "/v1/payment_intents")
    with scene.refused(*["host_denied"] * len(targets)):
        for target in targets:
            with Raw(scene.up.proxy) as raw:
                answer = scene.note(raw.send(charge(run, path=target)).answer())
                assert (403, "host_denied", True) == (answer.status, answer.code, b"HTTPS_PROXY" in answer.body)


def test_13_other_spellings_of_a_vendor(scene: Scene) -> None:
    """Trailing dot, mixed case, other ports, userinfo, look-alikes, and the vendor's other hosts."""
    denied(
        scene,
        f"{STRIPE}.:443", "API.Stripe.com:443", f"{STRIPE}:8443", f"user@{STRIPE}:443",
        f"{STRIPE}:443@attacker.example:443", "xn--api-strpe-3za.com:443", "files.stripe.com:443", "stripe.com:443",
        "api.stripe.com.attacker.invalid:443",
    )  # fmt: skip


@pytest.fixture(scope="module")
def forged(
    tmp_path_factory: pytest.TempPathFactory, session_fakes: FakeVendors
) -> Iterator[tuple[RuncapUp, list[Canned]]]:
    """A runcap whose vendors show an expired certificate, another name, and a root that is not trusted."""
    folder = tmp_path_factory.mktemp("forged")
    authority = FakeAuthority.create()
    servers = [
        Canned(folder / "expired", STRIPE, days=-1, authority=authority),
        Canned(folder / "name", "api.attacker.example", authority=authority),
        Canned(folder / "untrusted", RESEND),
    ]
    up = RuncapUp(folder / "up", session_fakes, workers=1, vendor_timeout_seconds=5)
    text = up.config_file.read_text(encoding="utf-8").replace(str(session_fakes.ca_file), str(servers[0].ca_file))
    for vendor, server in zip(("stripe", "twilio", "resend"), servers, strict=True):
        text = text.replace(session_fakes.url(vendor), f"https://127.0.0.1:{server.port}")
    up.config_file.write_text(text, encoding="utf-8")
    with servers[0], servers[1], servers[2], up:
        yield up, servers


def test_14_an_upstream_that_cannot_prove_who_it_is(forged: tuple[RuncapUp, list[Canned]]) -> None:
    """Expired, another's name, or an unknown root: nothing is sent, the amount is given back, and the agent is told."""
    up, servers = forged
    run = up.issue("forged", daily_usd="100")
    email = '{"from": "a@example.com", "to": ["b@example.com"], "subject": "s", "text": "t"}'
    with Caller(up, run) as stripe, Caller(up, run, "twilio") as twilio, Caller(up, run, "resend") as resend:
        replies = [
            stripe.charge(100),
            twilio.post(
                f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json",
                To="+12025550123", From="+12025550100", Body="hello",
            ),
            resend.request("POST", "/emails", email, {"Content-Type": "application/json"}),
        ]  # fmt: skip
    assert [(502, "upstream_unreachable")] * 3 == [(reply.status, reply.json["code"]) for reply in replies]
    assert [("released", 0)] * 3 == [(row["outcome"], row["settled_micros"] or 0) for row in up.calls(run, 3)]
    assert 0 == up.spent_micros(run)
    assert [[], [], []] == [server.received for server in servers]
    assert all(server.connections for server in servers)


def test_15_addresses_that_lead_back_inside(scene: Scene) -> None:
    """Loopback, link-local metadata, shared and private addresses, in every notation, and names that resolve there."""
    denied(
        scene,
        "127.0.0.1:443", "[::1]:443", "169.254.169.254:443", "100.64.0.1:443", "10.0.0.1:443", "0.0.0.0:443",
        "[::ffff:127.0.0.1]:443", "[fe80::1]:443", "2130706433:443", "0x7f.1:443", "localhost:443",
        f"{socket.gethostname()}:443",
    )  # fmt: skip


def test_15_the_ledger_is_out_of_reach(scene: Scene) -> None:
    """Not by its port, and it listens on a socket in the private home anyway."""
    denied(scene, "127.0.0.1:6379", "localhost:6379")
    assert [] == list(Path(scene.up.home).rglob("*.port"))


def test_16_other_ports_of_a_vendor(scene: Scene) -> None:
    """A vendor is reached at port 443 alone."""
    denied(scene, f"{STRIPE}:22", f"{STRIPE}:53", f"{STRIPE}:80", f"{TWILIO}:8443")


def test_17_a_redirect_is_not_followed(scene: Scene, up: RuncapUp) -> None:
    """A vendor's 302 is handed to the agent as it is; the secret goes nowhere, and the call counts as unknown."""
    run = up.issue("redirect", daily_usd="10")
    with socket.create_server(("127.0.0.1", 0)) as attacker:
        attacker.settimeout(0)
        scene.fakes.fault(Fault("stripe", redirect=f"https://127.0.0.1:{attacker.getsockname()[1]}/"))
        with tunnel(up) as raw:
            assert 302 == scene.note(raw.send(charge(run)).answer()).status
        with pytest.raises(BlockingIOError):
            attacker.accept()
    [row] = up.calls(run, 1)
    assert ("unknown", CHARGE_MICROS) == (row["outcome"], row["settled_micros"])
