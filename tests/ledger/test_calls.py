"""Rows for calls that were refused before they could be priced, and what a refusal says."""

import pytest

from runcap.decision import Code, Deny, Refused
from runcap.ledger.ledger import Authorized, Ledger
from runcap.ledger.model import Caps
from tests.ledger.support import ACTOR, CHARGE, TRANSFER, ask, call_rows, counted, denied, issue


async def test_record_names_the_run_of_a_known_key(ledger: Ledger) -> None:
    """And leaves it open for an unknown one, or none."""
    run = await issue(ledger)
    await ledger.reserve(ask(run, 30))
    deny = Deny(Code.MALFORMED, "…")

    assert (run.run_id, run.label) == await ledger.record({"vendor": "stripe"}, deny, run.key_digest)
    assert None is await ledger.record({}, Deny(Code.FROZEN, "…"), "0" * 64)
    assert None is await ledger.record({}, Deny(Code.KEY_MISSING, "…"), None)

    rows = await call_rows(ledger)
    assert [
        (run.run_id, "refused", "malformed", "30", '{"vendor":"stripe"}'),
        ("", "blocked", "frozen", "", "{}"),
        ("", "refused", "key_missing", "", "{}"),
    ] == [(row["run_id"], row["decision"], row["code"], row["spent_micros"], row["row"]) for row in rows]
    assert {("", "", "")} == {(row["outcome"], row["settled_micros"], row["end"]) for row in rows}


async def test_authorize_checks_the_policy_and_holds_nothing(ledger: Ledger) -> None:
    """It writes a row only if it denies."""
    run = await issue(ledger, caps=Caps(day=0))
    granted = await ledger.authorize(run.key_digest, "stripe", CHARGE, needs_allow=False, row={})
    assert Authorized(run.run_id, run.label) == granted
    assert [] == await call_rows(ledger)

    with pytest.raises(Refused) as caught:
        await ledger.authorize(run.key_digest, "stripe", TRANSFER, needs_allow=True, row={"a": 1})

    assert Code.OPERATION_NOT_ALLOWED == caught.value.deny.code
    (row,) = await call_rows(ledger)
    assert ("operation_not_allowed", '{"a":1}') == (row["code"], row["row"])
    assert (0, 0) == await counted(ledger, run)


async def test_a_cap_refusal_says_what_is_left_and_when_it_resets(ledger: Ledger) -> None:
    """One sentence with all that the agent's developer needs."""
    run = await issue(ledger, caps=Caps(month=500_000_000))
    await ledger.reserve(ask(run, 490_000_000))
    deny = await denied(ledger, ask(run, 20_000_000))
    assert deny.cap is not None
    assert deny.message == (
        "The call costs 20.00 USD, and 10.00 USD is left of 500.00 USD a month for this run. "
        f"It resets at {deny.cap.resets_at}. It was not sent."
    )
    assert {"requested_usd": "20.00", "spent_usd": "490.00", "cap_usd": "500.00", "remaining_usd": "10.00"}.items() <= (
        deny.fields("stripe").items()
    )


async def test_every_refusal_has_a_sentence(ledger: Ledger) -> None:
    """Whatever the reason, a person can read it."""
    run = await issue(ledger, vendors=("stripe", "twilio"))
    await ledger.freeze("fleet", "bill", ACTOR)
    assert "labelled 'bill'" in (await denied(ledger, ask(run, 1))).message
    await ledger.unfreeze("fleet", "bill", ACTOR)
    assert "only stripe, twilio" in (await denied(ledger, ask(run, 1, vendor="resend"))).message
    assert "--allow" in (await denied(ledger, ask(run, 1, operation=TRANSFER, needs_allow=True))).message
    assert "keys issue" in (await denied(ledger, ask(run, 1, key_digest="x"))).message
