"""How reservations end: settled, released, unknown, swept; once, and in the day in which they began."""

import pytest

from runcap.decision import Code, Refused
from runcap.ledger import keys
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Caps, End, Ended
from runcap.vendors.base import Ending
from tests.ledger.support import (
    ACTOR,
    ask,
    call_rows,
    counted,
    denied_code,
    expire,
    field,
    issue,
    lose,
    move_to,
    redis,
    release,
    settle,
    snapshot,
    spent,
    today_of,
)


async def test_settled_counts_the_actual_cost_and_gives_the_rest_back(ledger: Ledger) -> None:
    """What was held beyond it can be spent again."""
    run = await issue(ledger, caps=Caps(day=1_000))
    held = await ledger.reserve(ask(run, 1_000))

    assert Ended(400, 400) == await settle(ledger, held, 400)

    assert (0, 400) == await counted(ledger, run)
    assert (0, 400) == await spent(ledger, "vendor", "stripe")
    assert 600 == (await ledger.reserve(ask(run, 600))).held_micros


async def test_settled_without_an_actual_cost_counts_the_quote(ledger: Ledger) -> None:
    """The quote is the most it can be."""
    run = await issue(ledger)
    assert Ended(1_000, 1_000) == await settle(ledger, await ledger.reserve(ask(run, 1_000)))


async def test_a_cost_above_the_quote_is_counted_in_full(ledger: Ledger) -> None:
    """Truth wins: the cap is overrun by it, and nothing more gets through."""
    run = await issue(ledger, caps=Caps(day=1_000))
    assert Ended(1_500, 1_500) == await settle(ledger, await ledger.reserve(ask(run, 1_000)), 1_500)
    assert (0, 1_500) == await counted(ledger, run)
    assert Code.CAP_EXHAUSTED == await denied_code(ledger, ask(run, 1))


async def test_released_gives_everything_back(ledger: Ledger) -> None:
    """It certainly cost nothing, whatever amount the end names."""
    run = await issue(ledger)
    held = await ledger.reserve(ask(run, 1_000))
    end = End(held.reservation_id, Ending.RELEASED, 700, object_id="pi_1", final=True)
    assert Ended(0, 0) == await ledger.finish(end)
    assert (0, 0) == await counted(ledger, run)


async def test_unknown_stays_counted_at_the_quote(ledger: Ledger) -> None:
    """Nobody can tell, so it is spent."""
    run = await issue(ledger)
    held = await ledger.reserve(ask(run, 1_000))
    assert Ended(1_000, 1_000) == await ledger.finish(End(held.reservation_id, Ending.UNKNOWN, 5))
    assert (0, 1_000) == await counted(ledger, run)


async def test_ending_twice_changes_nothing(ledger: Ledger) -> None:
    """Neither the counters nor the audit, in any order of endings; nor does ending what never was."""
    run = await issue(ledger)
    held = await ledger.reserve(ask(run, 1_000))
    await settle(ledger, held, 400)
    before = await snapshot(ledger)

    for again in (await settle(ledger, held, 900), await release(ledger, held), await lose(ledger, held)):
        assert Ended(0, 0, already=True) == again
    assert (await ledger.finish(End("never", Ending.SETTLED))).already

    assert before == await snapshot(ledger)


async def test_each_call_has_one_row_with_decision_and_end(ledger: Ledger) -> None:
    """What was known at the decision and what was learnt at the end, in one row."""
    run = await issue(ledger, caps=Caps(day=5_000, month=2_000))
    held = await ledger.reserve(ask(run, 1_000))
    assert [] == await call_rows(ledger)

    await settle(ledger, held, 400, row={"status": 200, "note": "é|\n"})

    (row,) = await call_rows(ledger)
    at_ms = int(row.pop("at_ms"))
    assert abs(await ledger.clock_ms() - at_ms) < 60_000
    assert {
        "kind": "call",
        "run_id": run.run_id,
        "label": run.label,
        "decision": "allowed",
        "code": "",
        "outcome": "settled",
        "settled_micros": "400",
        "spent_micros": "1000",
        "cap_micros": "2000",
        "cap_level": "run",
        "cap_selector": run.run_id,
        "cap_window": "month",
        "row": '{"vendor":"stripe","operation":"POST /v1/charges","cost_micros":1000}',
        "end": '{"status":200,"note":"é|\\n"}',
        "reservation": held.reservation_id,
    } == row


async def test_the_sweeper_ends_what_is_past_its_deadline_as_spent(ledger: Ledger) -> None:
    """At the quote, each with its row; what is still in time stays open."""
    run = await issue(ledger)
    late = [await ledger.reserve(ask(run, 100)) for _ in range(3)]
    await ledger.reserve(ask(run, 7))
    for held in late:
        await expire(ledger, held)

    assert 2 == await ledger.sweep(2)
    assert 1 == await ledger.sweep(2)
    assert 0 == await ledger.sweep(2)

    assert (7, 300) == await counted(ledger, run)
    assert [("unknown", "100", "")] * 3 == [
        (row["outcome"], row["settled_micros"], row["end"]) for row in await call_rows(ledger)
    ]
    assert (await settle(ledger, late[0], 1)).already


