"""The vendors' own SDKs, unmodified, through the proxy; and JSON through the gateway."""

import base64
from typing import Any

import httpx
import pytest

from tests.e2e.agents_running import run_agent
from tests.e2e.client import Caller
from tests.e2e.harness import IssuedRun, RuncapUp
from tests.fakes import FakeVendors, Fault
from tests.fakes.journal import Entry
from tests.fakes.vendors import ACCOUNT_SID, SECRETS


def test_stripe_sdk_runs_into_its_cap(up: RuncapUp, fakes: FakeVendors) -> None:
    """Two charges of $20 fit $50 and reach the vendor; the third raises RateLimitError, once, and does not."""
    mark = fakes.journal.mark()
    run = up.issue("sdk-stripe", daily_usd="50")
    *allowed, refused = run_agent("stripe_agent", 2000, 5, env=up.agent_env(run))

    assert 2 == len(allowed)
    headers = {name.lower(): value for name, value in allowed[1]["headers"].items()}
    told = [headers[f"runcap-{name}"] for name in ("run", "cost-usd", "spent-usd", "remaining-usd")]
    assert [run.run_id, "20.00", "40.00", "10.00"] == told

    assert ("RateLimitError", 429, "cap_exhausted") == (refused["error"], refused["status"], refused["code"])
    body = refused["json_body"]
    assert ("20.00", "40.00", "50.00", "10.00") == tuple(
        body[f"{name}_usd"] for name in ("requested", "spent", "cap", "remaining")
    )
    assert (run.run_id, "sdk-stripe", "stripe") == (body["run_id"], body["label"], body["vendor"])
    assert ("run", run.run_id, "day") == tuple(body["cap"][name] for name in ("level", "selector", "window"))

    _assert_only_the_secret_arrived(fakes.journal.entries(mark), run, f"Bearer {SECRETS['stripe']}")
    assert 4000 == fakes.journal.moved(mark)
    _assert_audited(up, run, allowed=2, operation="POST /v1/payment_intents", settled_micros=40_000_000)


def test_twilio_sdk_runs_into_its_cap(up: RuncapUp, fakes: FakeVendors) -> None:
    """A message that no longer fits raises TwilioRestException with 429 and never reaches the vendor."""
    mark = fakes.journal.mark()
    run = up.issue("sdk-twilio", daily_usd="0.05")
    *allowed, refused = run_agent("twilio_agent", 20, env=up.agent_env(run))

    assert ("TwilioRestException", 429, "cap_exhausted") == (refused["error"], refused["status"], refused["code"])
    assert len(allowed) >= 1
    entries = fakes.journal.entries(mark)
    token = base64.b64encode(f"{ACCOUNT_SID}:{SECRETS['twilio']}".encode()).decode()
    _assert_only_the_secret_arrived(entries, run, f"Basic {token}")
    assert len(allowed) == len(entries)
    spent = _assert_audited(
        up, run, allowed=len(allowed), operation="POST /2010-04-01/Accounts/{AccountSid}/Messages.json"
    )
    assert 0 < spent <= 50_000


def test_resend_sdk_runs_into_its_cap(up: RuncapUp, fakes: FakeVendors) -> None:
    """At $0.90 a thousand, two emails fit $0.002; the third raises RateLimitError."""
    mark = fakes.journal.mark()
    run = up.issue("sdk-resend", daily_usd="0.002")
    *allowed, refused = run_agent("resend_agent", 5, env=up.agent_env(run))

    assert ("RateLimitError", 429) == (refused["error"], int(refused["status"]))
    assert "daily_quota_exceeded" == refused["code"]
    assert 2 == len(allowed)
    _assert_only_the_secret_arrived(fakes.journal.entries(mark), run, f"Bearer {SECRETS['resend']}")
    assert 2 == fakes.journal.moved(mark, unit="email")
    _assert_audited(up, run, allowed=2, operation="POST /emails", settled_micros=1_800)


