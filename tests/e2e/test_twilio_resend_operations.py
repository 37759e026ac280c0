"""What Twilio's and Resend's SDKs can do, through the real proxy: each quote against what the vendor bills for it."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.agents_running import run_agent
from tests.e2e.harness import IssuedRun, RuncapUp
from tests.fakes import FakeVendors
from tests.fakes.billing import billed_micros
from tests.fakes.journal import Entry

REFUSED = {
    "whatsapp": (422, "unpriced"),
    "call with a url": (422, "unpriced"),
    "new key": (403, "operation_not_allowed"),
    "record": (403, "operation_not_allowed"),
    "new contact": (403, "restricted_api_key"),
    "new api key": (403, "restricted_api_key"),
}
"""By step: what must not reach a vendor."""

SEGMENT_MARGIN, MMS_MARGIN = 6_200, 20_000
"""The dearest carrier's fee: which carrier it will be is not known before."""
CONFERENCE_MARGIN = 2_200
"""Between the dearest conference price that was seen (0.0040) and the list's (0.0018), each minute."""
PAYMENT_MARGIN = 100_000
"""The fee for a payment has no source, so it is doubled."""


@dataclass(frozen=True)
class Done:
    """All that an agent has done, and what is known of it."""

    run: IssuedRun
    steps: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    entries: list[Entry]

    def pairs(self) -> list[tuple[dict[str, Any], Entry]]:
        """Each audited call with what the vendor saw of it; runcap's own lookups are left out."""
        waiting = list(self.entries)
        found = []
        for row in self.rows:
            if row["decision"] == "allowed":
                place = next(index for index, entry in enumerate(waiting) if _is_of(entry, row))
                found.append((row, waiting[place]))
                del waiting[: place + 1]
        return found


@pytest.fixture(scope="module")
def done(up: RuncapUp, session_fakes: FakeVendors) -> Done:
    """The agent runs once for all tests here."""
    session_fakes.clear_faults()
    mark = session_fakes.journal.mark()
    run = up.issue("operations", daily_usd="100")
    steps = run_agent("operations_agent", env=up.agent_env(run))
    return Done(run, steps, up.calls(run, len(steps)), session_fakes.journal.entries(mark, late=True))


def test_every_step_ended_as_it_should(done: Done) -> None:
    """What is priced or free went through the SDK; what is neither raised the SDK's own error."""
    ended = {step["step"]: (int(step["status"]), step["code"]) for step in done.steps}
    assert {name: REFUSED.get(name, (200, None)) for name in ended} == ended
    assert len(done.rows) == len(ended)


def test_many_different_operations_were_done(done: Done) -> None:
    """Over thirty, eleven of which cost something."""
    assert len({row["operation"] for row in done.rows if row["decision"] == "allowed"}) >= 30
    assert 11 == len({row["operation"] for row in done.rows if row["cost_micros"]})


def test_each_quote_covers_what_the_vendor_bills(done: Done) -> None:
    """Equal, or higher by no more than the margins above."""
    pairs = done.pairs()
    assert len(pairs) == len(done.steps) - len(REFUSED)
    for row, entry in pairs:
        billed, quoted = billed_micros(entry), row["cost_micros"]
        if entry.header("x-batch-validation") == "permissive":
            quoted = row["settled_micros"]  # what will be left out is not known before
        assert billed <= quoted <= billed + margin(entry), (row["operation"], entry.params)


def test_nothing_was_sent_that_was_refused(done: Done) -> None:
    """Beside the calls that were allowed the vendors saw lookups only: reads that move nothing."""
    allowed = [entry for _, entry in done.pairs()]
    lookups = [entry for entry in done.entries if all(entry is not other for other in allowed)]
    assert {"GET"} == {entry.method for entry in lookups}
    call, draft = lookups[0].path, lookups[1].path
    assert "/Calls/CA" in call
    assert draft.startswith("/broadcasts/")
    assert [call, draft, *["/contacts"] * 4] == [entry.path for entry in lookups]


def test_spending_adds_up(done: Done, up: RuncapUp) -> None:
    """What the ledger counts is what the audit settled; a batch in part counts what was taken."""
    settled = sum(row["settled_micros"] or 0 for row in done.rows)
    assert settled == up.spent_micros(done.run)
    partial = [row for row in done.rows if row["operation"] == "POST /emails/batch"][1]
    assert (5 * 900, 900) == (partial["cost_micros"], partial["settled_micros"])


def test_what_was_made_is_known_by_its_sid(done: Done) -> None:
    """The audit has what the price can be asked by later."""
    for row in done.rows:
        made = (row["operation"] or "").removeprefix("POST /2010-04-01/Accounts/{AccountSid}")
        if row["decision"] == "allowed" and made in {"/Messages.json", "/Calls.json"}:
            assert ("SM" if made == "/Messages.json" else "CA") == row["vendor_request_id"][:2]


def test_a_new_price_counts_at_once(done: Done, up: RuncapUp) -> None:
    """An imported list is in force in every worker without a restart; what it leaves out has no price any more."""
    table = up.home / "rates" / "twilio.json"
    assert not table.exists()
    listed = up.config_file.parent / "sms.csv"
    listed.write_text("ISO,Country,Description,Price / msg\nUS,United States,x,0.0500\n")
    channels = up.config_file.parent / "channels.csv"
    channels.write_text("Channel,ISO,Price / message\nwhatsapp,US,0.0300\n")
    try:
        assert 0 == up.cli("rates", "import", "twilio-sms", str(listed))[0]
        assert 0 == up.cli("rates", "import", "twilio-channels", str(channels))[0]
        run = up.issue("new-prices", daily_usd="100")
        steps = run_agent("operations_agent", env=up.agent_env(run))
        rows = up.calls(run, len(steps))
    finally:
        table.unlink(missing_ok=True)
    assert [50_000 + 6_200, 30_000] == [
        row["cost_micros"] for row, step in zip(rows, steps, strict=True) if step["step"] in {"sms", "whatsapp"}
    ]
    noted = up.audit("select detail from admin where action = 'rates_changed'")
    assert ["import twilio-sms", "import twilio-channels"] == [json.loads(row["detail"])["action"] for row in noted]


def _is_of(entry: Entry, row: dict[str, Any]) -> bool:
    """Whether the vendor saw this call; the audit hides a part of a path that might be a telephone number."""
    below_account = [path.rpartition("/Accounts/")[2] for path in (entry.path, row["path"])]
    return entry.method == row["method"] and below_account[0] == below_account[1]


def margin(entry: Entry) -> int:
    """How much higher than the bill a quote may be."""
    if "MediaUrl" in entry.params:
        return MMS_MARGIN
    if entry.unit == "segment":
        return SEGMENT_MARGIN * entry.moved
    if entry.path.endswith("/Participants.json"):
        return CONFERENCE_MARGIN * entry.moved
    return PAYMENT_MARGIN if entry.unit == "usd" else 0
