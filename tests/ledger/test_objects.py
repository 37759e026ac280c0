"""A vendor's object is counted once over its life, and given back where it was counted."""

import pytest

from runcap.decision import Code
from runcap.ledger import keys
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Caps, Held, Run
from tests.ledger.support import (
    ACTOR,
    ask,
    call_rows,
    counted,
    denied_code,
    field,
    issue,
    lose,
    move_to,
    redis,
    release,
    settle,
    spent,
)

PI = "pi_1"


async def step(ledger: Ledger, run: Run, total: int, *, final: bool = False) -> int:
    """One call that brings the object to a total; returns what was held for it."""
    held = await ledger.reserve(ask(run, total, object_id=PI))
    await settle(ledger, held, total, object_id=PI, final=final)
    return held.held_micros


async def create(ledger: Ledger, run: Run, total: int) -> None:
    """The call that makes the object: its id is known from the answer only."""
    await settle(ledger, await ledger.reserve(ask(run, total)), total, object_id=PI)


async def test_create_update_confirm_capture_count_once(ledger: Ledger) -> None:
    """Each call holds only what is new: an increase its difference, a confirmation nothing."""
    run = await issue(ledger, caps=Caps(day=1_500))
    await create(ledger, run, 1_000)
    assert 500 == await step(ledger, run, 1_500)
    assert 0 == await step(ledger, run, 1_500)
    assert (0, 1_500) == await counted(ledger, run)
    assert Code.CAP_EXHAUSTED == await denied_code(ledger, ask(run, 1_501, object_id=PI))
    assert 0 == await step(ledger, run, 900, final=True)
    assert (0, 900) == await counted(ledger, run)
    assert (0, 900) == await spent(ledger, "vendor", "stripe")
    assert ["1000", "500", "0", "", "-600"] == [row["settled_micros"] for row in await call_rows(ledger)]


async def test_less_is_given_back_only_when_the_object_has_ended(ledger: Ledger) -> None:
    """A smaller amount may grow again until then."""
    run = await issue(ledger)
    await create(ledger, run, 1_000)
    await step(ledger, run, 400)
    assert (0, 1_000) == await counted(ledger, run)
    await step(ledger, run, 400, final=True)
    assert (0, 400) == await counted(ledger, run)
    await step(ledger, run, 0, final=True)
    assert (0, 0) == await counted(ledger, run)


async def test_an_unknown_ending_never_gives_back(ledger: Ledger) -> None:
    """Only the vendor's word that the object has ended does."""
    run = await issue(ledger)
    await create(ledger, run, 1_000)
    await lose(ledger, await ledger.reserve(ask(run, 0, object_id=PI)), final=True)
    assert (0, 1_000) == await counted(ledger, run)
    await lose(ledger, await ledger.reserve(ask(run, 1_200, object_id=PI)))
    assert (0, 1_200) == await counted(ledger, run)


async def test_what_was_counted_yesterday_is_given_back_yesterday(ledger: Ledger) -> None:
    """Newest first, each part in the very buckets where it was counted: today's cap gains nothing by it."""
    run = await issue(ledger)
    held = await ledger.reserve(ask(run, 1_000))
    day = await move_to(ledger, held, 1)
    await settle(ledger, held, 1_000, object_id=PI)
    await step(ledger, run, 1_300)
    selector = f"run:{run.run_id}"
    assert (0, 300) == await spent(ledger, "run", run.run_id, "day")

    await step(ledger, run, 900, final=True)

    assert (0, 0) == await spent(ledger, "run", run.run_id, "day")
    assert 900 == await field(ledger, selector, f"day:{day}:spent")
    assert (0, 900) == await spent(ledger, "run", run.run_id, "total")


async def test_a_dropped_bucket_is_skipped(ledger: Ledger) -> None:
    """The total is still given back."""
    run = await issue(ledger)
    held = await ledger.reserve(ask(run, 1_000))
    day = await move_to(ledger, held, 3)
    await settle(ledger, held, 1_000, object_id=PI)
    selector = f"run:{run.run_id}"
    await redis(ledger, "HDEL", keys.spend(ledger._client.prefix, selector), f"day:{day}:held", f"day:{day}:spent")

    await step(ledger, run, 0, final=True)

    assert None is await field(ledger, selector, f"day:{day}:spent")
    assert (0, 0) == await spent(ledger, "run", run.run_id, "total")


