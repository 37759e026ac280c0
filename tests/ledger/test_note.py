"""A change outside the ledger leaves an admin row in the same chain."""

import pytest

from runcap.decision import Code, Refused
from runcap.ledger.ledger import Ledger
from tests.ledger.support import ACTOR, admin_rows


async def test_a_note_is_an_admin_row_that_names_who_and_what(ledger: Ledger) -> None:
    """It belongs to no run."""
    await ledger.note("secret_sealed", {"vendor": "stripe"}, ACTOR)
    row = (await admin_rows(ledger))[-1]
    detail = {"actor": ACTOR, "vendor": "stripe"}
    assert ("secret_sealed", "", "", detail) == (row["action"], row["run_id"], row["label"], row["detail"])


@pytest.mark.parametrize(("action", "actor"), [("secret_sealed", ""), ("", ACTOR), ("Secret sealed", ACTOR)])
async def test_a_note_needs_an_actor_and_an_action(ledger: Ledger, action: str, actor: str) -> None:
    """Without an actor there would be no row, and nobody would notice."""
    before = await admin_rows(ledger)
    with pytest.raises(ValueError, match="an actor and an action"):
        await ledger.note(action, {}, actor)
    assert before == await admin_rows(ledger)


async def test_a_ledger_that_is_not_trusted_takes_no_note(blank: Ledger) -> None:
    """The caller learns that there is no row."""
    with pytest.raises(Refused) as refused:
        await blank.note("secret_sealed", {}, ACTOR)
    assert Code.LEDGER_UNTRUSTED is refused.value.deny.code
