"""What reserve does with amounts that are none, keys of the wrong type, and a ledger that has lost something."""

from typing import cast

import pytest
from msgspec.structs import replace

from runcap.decision import Code
from runcap.ledger import keys
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Caps
from tests.ledger.support import (
    ACTOR,
    ask,
    counted,
    denied_code,
    issue,
    redis,
    snapshot,
)


@pytest.mark.parametrize(
    "micros", ["nan", "-1000", "0x10", "1e3", " 5", "1.5", "", "\u0661", str(2**53), "9" * 400, "inf"]
)
async def test_the_script_itself_takes_only_plain_amounts(ledger: Ledger, micros: str) -> None:
    """Whatever a client sends, what is no whole number below 2^53 ends the script before its first write."""
    run = await issue(ledger, caps=Caps(day=10))
    before = await snapshot(ledger)
    assert Code.LEDGER_UNAVAILABLE == await denied_code(ledger, replace(ask(run, 1), micros=cast("int", micros)))
    assert Code.LEDGER_UNAVAILABLE == await denied_code(ledger, ask(run, 1, deadline_ms=micros))
    assert before == await snapshot(ledger)


async def test_the_largest_amount_counts_exactly(ledger: Ledger) -> None:
    """2^53 - 1 micros come out as they went in, and nothing can be added to them."""
    run = await issue(ledger)
    held = await ledger.reserve(ask(run, 2**53 - 1))
    assert 2**53 - 1 == held.held_micros
    assert (2**53 - 1, 0) == await counted(ledger, run)
    assert Code.LEDGER_UNAVAILABLE == await denied_code(ledger, ask(run, 1))
    assert (2**53 - 1, 0) == await counted(ledger, run)


@pytest.mark.parametrize(
    "key", ["open", "audit", "caps", "frozen", "spend:run:RUN", "spend:vendor:stripe", "idem:RUN:d", "obj:stripe:pi_1"]
)
async def test_a_key_of_the_wrong_type_leaves_nothing_half_written(ledger: Ledger, key: str) -> None:
    """The script fails before its first write, wherever the wrong key is."""
    run = await issue(ledger, caps=Caps(day=1_000))
    name = ledger._client.prefix + key.replace("RUN", run.run_id)
    kept = bool(await redis(ledger, "EXISTS", name))
    if kept:
        await redis(ledger, "RENAME", name, "kept")
    await redis(ledger, "SET", name, "not what it should be")
    before = await snapshot(ledger)

    asked = ask(run, 1, object_id="pi_1", idempotency_digest="d", fingerprint="f")
    assert Code.LEDGER_UNAVAILABLE == await denied_code(ledger, asked)

    assert before == await snapshot(ledger)
    await redis(ledger, "DEL", name)
    if kept:
        await redis(ledger, "RENAME", "kept", name)


async def test_a_ledger_without_its_epoch_lets_nothing_through(blank: Ledger) -> None:
    """One that was never initialised, and one that was flushed, are not to be told apart: both are refused."""
    await blank.initialise("epoch", ACTOR)
    run = await issue(blank)
    await redis(blank, "HDEL", keys.meta(blank._client.prefix), "epoch")
    assert Code.LEDGER_UNTRUSTED == await denied_code(blank, ask(run, 1))


@pytest.mark.parametrize("selector", ["run:RUN", "fleet:billing-", "vendor:stripe"])
async def test_missing_counters_let_nothing_through(blank: Ledger, selector: str) -> None:
    """Counters that are gone would let everything be spent again."""
    await blank.initialise("epoch", ACTOR)
    run = await issue(blank)
    await blank.set_cap("fleet", "billing-", Caps(day=10), ACTOR)
    await redis(blank, "DEL", keys.spend(blank._client.prefix, selector.replace("RUN", run.run_id)))
    assert Code.LEDGER_UNTRUSTED == await denied_code(blank, ask(run, 1))
    # A run that is issued later must not paper over it.
    later = await issue(blank)
    assert selector == "run:RUN" or Code.LEDGER_UNTRUSTED == await denied_code(blank, ask(later, 1))


async def test_a_full_audit_stream_lets_nothing_through(ledger: Ledger) -> None:
    """Past the limit, calls are refused until the auditor has caught up."""
    run = await issue(ledger)
    await redis(ledger, "HSET", keys.meta(ledger._client.prefix), "audit_limit", await ledger.audit_backlog())
    assert Code.AUDIT_UNAVAILABLE == await denied_code(ledger, ask(run, 1))
    (last_id, _), *_ = reversed(await ledger.read_audit("0", 100))
    await ledger.trim_audit(last_id)
    assert 1 == (await ledger.reserve(ask(run, 1))).held_micros


async def test_a_reservation_id_is_used_once(ledger: Ledger) -> None:
    """A second reservation of the same id is refused and holds nothing."""
    run = await issue(ledger)
    asked = ask(run, 5)
    await ledger.reserve(asked)
    assert Code.LEDGER_UNAVAILABLE == await denied_code(ledger, asked)
    assert (5, 0) == await counted(ledger, run)


async def test_a_line_feed_cannot_forge_a_hold(ledger: Ledger) -> None:
    """Facts are lines in the reservation: one that would be two is refused."""
    run = await issue(ledger)
    assert Code.LEDGER_UNAVAILABLE == await denied_code(ledger, ask(run, 5, object_id="pi_1\n0 vendor:stripe"))
    assert (0, 0) == await counted(ledger, run)