def test_gateway_takes_json_for_all_three(up: RuncapUp, fakes: FakeVendors) -> None:
    """Plain HTTP with a path prefix: Stripe's JSON becomes the form that Stripe takes; caps hold as ever."""
    mark = fakes.journal.mark()
    run = up.issue("gateway", daily_usd="30")
    with httpx.Client(base_url=up.gateway, headers={"Authorization": f"Bearer {run.vault_key}"}) as client:
        charge = {"amount": 2000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
        assert "succeeded" == client.post("/stripe/v1/payment_intents", json=charge).json()["status"]
        refused = client.post("/stripe/v1/payment_intents", json=charge)
        assert (429, "cap_exhausted") == (refused.status_code, refused.json()["code"])
        email = {"from": "agent@example.com", "to": "a@example.com", "subject": "hi", "text": "x"}
        assert 200 == client.post("/resend/emails", json=email).status_code
        sms = client.post(
            f"/twilio/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json",
            data={"To": "+14155552671", "From": "+14155552672", "Body": "hi"},
            auth=(ACCOUNT_SID, run.vault_key),
        )
        assert 201 == sms.status_code
        assert 404 > client.get("/nowhere/v1/balance").status_code >= 400
    stripe, resend, twilio = fakes.journal.entries(mark)
    assert "application/x-www-form-urlencoded" == stripe.header("content-type")
    assert {**charge, "amount": "2000", "confirm": "true"} == stripe.params
    assert (1, 1) == (resend.moved, twilio.moved)


@pytest.mark.parametrize("compressed", [False, True])
def test_an_echoed_secret_never_reaches_the_agent(up: RuncapUp, fakes: FakeVendors, compressed: bool) -> None:
    """A vendor that repeats the credential in header and body is redacted, compressed or not."""
    run = up.issue("echo", daily_usd="50")
    fakes.fault(Fault("stripe", gzip=compressed, echo_authorization=True))
    with Caller(up, run) as caller:
        reply = caller.charge(100)
    assert 200 == reply.status
    assert "redacted" in reply.json["echo"]
    assert SECRETS["stripe"] not in f"{reply.headers}{reply.body.decode()}"


def test_no_secret_in_log_audit_or_home(up: RuncapUp, fakes: FakeVendors) -> None:
    """The canaries and the vault key are in no file that runcap wrote, whatever went wrong on the way."""
    run = up.issue("canary", daily_usd="50")
    fakes.fault(Fault("stripe", ending="cut"))
    with Caller(up, run) as caller:
        assert 504 == caller.charge(100).status
        assert 200 == caller.charge(100).status
    up.calls(run, 2)
    needles = [secret.encode() for secret in SECRETS.values()] + [run.vault_key.removeprefix("vk_").encode()]
    written = {path: path.read_bytes() for path in up.home.rglob("*") if path.is_file()}
    written[up.log_file] = up.log_file.read_bytes()
    assert [] == [path for path, content in written.items() for needle in needles if needle in content]


def _assert_only_the_secret_arrived(entries: list[Entry], run: IssuedRun, authorization: str) -> None:
    assert entries
    core = run.vault_key.removeprefix("vk_")
    encoded = base64.b64encode(f"{ACCOUNT_SID}:{run.vault_key}".encode()).decode()
    for entry in entries:
        assert authorization == entry.header("authorization")
        assert core not in entry.text
        assert encoded not in entry.text
        assert "runcap" not in entry.text.lower().replace("runcap-", "", 1)


def _assert_audited(
    up: RuncapUp, run: IssuedRun, *, allowed: int, operation: str, settled_micros: int | None = None
) -> int:
    """As many settled rows as calls were allowed, and one blocked one: nothing was retried. Returns the sum."""
    rows = up.calls(run, allowed + 1)
    assert [("allowed", "settled")] * allowed + [("blocked", None)] == [_ending(row) for row in rows]
    assert {operation} == {row["operation"] for row in rows}
    assert ("cap_exhausted", 429, "run") == tuple(rows[-1][name] for name in ("code", "status", "cap_level"))
    spent = sum(row["settled_micros"] or 0 for row in rows)
    assert settled_micros in (None, spent)
    assert spent == up.spent_micros(run)
    return spent


def _ending(row: dict[str, Any]) -> tuple[str, str | None]:
    return row["decision"], row["outcome"] or None
