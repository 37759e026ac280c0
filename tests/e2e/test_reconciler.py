"""Twilio's price through to the ledger: the real process beside `runcap up`, and the real steps before fake Twilio."""

import asyncio
import os
import time
from unittest import mock

from runcap.audit.reconciling import make_reconciler
from runcap.config import load
from runcap.ledger.embedded import EmbeddedLedger
from runcap.ledger.ledger import Ledger
from runcap.parts import make_forwarder
from tests.e2e.client import Caller
from tests.e2e.configuration import SECRET_VARIABLES
from tests.e2e.harness import RuncapUp
from tests.e2e.waiting import wait_until
from tests.fakes import FakeVendors
from tests.fakes.vendors import ACCOUNT_SID

MESSAGES = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json"


async def reconcile(up: RuncapUp) -> None:
    """One step, as it would be two minutes from now."""
    config = load(up.config_file)
    ledger = Ledger.connect(EmbeddedLedger(up.home).url, namespace=config.ledger.namespace)
    try:
        async with make_forwarder(config) as forwarder:
            await make_reconciler(config, ledger, forwarder, per_minute=60_000).step(time.time() + 120)
    finally:
        await ledger.close()


def test_a_message_settles_at_its_price(up: RuncapUp, fakes: FakeVendors) -> None:
    """Counted at the quote first, then at what Twilio says; ledger, reports and audit agree."""
    run = up.issue("texting", daily_usd="10")
    with Caller(up, run, "twilio") as caller:
        sid = caller.post(MESSAGES, To="+14155550100", From="+14155550101", Body="hello").json["sid"]
    [row] = up.calls(run, 1)
    assert (sid, "settled") == (row["vendor_request_id"], row["outcome"])
    assert row["settled_micros"] == up.spent_micros(run) > 8_300
    mark = fakes.journal.mark()

    with mock.patch.dict(os.environ, SECRET_VARIABLES):
        for _ in range(2):  # the second finds it done, in the audit or in the ledger
            asyncio.run(reconcile(up))

    assert 8_300 == up.spent_micros(run)
    asked = fakes.journal.entries(mark, late=True)
    assert {("GET", MESSAGES.replace(".json", f"/{sid}.json"))} == {(entry.method, entry.path) for entry in asked}
    assert "0.0083" == up.cli_json("keys", "show", run.run_id)["spend"]["day"]["spent_usd"]
    checked = up.cli_json("ledger", "check")
    assert (True, []) == (checked["ok"], checked["differences"])
    query = "select * from admin where action = 'adjusted' and run_id = ?"
    found = wait_until("the row of the adjustment", lambda: up.audit(query, run.run_id))
    assert found is not None
    assert 1 == len(found)
    [spend] = [each for each in up.cli_json("report") if each.get("run_id") == run.run_id]
    assert ("0.0083", 1) == (spend["spent_usd"], spend["calls"])
    assert 0 == up.cli("audit", "verify")[0]


def test_it_runs_beside_the_proxy(up: RuncapUp) -> None:
    """One for all workers, since Twilio is configured."""
    found = wait_until("the reconciler", lambda: up.processes.alive("runcap.audit.reconciling"))
    assert found is not None
    assert 1 == len(found)
