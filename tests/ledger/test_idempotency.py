"""Retries under the vendor's idempotency key count once."""

import pytest
from msgspec.structs import replace

from runcap.decision import Code
from runcap.ledger import keys
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Ask, Caps, Run, UnderWay
from tests.ledger.support import ask, call_rows, counted, denied_code, expire, issue, lose, redis, release, settle


def keyed(run: Run, micros: int = 100, fingerprint: str = "f") -> Ask:
    """The same call under the same key, each time a reservation of its own."""
    return ask(run, micros, idempotency_digest="d", fingerprint=fingerprint)


async def test_a_retry_counts_nothing_but_is_audited(ledger: Ledger) -> None:
    """Even where the cap has no room for it any more, and whatever its end says."""
    run = await issue(ledger, caps=Caps(day=100))
    await settle(ledger, await ledger.reserve(keyed(run)))

    retry = await ledger.reserve(keyed(run))
    assert (0, 100) == (retry.held_micros, retry.spent_micros)
    await settle(ledger, retry, 100)
    await lose(ledger, await ledger.reserve(keyed(run)))

    assert (0, 100) == await counted(ledger, run)
    assert ["100", "0", "0"] == [row["settled_micros"] for row in await call_rows(ledger)]


async def test_the_same_key_for_another_request_is_refused(ledger: Ledger) -> None:
    """While the first is open and after it has ended."""
    run = await issue(ledger)
    held = await ledger.reserve(keyed(run))
    assert Code.IDEMPOTENCY_MISMATCH == await denied_code(ledger, keyed(run, fingerprint="other"))
    await settle(ledger, held)
    assert Code.IDEMPOTENCY_MISMATCH == await denied_code(ledger, keyed(run, fingerprint="other"))


async def test_a_retry_storm_holds_once(ledger: Ledger) -> None:
    """While the first is open, the retries wait their turn."""
    run = await issue(ledger)
    await ledger.reserve(keyed(run))
    for _ in range(5):
        assert Code.IDEMPOTENCY_IN_PROGRESS == await denied_code(ledger, keyed(run))
    assert (100, 0) == await counted(ledger, run)


async def test_a_retry_may_wait_for_the_first(ledger: Ledger) -> None:
    """Until that has ended it is neither held nor refused, and leaves no row; then it counts nothing."""
    run = await issue(ledger)
    first = await ledger.reserve(keyed(run))
    rows = len(await call_rows(ledger))
    for _ in range(3):
        with pytest.raises(UnderWay):
            await ledger.reserve(replace(keyed(run), waits=True))
    assert rows == len(await call_rows(ledger))
    assert Code.IDEMPOTENCY_MISMATCH == await denied_code(ledger, replace(keyed(run, fingerprint="other"), waits=True))

    await settle(ledger, first)

    assert 0 == (await ledger.reserve(replace(keyed(run), waits=True))).held_micros
    assert (0, 100) == await counted(ledger, run)


async def test_keys_of_two_runs_have_nothing_to_do_with_each_other(ledger: Ledger) -> None:
    """The same key of another run is another call."""
    first, second = await issue(ledger), await issue(ledger)
    await settle(ledger, await ledger.reserve(keyed(first)))
    assert 100 == (await ledger.reserve(keyed(second, fingerprint="other"))).held_micros


async def test_after_a_release_a_retry_is_a_new_call(ledger: Ledger) -> None:
    """Nothing happened, so it counts, and even a different request may take the key."""
    run = await issue(ledger)
    await release(ledger, await ledger.reserve(keyed(run)))
    held = await ledger.reserve(keyed(run, 70, "other"))
    assert 70 == held.held_micros


@pytest.mark.parametrize("swept", [True, False])
async def test_after_an_unknown_ending_a_retry_is_counted_already(ledger: Ledger, swept: bool) -> None:
    """The vendor may have the first: the retry adds nothing, and its release takes nothing away."""
    run = await issue(ledger)
    first = await ledger.reserve(keyed(run))
    if swept:
        await expire(ledger, first)
        await ledger.sweep()
    else:
        await lose(ledger, first)
    await release(ledger, await ledger.reserve(keyed(run)))
    assert (0, 100) == await counted(ledger, run)
    assert 0 == (await ledger.reserve(keyed(run))).held_micros


async def test_a_late_end_does_not_touch_a_later_holder_of_the_key(ledger: Ledger) -> None:
    """The record belongs to the reservation that made it."""
    run = await issue(ledger)
    first = await ledger.reserve(keyed(run))
    key = keys.idempotency(ledger._client.prefix, run.run_id, "d")
    await redis(ledger, "DEL", key)  # as after 23 hours
    second = await ledger.reserve(keyed(run))
    await release(ledger, first)
    assert second.reservation_id == await redis(ledger, "HGET", key, "reservation")
    assert Code.IDEMPOTENCY_IN_PROGRESS == await denied_code(ledger, keyed(run))
    await redis(ledger, "DEL", key)
    await settle(ledger, second)
    assert 0 == await redis(ledger, "EXISTS", key)


async def test_a_key_is_remembered_for_23_hours(ledger: Ledger) -> None:
    """Inside the vendors' 24, ended or not."""
    run = await issue(ledger)
    held = await ledger.reserve(keyed(run))
    key = keys.idempotency(ledger._client.prefix, run.run_id, "d")
    assert 22 * 3_600 < await redis(ledger, "TTL", key) <= 23 * 3_600
    await settle(ledger, held)
    assert 22 * 3_600 < await redis(ledger, "TTL", key) <= 23 * 3_600
