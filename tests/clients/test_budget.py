"""An agent asks for its budget: through the proxy as `http://runcap.local`, and on the gateway."""

import json
import subprocess
from typing import Any

import pytest

from tests.e2e.client import Caller
from tests.e2e.harness import RuncapUp
from tests.e2e.waiting import wait_until
from tests.fakes import FakeVendors

pytestmark = pytest.mark.usefixtures("fakes")

URLS = ["http://runcap.local", "{gateway}"]


def curl(up: RuncapUp, url: str, vault_key: str, *options: str) -> tuple[int, Any]:
    """As an agent's shell would: nothing but the environment says where the proxy is."""
    environment = up.agent_env(up.issue("somebody", daily_usd="1"))
    command = ["curl", "-sS", "-w", "\n%{http_code}", "-H", f"Authorization: Bearer {vault_key}", *options]
    ended = subprocess.run(
        [*command, url.format(gateway=up.gateway)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    body, _, status = ended.stdout.rpartition("\n")
    return int(status), json.loads(body)


@pytest.mark.parametrize("url", URLS)
def test_after_a_charge(up: RuncapUp, url: str) -> None:
    """The run, its fleet and the vendor have counted it, and the tightest cap says what is left."""
    run = up.issue("budget-a", daily_usd="50", total_usd="100")
    up.cli("caps", "set", "--fleet", "budget-a", "--monthly-usd", "1000")
    with Caller(up, run) as caller:
        assert 200 == caller.charge(2000).status
    status, found = curl(up, f"{url}/budget", run.vault_key)
    assert (200, run.run_id, "30.00") == (status, found["run_id"], found["remaining_usd"]["stripe"])
    levels = {(each["level"], each["window"]): each for each in found["levels"]}
    assert ("20.00", "50.00", "30.00") == _figures(levels["run", "day"])
    assert ("20.00", "100.00", "80.00") == _figures(levels["run", "total"])
    assert ("20.00", None, None) == _figures(levels["run", "month"])
    assert "1000.00" == levels["fleet", "month"]["cap_usd"]


def test_a_call_that_gives_back_costs_less_than_nothing(up: RuncapUp) -> None:
    """A cancel frees what its PaymentIntent counted: the costs of a run's calls add up to what it has spent."""
    run = up.issue("budget-cancel", daily_usd="50")
    with Caller(up, run) as caller:
        created = caller.post("/v1/payment_intents", amount=2000, currency="usd", capture_method="manual")
        cancelled = caller.post(f"/v1/payment_intents/{created.json['id']}/cancel")
    names = ("runcap-cost-usd", "runcap-spent-usd", "runcap-remaining-usd")
    assert ("20.00", "20.00", "30.00") == tuple(created.headers[name] for name in names)
    assert ("-20.00", "0.00", "50.00") == tuple(cancelled.headers[name] for name in names)


@pytest.mark.parametrize("url", URLS)
def test_a_key_that_is_not_good(up: RuncapUp, url: str) -> None:
    """401 with the reason, and a row in the audit."""
    run = up.issue("budget-revoked", daily_usd="1")
    assert 0 == up.cli("keys", "revoke", run.run_id)[0]
    status, found = curl(up, f"{url}/budget", run.vault_key)
    assert (401, "key_revoked", run.run_id) == (status, found["code"], found["run_id"])
    query = "select code, status from calls where code = 'key_revoked' and path like '%budget%'"
    assert {"code": "key_revoked", "status": 401} in wait_until("its row", lambda: up.audit(query))


def test_why_the_last_call_was_refused(up: RuncapUp) -> None:
    """What the audit has of it; none before there was one."""
    run = up.issue("budget-refused", daily_usd="5")
    assert (200, None) == _last_refusal(up, run.vault_key)
    with Caller(up, run) as caller:
        assert 429 == caller.charge(2000).status
    up.calls(run, 1)
    status, refusal = _last_refusal(up, run.vault_key)
    assert (200, "cap_exhausted", "stripe", "20.00", "0.00", "5.00", "day") == (
        status,
        *(refusal[name] for name in ("code", "vendor", "requested_usd", "spent_usd", "cap_usd", "cap_window")),
    )


def test_a_vendor_that_the_run_may_not_use(up: RuncapUp, fakes: FakeVendors) -> None:
    """Its canary says so in the vendor's own envelope, and is not forwarded."""
    mark = fakes.journal.mark()
    run = up.issue("canary", daily_usd="5", vendor="resend")
    with Caller(up, run) as caller:
        refused = caller.get("/runcap/canary")
        assert (403, "vendor_not_allowed") == (refused.status, refused.json["error"]["code"])
        assert 403 == caller.post("/runcap/canary").status
    with Caller(up, run, "resend") as caller:
        answer = caller.get("/runcap/canary")
    assert (200, "runcap.canary", "resend", True) == (
        answer.status,
        *(answer.json[name] for name in ("object", "vendor", "secret")),
    )
    assert [] == fakes.journal.entries(mark)


def _figures(level: dict[str, Any]) -> tuple[Any, ...]:
    return level["spent_usd"], level["cap_usd"], level["remaining_usd"]


def _last_refusal(up: RuncapUp, vault_key: str) -> tuple[int, Any]:
    status, found = curl(up, "http://runcap.local/budget/last-refusal", vault_key)
    return status, found["last_refusal"]
