"""The gateway as its users meet it: clients against a base URL, SDKs that take one, and browsers, which may not."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.clients.conftest import SCRIPTS, node_scripts
from tests.e2e.harness import RuncapUp
from tests.fakes import FakeVendors
from tests.fakes.vendors import ACCOUNT_SID, REPOSITORY

__all__ = ["node_scripts"]

EXAMPLES = REPOSITORY / "examples"


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


STRIPE, TWILIO, RESEND = "50", "0.05", "0.005"
"""Caps under which the first call of each script fits, and the second does not."""


@pytest.mark.parametrize(
    "case",
    [
        (STRIPE, ("stripe_gateway.py", "requests"), "succeeded", "RateLimitError", "cap_exhausted"),
        (STRIPE, ("stripe_gateway.py", "httpx"), "succeeded", "RateLimitError", "cap_exhausted"),
        (STRIPE, ("stripe_gateway.py", "aiohttp"), "succeeded", "RateLimitError", "cap_exhausted"),
        (TWILIO, ("twilio_gateway.py", str(EXAMPLES)), "queued", "TwilioRestException", "cap_exhausted"),
        (RESEND, ("resend_sync.py",), "sent", "RateLimitError", "daily_quota_exceeded"),
        (STRIPE, ("stripe_gateway.cjs",), "succeeded", "StripeRateLimitError", "cap_exhausted"),
        (TWILIO, ("twilio_gateway.cjs",), "queued", "RestException", "cap_exhausted"),
        (RESEND, ("resend.cjs",), "sent", "daily_quota_exceeded", "cap_exhausted"),
    ],
    ids=lambda case: " ".join(part.rpartition("/")[2] for part in case[1]),
)
def test_every_sdk(
    up: RuncapUp, fakes: FakeVendors, request: pytest.FixtureRequest, case: tuple[str, tuple[str, ...], str, str, str]
) -> None:
    """By a base address, or Twilio's by the recipe's client: one call is allowed, the SDK raises its own error for one.

    Nothing in their environment speaks of a proxy, and there is no shim.
    """
    cap, (script, *arguments), first, kind, code = case
    python = script.endswith(".py")
    folder = SCRIPTS if python else request.getfixturevalue("node_scripts")
    mark = fakes.journal.mark()
    run = up.issue("gateway-sdk", daily_usd=cap)
    env = {
        "PATH": os.environ["PATH"],
        "RUNCAP_GATEWAY": up.gateway,
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        **dict.fromkeys(("RESEND_BASE_URL", "RESEND_API_URL"), f"{up.gateway}/resend"),
        **dict.fromkeys(("STRIPE_API_KEY", "TWILIO_AUTH_TOKEN", "RESEND_API_KEY"), run.vault_key),
    }
    command = [sys.executable if python else "node", str(folder / script), *arguments]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert 0 == ended.returncode, ended.stderr
    allowed, refused = ended.stdout.splitlines()
    refusal = json.loads(refused)
    assert first == allowed
    assert (kind, 429, code) == tuple(refusal[name] for name in ("type", "status", "code"))
    assert "is left of" in refusal["message"]
    assert 1 == len(fakes.journal.entries(mark))


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
