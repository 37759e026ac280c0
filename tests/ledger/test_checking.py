"""`runcap ledger check`: every difference between ledger and audit is found, and said in plain English."""

from pathlib import Path

import pytest

from runcap.ledger import keys
from runcap.ledger.checking import check_against_audit
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Caps
from tests.ledger.support import ACTOR, ask, issue, redis, settle, today_of
from tests.ledger.test_rebuild import a_history, audit, lose_all


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the audit is."""
    return tmp_path / "audit.db"


async def differences(ledger: Ledger, path: Path) -> list[str]:
    """What is said."""
    return list((await check_against_audit(ledger, path)).differences)


@pytest.mark.parametrize("audited", ["never", "before", "between", "after"])
async def test_a_sound_ledger_agrees_wherever_its_rows_are(ledger: Ledger, path: Path, audited: str) -> None:
    """In the stream alone, in the file alone, or in both; with calls that are still open."""
    if audited == "before":
        await audit(ledger, path)
    run, *_ = await a_history(ledger)
    if audited == "between":
        await audit(ledger, path)
    await settle(ledger, await ledger.reserve(ask(run, 7)))
    await ledger.reserve(ask(run, 5))
    if audited == "after":
        await audit(ledger, path)

    found = await check_against_audit(ledger, path)

    assert () == found.differences
    assert 19 == found.compared


async def test_each_difference_is_one_sentence(ledger: Ledger, path: Path) -> None:
    """Counters, runs, caps, freezes, and reservations that have ended."""
    run, lost = await issue(ledger, label="billing-a"), await issue(ledger, label="billing-b")
    await ledger.set_cap("fleet", "billing-", Caps(day=5_000_000), ACTOR)
    await settle(ledger, await ledger.reserve(ask(run, 2_000_000)))
    ended = await ledger.reserve(ask(run, 0))
    await audit(ledger, path)
    prefix, day = ledger._client.prefix, await today_of(ledger)
    text = await redis(ledger, "GET", keys.reservation(prefix, ended.reservation_id))
    await settle(ledger, ended)
    await redis(ledger, "SET", keys.reservation(prefix, ended.reservation_id), text)
    await redis(ledger, "ZADD", keys.open_reservations(prefix), 9_999_999_999_999, ended.reservation_id)
    await redis(ledger, "HSET", keys.spend(prefix, f"run:{run.run_id}"), f"day:{day}:spent", 1_500_000)
    await redis(ledger, "HDEL", keys.spend(prefix, "vendor:stripe"), f"month:{day[:7]}:spent")
    await redis(ledger, "HSET", keys.run(prefix, run.key_digest), "cap_day", 7_000_000, "revoked_ms", 1)
    await redis(ledger, "HDEL", keys.run_ids(prefix), lost.run_id)
    await redis(ledger, "HSET", keys.caps(prefix), "fleet:billing-", "|6000000|")
    await redis(ledger, "HSET", keys.frozen(prefix), "all", 1)

    assert [
        f"Run {run.run_id} (billing-a), day {day}: the ledger counts 1.50 USD as spent, and the audit 2.00 USD.",
        f"Vendor stripe, month {day[:7]}: the ledger counts 0.00 USD as spent, and the audit 2.00 USD.",
        f"Run {run.run_id} (billing-a): its caps are 7.00 USD a day, and by the audit none.",
        f"Run {run.run_id} (billing-a): its key is revoked, and by the audit not.",
        f"The audit has the run {lost.run_id} (billing-b), and the ledger does not: its key is refused.",
        "Fleet 'billing-': the caps are 6.00 USD a month, and by the audit 5.00 USD a day.",
        "All calls: frozen, and by the audit not.",
        f"The reservation {ended.reservation_id} is open, but the audit has its end.",
    ] == await differences(ledger, path)
    await lose_all(ledger)


async def test_a_ledger_that_is_lost_says_so(ledger: Ledger, path: Path) -> None:
    """Empty, waiting for its rebuild, or beside an audit that is not its own."""
    await issue(ledger)
    await audit(ledger, path)
    assert ["see `runcap audit verify`."] == [
        text[-27:].strip() for text in await differences(ledger, path.with_name("other.db"))
    ]
    await ledger.ask_for_rebuild()
    assert ["until it has been rebuilt" in text for text in await differences(ledger, path)] == [True]
    await lose_all(ledger)
    assert ["empty or older than the audit" in text for text in await differences(ledger, path)] == [True]