async def test_an_unreadable_reservation_does_not_stop_the_sweeper(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    """It stays held and is complained about; those behind it end."""
    run = await issue(ledger)
    broken, sound, gone = [await ledger.reserve(ask(run, 100)) for _ in range(3)]
    for held in (broken, sound, gone):
        await expire(ledger, held)
    prefix = ledger._client.prefix
    text = await redis(ledger, "GET", keys.reservation(prefix, broken.reservation_id))
    await redis(ledger, "SET", keys.reservation(prefix, broken.reservation_id), text[:40])
    await redis(ledger, "DEL", keys.reservation(prefix, gone.reservation_id))

    assert 1 == await ledger.sweep()

    assert "1 reservations past their deadline cannot be read" in caplog.text
    assert (200, 100) == await counted(ledger, run)
    differences = await ledger.check()
    assert f"The open reservation {broken.reservation_id} cannot be read." in differences
    assert 7 == len(differences)  # and three windows of two selectors hold too much
    await redis(ledger, "SET", keys.reservation(prefix, broken.reservation_id), text)
    await redis(ledger, "SET", keys.reservation(prefix, gone.reservation_id), text)
    await redis(ledger, "ZADD", keys.open_reservations(prefix), 1, broken.reservation_id, 1, gone.reservation_id)
    assert 2 == await ledger.sweep()


async def test_a_call_that_spans_midnight_ends_where_it_began(ledger: Ledger) -> None:
    """Reserved before, settled after: the earlier day and its month are counted, today is not."""
    run = await issue(ledger, caps=Caps(day=1_000))
    held = await ledger.reserve(ask(run, 600))
    day = await move_to(ledger, held, 1)

    await settle(ledger, held, 500)

    assert 500 == await field(ledger, f"run:{run.run_id}", f"day:{day}:spent")
    assert 0 == await field(ledger, f"run:{run.run_id}", f"day:{day}:held")
    assert (0, 0) == await spent(ledger, "run", run.run_id, "day")
    assert (0, 500) == await spent(ledger, "run", run.run_id, "total")
    assert 1_000 == (await ledger.reserve(ask(run, 1_000))).held_micros


async def test_old_days_are_dropped_but_none_that_holds_something(ledger: Ledger) -> None:
    """With the first call of a new day; the total keeps what they counted."""
    run = await issue(ledger)
    held = await ledger.reserve(ask(run, 30))
    open_day = await move_to(ledger, held, 5)
    ended = await ledger.reserve(ask(run, 20))
    ended_day = await move_to(ledger, ended, 4)
    await settle(ledger, ended)
    selector = f"run:{run.run_id}"
    key = keys.spend(ledger._client.prefix, selector)
    today = await today_of(ledger)
    await redis(ledger, "HDEL", key, f"day:{today}:held", f"day:{today}:spent")

    await ledger.reserve(ask(run, 5))

    assert None is await field(ledger, selector, f"day:{ended_day}:spent")
    assert 30 == await field(ledger, selector, f"day:{open_day}:held")
    assert (35, 20) == await spent(ledger, "run", run.run_id)


@pytest.mark.parametrize("micros", ["nan", "-1", "0x10", "1e3", str(2**53)])
async def test_the_script_itself_takes_only_plain_costs(ledger: Ledger, micros: str) -> None:
    """An actual cost that is no whole number below 2^53 ends nothing."""
    run = await issue(ledger)
    held = await ledger.reserve(ask(run, 10))
    before = await snapshot(ledger)
    with pytest.raises(Refused) as caught:
        await settle(ledger, held, micros)  # type: ignore[arg-type]
    assert Code.LEDGER_UNAVAILABLE == caught.value.deny.code
    assert before == await snapshot(ledger)


@pytest.mark.parametrize("key", ["open", "audit", "spend:vendor:stripe", "spend:fleet:billing-", "obj:stripe:pi_1"])
async def test_a_key_of_the_wrong_type_leaves_nothing_half_ended(ledger: Ledger, key: str) -> None:
    """The script fails before its first write; the reservation can still be ended when it has been put right."""
    run = await issue(ledger)
    await ledger.set_cap("fleet", "billing-", Caps(day=100), ACTOR)
    held = await ledger.reserve(ask(run, 10))
    name = ledger._client.prefix + key
    kept = bool(await redis(ledger, "EXISTS", name))
    if kept:
        await redis(ledger, "RENAME", name, "kept")
    await redis(ledger, "SET", name, "not what it should be")
    before = await snapshot(ledger)

    with pytest.raises(Refused):
        await settle(ledger, held, object_id="pi_1")

    assert before == await snapshot(ledger)
    await redis(ledger, "DEL", name)
    if kept:
        await redis(ledger, "RENAME", "kept", name)
    assert Ended(10, 10) == await settle(ledger, held, object_id="pi_1")