async def test_two_calls_in_flight_on_one_object_count_it_once(ledger: Ledger) -> None:
    """Each holds all of it, since either may be the one; the second to end finds it counted."""
    run = await issue(ledger)
    first = await ledger.reserve(ask(run, 1_000, object_id=PI))
    second = await ledger.reserve(ask(run, 1_000, object_id=PI))
    assert (2_000, 0) == await counted(ledger, run)
    await settle(ledger, second, 1_000, object_id=PI)
    await settle(ledger, first, 1_000, object_id=PI)
    assert (0, 1_000) == await counted(ledger, run)


async def test_a_released_call_leaves_the_object_as_it_was(ledger: Ledger) -> None:
    """A failed confirmation neither counts nor gives back."""
    run = await issue(ledger)
    await create(ledger, run, 1_000)
    await release(ledger, await ledger.reserve(ask(run, 1_700, object_id=PI)))
    assert (0, 1_000) == await counted(ledger, run)


async def test_each_selector_counts_for_itself(ledger: Ledger) -> None:
    """Another run that captures counts it as its own; the vendor and the fleet of both count it once."""
    await issue(ledger)
    await ledger.set_cap("fleet", "billing-", Caps(day=10_000), ACTOR)
    maker, taker = await issue(ledger, label="billing-a"), await issue(ledger, label="billing-b")
    await create(ledger, maker, 1_000)
    assert 1_000 == await step(ledger, taker, 1_000)
    assert (0, 1_000) == await counted(ledger, maker)
    assert (0, 1_000) == await counted(ledger, taker)
    assert (0, 1_000) == await spent(ledger, "vendor", "stripe")
    assert (0, 1_000) == await spent(ledger, "fleet", "billing-")


async def test_a_fleet_capped_later_knows_what_its_runs_counted(ledger: Ledger) -> None:
    """The object is neither counted twice nor given back twice."""
    run = await issue(ledger)
    await create(ledger, run, 1_000)
    await ledger.set_cap("fleet", "billing-", Caps(day=1_000), ACTOR)
    assert 0 == await step(ledger, run, 1_000)
    assert (0, 1_000) == await spent(ledger, "fleet", "billing-")
    await step(ledger, run, 250, final=True)
    assert (0, 250) == await spent(ledger, "fleet", "billing-")


@pytest.mark.parametrize("known", [True, False])
async def test_a_retry_of_a_lost_create_counts_once(ledger: Ledger, known: bool) -> None:
    """The first is unknown and counted; the retry learns the object: what was counted becomes the object's."""
    run = await issue(ledger)

    async def attempt() -> Held:
        return await ledger.reserve(ask(run, 1_000, idempotency_digest="d", fingerprint="f"))

    await lose(ledger, await attempt())
    assert (0, 1_000) == await counted(ledger, run)
    retry = await attempt()
    assert 0 == retry.held_micros
    await settle(ledger, retry, 1_000, object_id=PI if known else None)
    assert (0, 1_000) == await counted(ledger, run)
    again = await attempt()
    await settle(ledger, again, 1_000, object_id=PI)
    assert (0, 1_000) == await counted(ledger, run)
    assert 0 == await step(ledger, run, 1_000)
    await step(ledger, run, 0, final=True)
    assert (0, 0) == await counted(ledger, run)


async def test_a_retry_that_finds_a_greater_total_counts_the_difference(ledger: Ledger) -> None:
    """The object's truth wins over the rule that a retry is free."""
    run = await issue(ledger)
    for total in (1_000, 1_400):
        held = await ledger.reserve(ask(run, 1_000, object_id=PI, idempotency_digest="d", fingerprint="f"))
        await settle(ledger, held, total, object_id=PI)
    assert (0, 1_400) == await counted(ledger, run)


async def test_an_object_is_remembered_for_400_days(ledger: Ledger) -> None:
    """Each count begins the time anew."""
    run = await issue(ledger)
    await create(ledger, run, 1_000)
    key = keys.counted_object(ledger._client.prefix, "stripe", PI)
    assert 399 * 86_400 < await redis(ledger, "TTL", key) <= 400 * 86_400
