"""Whose key it is, and whether it is good."""

import pytest

from runcap.decision import Code, Refused
from runcap.ledger.ledger import Ledger
from tests.ledger.support import ACTOR, issue


async def test_a_good_key_is_a_runs(ledger: Ledger) -> None:
    """Whatever the run may do, and without a row in the audit."""
    run = await issue(ledger)
    before = await ledger.read_audit("0", 100)
    authorized = await ledger.identify(run.key_digest)
    assert (run.run_id, run.label) == (authorized.run_id, authorized.label)
    assert before == await ledger.read_audit("0", 100)


async def test_a_key_that_is_not_good(ledger: Ledger) -> None:
    """Unknown and revoked are told apart, and the run is named if there is one."""
    with pytest.raises(Refused) as unknown:
        await ledger.identify("0" * 64)
    assert (Code.KEY_UNKNOWN, None) == (unknown.value.deny.code, unknown.value.deny.run_id)
    run = await issue(ledger)
    await ledger.revoke(run.run_id, ACTOR)
    with pytest.raises(Refused) as revoked:
        await ledger.identify(run.key_digest)
    assert (Code.KEY_REVOKED, run.run_id) == (revoked.value.deny.code, revoked.value.deny.run_id)


async def test_an_empty_ledger_knows_nobody(blank: Ledger) -> None:
    """It says that it cannot be trusted."""
    with pytest.raises(Refused) as refused:
        await blank.identify("0" * 64)
    assert Code.LEDGER_UNTRUSTED is refused.value.deny.code
