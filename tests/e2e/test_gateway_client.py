"""The gateway as its users meet it: clients against a base URL, SDKs that take one, and browsers, which may not."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import resend
import stripe

from tests.clients.conftest import node_scripts
from tests.e2e.harness import RuncapUp
from tests.fakes import FakeVendors

__all__ = ["node_scripts"]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, session_fakes: FakeVendors) -> Iterator[RuncapUp]:
    with RuncapUp(tmp_path_factory.mktemp("gateway"), session_fakes, workers=1) as running:
        yield running


def test_a_json_client_runs_into_its_cap(up: RuncapUp, fakes: FakeVendors) -> None:
    """The example of README's users: JSON for a PaymentIntent, and the numbers of a 429 at its top level."""
    mark = fakes.journal.mark()
    base, vault_key = up.gateway, up.issue("json-client", daily_usd="500").vault_key

    client = httpx.Client(headers={"Authorization": f"Bearer {vault_key}"})
    answers = [
        client.post(
            f"{base}/stripe/v1/payment_intents", json={"amount": 20000, "currency": "usd", "customer": "cus_123"}
        )
        for _ in range(3)
    ]
    client.close()

    assert [200, 200, 429] == [answer.status_code for answer in answers]
    assert ("cap_exhausted", "400.00", "500.00") == tuple(
        answers[2].json()[name] for name in ("code", "spent_usd", "cap_usd")
    )
    entries = fakes.journal.entries(mark)
    assert [{"amount": "20000", "currency": "usd", "customer": "cus_123"}] * 2 == [entry.params for entry in entries]


def test_stripe_for_python(up: RuncapUp, fakes: FakeVendors) -> None:
    """With the gateway as its API base, and nothing else set up."""
    run = up.issue("gateway-stripe", daily_usd="50")
    client = stripe.StripeClient(run.vault_key, base_addresses={"api": f"{up.gateway}/stripe"})
    charge = {"currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    assert "succeeded" == client.v1.payment_intents.create({**charge, "amount": 2000}).status  # type: ignore[typeddict-item]
    with pytest.raises(stripe.RateLimitError) as refused:
        client.v1.payment_intents.create({**charge, "amount": 9000})  # type: ignore[typeddict-item]
    assert refused.value.error is not None
    assert "cap_exhausted" == refused.value.error.code


def test_resend_for_python(up: RuncapUp, fakes: FakeVendors, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the gateway as its API URL."""
    run = up.issue("gateway-resend", daily_usd="0.001")
    monkeypatch.setattr(resend, "api_key", run.vault_key)
    monkeypatch.setattr(resend, "api_url", f"{up.gateway}/resend")
    mail: resend.Emails.SendParams = {"from": "agent@example.com", "to": "a@example.com", "subject": "Hi", "text": "x"}
    assert resend.Emails.send(mail)["id"]
    with pytest.raises(resend.exceptions.RateLimitError, match="is left of"):
        resend.Emails.send(mail)


@pytest.mark.parametrize(("script", "first"), [("stripe_gateway.cjs", "succeeded"), ("resend.cjs", "sent")])
def test_node(up: RuncapUp, fakes: FakeVendors, node_scripts: Path, script: str, first: str) -> None:
    """stripe-node by host and port, resend-node by its RESEND_BASE_URL, neither with a proxy or a shim."""
    run = up.issue("gateway-node", daily_usd="50" if "stripe" in script else "0.005")
    env = {
        "PATH": os.environ["PATH"],
        "RUNCAP_GATEWAY": up.gateway,
        "RESEND_BASE_URL": f"{up.gateway}/resend",
        "STRIPE_API_KEY": run.vault_key,
        "RESEND_API_KEY": run.vault_key,
    }
    ended = subprocess.run(
        ["node", str(node_scripts / script)], env=env, capture_output=True, text=True, check=True, timeout=30
    )
    lines = ended.stdout.splitlines()
    assert first == lines[0]
    assert '"status":429,"code":"cap_exhausted"' in lines[1]


@pytest.mark.parametrize("path", ["/stripe/v1/payment_intents", "/budget"])
def test_browsers_are_not_let_in(up: RuncapUp, fakes: FakeVendors, path: str) -> None:
    """No preflight is granted, and no answer may be read by a page of another origin."""
    mark = fakes.journal.mark()
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    run = up.issue("gateway-browser", daily_usd="5")
    with httpx.Client(base_url=up.gateway, headers=headers) as client:
        preflight = client.options(path)
        answer = client.get(path, headers={"Authorization": f"Bearer {run.vault_key}"})
    assert preflight.status_code >= 400
    for found in (preflight, answer):
        assert [] == [name for name in found.headers if name.startswith("access-control-")]
    assert [] == [entry for entry in fakes.journal.entries(mark) if entry.method == "OPTIONS"]
