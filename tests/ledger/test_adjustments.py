"""A price that comes later: the difference goes where the call was counted, once, and the audit agrees."""

from pathlib import Path

import pytest

from runcap.decision import Code, Refused
from runcap.ledger import keys
from runcap.ledger.adjustments import Adjustment
from runcap.ledger.checking import check_against_audit
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Caps, Run
from tests.ledger.support import (
    ACTOR,
    admin_rows,
    ask,
    denied_code,
    field,
    issue,
    move_to,
    redis,
    settle,
    spent,
    today_of,
)

SID = "SM" + "0" * 32


async def adjustment(ledger: Ledger, run: Run, micros: int, resource: str = SID, day: str = "") -> Adjustment:
    """An adjustment of a call of today."""
    return Adjustment(run.run_id, "twilio", resource, day or await today_of(ledger), micros, "delivered")


async def message(ledger: Ledger, run: Run, micros: int = 9_000) -> None:
    """Send a message that settles at its quote."""
    await settle(ledger, await ledger.reserve(ask(run, micros, vendor="twilio", row={"vendor": "twilio"})))


@pytest.mark.parametrize("micros", [-4_000, 2_500])
async def test_a_difference_goes_wherever_the_call_was_counted(ledger: Ledger, tmp_path: Path, micros: int) -> None:
    """Run, vendor and fleets, whenever a fleet's first cap was set; day, month and total. The audit says the same."""
    await ledger.set_cap("fleet", "billing-", Caps(day=100_000), ACTOR)
    run = await issue(ledger, vendors=("twilio",))
    other = await issue(ledger, label="ops", vendors=("twilio",))
    for sender in (run, other):
        await message(ledger, sender)
    await ledger.set_cap("fleet", "bill", Caps(day=100_000), ACTOR)

    assert await ledger.adjust(await adjustment(ledger, run, micros), ACTOR)

    for level, selector, before in (
        ("run", run.run_id, 9_000), ("run", other.run_id, 9_000), ("vendor", "twilio", 18_000),
        ("fleet", "billing-", 9_000), ("fleet", "bill", 9_000),
    ):  # fmt: skip
        expected = before if selector == other.run_id else before + micros
        for window in ("day", "month", "total"):
            assert (0, expected) == await spent(ledger, level, selector, window)  # type: ignore[arg-type]
    assert () == (await check_against_audit(ledger, tmp_path / "none.db")).differences
    row = (await admin_rows(ledger))[-1]
    assert ("adjusted", run.run_id, run.label) == (row["action"], row["run_id"], row["label"])
    assert {
        "actor": ACTOR, "vendor": "twilio", "resource": SID, "day": await today_of(ledger), "micros": micros,
        "reason": "delivered",
    } == row["detail"]  # fmt: skip


async def test_a_resource_is_adjusted_once(ledger: Ledger) -> None:
    """Whoever asks again, and with whatever figure."""
    run = await issue(ledger, vendors=("twilio",))
    await message(ledger, run)
    assert [True, False, False] == [
        await ledger.adjust(await adjustment(ledger, run, micros), ACTOR) for micros in (-1_000, -1_000, 5)
    ]
    assert (0, 8_000) == await spent(ledger, "run", run.run_id)
    assert 1 == len([row for row in await admin_rows(ledger) if row["action"] == "adjusted"])
    assert 29 * 86_400 < await redis(ledger, "TTL", keys.adjusted(ledger._client.prefix, "twilio", SID)) <= 30 * 86_400


async def test_what_comes_back_may_be_spent_again(ledger: Ledger) -> None:
    """And what is counted on top is asked of no cap, but lets nothing more through."""
    run = await issue(ledger, caps=Caps(total=10_000), vendors=("twilio",))
    await message(ledger, run)
    asked = ask(run, 2_000, vendor="twilio")
    assert Code.CAP_EXHAUSTED == await denied_code(ledger, asked)
    await ledger.adjust(await adjustment(ledger, run, -1_000), ACTOR)
    await settle(ledger, await ledger.reserve(asked))
    await ledger.adjust(await adjustment(ledger, run, 500, "SM" + "1" * 32), ACTOR)
    assert (0, 10_500) == await spent(ledger, "run", run.run_id)
    assert Code.CAP_EXHAUSTED == await denied_code(ledger, ask(run, 1, vendor="twilio"))


async def test_yesterdays_call_is_adjusted_yesterday(ledger: Ledger) -> None:
    """Its day, its month and the total move; today stays as it is."""
    run = await issue(ledger, vendors=("twilio",))
    held = await ledger.reserve(ask(run, 9_000, vendor="twilio"))
    day = await move_to(ledger, held, 1)
    await settle(ledger, held)
    await ledger.adjust(await adjustment(ledger, run, -4_000, day=day), ACTOR)
    assert 5_000 == await field(ledger, f"run:{run.run_id}", f"day:{day}:spent")
    assert (0, 0) == await spent(ledger, "run", run.run_id, "day")
    assert (0, 5_000) == await spent(ledger, "run", run.run_id)


async def test_a_day_that_is_forgotten_stays_so(ledger: Ledger) -> None:
    """Nobody reads its bucket any more; the total still moves."""
    run = await issue(ledger, vendors=("twilio",))
    await message(ledger, run)
    await ledger.adjust(await adjustment(ledger, run, -4_000, day="2020-02-29"), ACTOR)
    assert None is await field(ledger, f"run:{run.run_id}", "day:2020-02-29:spent")
    assert ((0, 9_000), (0, 5_000)) == (
        await spent(ledger, "run", run.run_id, "day"),
        await spent(ledger, "run", run.run_id),
    )


async def test_what_cannot_be_adjusted(ledger: Ledger) -> None:
    """An unknown run changes nothing; a broken ledger is not written to."""
    run = await issue(ledger, vendors=("twilio",))
    await message(ledger, run)
    stranger = Adjustment("01NOBODY", "twilio", SID, await today_of(ledger), -1, "delivered")
    assert not await ledger.adjust(stranger, ACTOR)
    for wrong in (
        Adjustment(run.run_id, "twilio", SID, "yesterday", -1, ""),
        Adjustment(run.run_id, "twilio", SID, await today_of(ledger), 2**53, ""),
    ):
        with pytest.raises(Refused):
            await ledger.adjust(wrong, ACTOR)
    assert (0, 9_000) == await spent(ledger, "run", run.run_id)
    assert None is await redis(ledger, "GET", keys.adjusted(ledger._client.prefix, "twilio", SID))
