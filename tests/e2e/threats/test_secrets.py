"""Threats 85 to 88: what must not be seen by whom."""

import json
from pathlib import Path

import pytest

from tests.e2e.harness import IssuedRun, RuncapUp
from tests.e2e.threats.raw import RESEND, STRIPE, TWILIO, authorization, charge, email, tunnel
from tests.e2e.threats.scene import Scene
from tests.fakes import Fault
from tests.fakes.vendors import ACCOUNT_SID, SECRETS

CARD = "4242424242424242"
PERSON = "victim.person@example.com"


def get(run: IssuedRun, host: str, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n".encode() + authorization(run, host) + b"\r\n"


@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
def test_85_an_echoed_secret_is_redacted(scene: Scene, up: RuncapUp, *, gzip: bool) -> None:
    """A vendor that repeats the credential, in a header or in a body, compressed or not, does not hand it over."""
    run = up.issue("echo", daily_usd="10")
    calls = {
        STRIPE: get(run, STRIPE, "/v1/balance"),
        TWILIO: get(run, TWILIO, f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json"),
    }
    for host, data in calls.items():
        scene.fakes.fault(Fault(host.split(".")[1], gzip=gzip, echo_authorization=True))
        with tunnel(up, host) as raw:
            answer = scene.note(raw.send(data).answer())
        assert b"x-echo: " in answer.head.lower()
        assert b"[redacted by runcap]" in answer.head
        assert "[redacted by runcap]" in json.dumps(answer.json)
        secret = SECRETS[host.split(".")[1]].encode()
        assert secret not in answer.head + answer.body


def test_86_no_card_number_and_no_address_is_kept(scene: Scene, up: RuncapUp) -> None:
    """Whatever an agent puts into bodies, paths and queries, the audit and the ledger hold none of it."""
    run = up.issue("private", daily_usd="10")
    calls = (
        (STRIPE, charge(run, body=f"amount=100&currency=usd&payment_method_data[card][number]={CARD}".encode())),
        (STRIPE, get(run, STRIPE, f"/v1/customers/{CARD}")),
        (STRIPE, get(run, STRIPE, f"/v1/customers/{PERSON}")),
        (STRIPE, get(run, STRIPE, f"/v1/customers?email={PERSON}")),
        (RESEND, email(run, to=PERSON)),
    )
    for host, data in calls:
        with tunnel(up, host) as raw:
            scene.note(raw.send(data).answer())
    rows = up.calls(run, len(calls))
    assert len(calls) == len(rows)
    assert any(PERSON.encode() in received for received in scene.evil.received)
    kept = b"".join(path.read_bytes() for path in up.home.rglob("*") if path.is_file())
    assert [False, False] == [word.encode() in kept for word in (CARD, PERSON)]
    assert [False, False] == [word in up.log() for word in (CARD, PERSON)]


def test_87_each_side_sees_its_own_key_alone(scene: Scene, up: RuncapUp) -> None:
    """The vendor gets the real secret and never the vault key; the agent's answer has neither."""
    run = up.issue("sides", daily_usd="10")
    mark = scene.fakes.journal.mark()
    with tunnel(up) as raw:
        answer = scene.note(raw.send(charge(run, headers=b"X-Key: " + run.vault_key.encode() + b"\r\n")).answer())
    [entry] = scene.fakes.journal.entries(mark)
    assert f"Bearer {SECRETS['stripe']}" == entry.header("authorization")
    assert run.vault_key not in entry.text
    assert [False, False] == [word.encode() in answer.head + answer.body for word in (SECRETS["stripe"], run.vault_key)]


def test_88_the_home_is_private_and_processes_leave_no_core(up: RuncapUp) -> None:
    """Folders 0700, files 0600 but for what is public by nature, and a core limit of zero."""
    modes = {path: path.stat().st_mode & 0o777 for path in (up.home, *up.home.rglob("*")) if not path.is_socket()}
    public = {path for path in modes if path.parent.name == "ca" and path.suffix in {".pem", ".p12", ".jks"}}
    assert 0o700 == modes[up.home]
    open_to_others = {path for path, mode in modes.items() if mode & 0o077} - public
    assert set() == open_to_others
    limits = [Path(f"/proc/{pid}/limits").read_text().splitlines() for pid in up.processes.workers()]
    assert {"0"} >= {line.split()[4] for lines in limits for line in lines if line.startswith("Max core file size")}
