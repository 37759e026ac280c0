"""The audit stream as the auditor reads it."""

import asyncio

from runcap.ledger.ledger import Anchor, Ledger
from tests.ledger.support import ask, issue, settle


async def test_rows_are_read_in_order_from_behind_an_entry(ledger: Ledger) -> None:
    """At most as many as asked for, and nothing twice."""
    run = await issue(ledger)
    for micros in (1, 2, 3):
        await settle(ledger, await ledger.reserve(ask(run, micros)))
    everything = await ledger.read_audit("", 100)
    assert ["admin", "admin", "call", "call", "call"] == [row["kind"] for _, row in everything]
    assert everything[:2] == await ledger.read_audit("0", 2)
    assert everything[2:] == await ledger.read_audit(everything[1][0], 100)
    assert [] == await ledger.read_audit(everything[-1][0], 100)


async def test_trimming_drops_what_is_stored_and_nothing_else(ledger: Ledger) -> None:
    """Up to and including the entry that is named."""
    await issue(ledger)
    await issue(ledger)
    first, second, third = await ledger.read_audit("0", 100)
    assert 2 == await ledger.trim_audit(second[0])
    assert [third] == await ledger.read_audit("0", 100)
    assert 0 == await ledger.trim_audit(first[0])
    assert 1 == await ledger.audit_backlog()


async def test_a_wait_ends_with_the_next_row(ledger: Ledger) -> None:
    """Or without one, sooner than the client would take the server for dead."""
    (last, _), *_ = reversed(await ledger.read_audit("0", 100))
    assert [] == await ledger.read_audit(last, 1, block_ms=20)
    waiting = asyncio.create_task(ledger.read_audit(last, 1, block_ms=60_000))
    await asyncio.sleep(0)
    await issue(ledger)
    ((_, row),) = await waiting
    assert "key_issued" == row["action"]


async def test_the_anchor_never_moves_back(ledger: Ledger) -> None:
    """A file that was cut cannot lower it."""
    assert None is await ledger.anchor()
    await ledger.set_anchor(7, "abc", "1-0")
    await ledger.set_anchor(6, "old", "0-1")
    assert Anchor(7, "abc", "1-0") == await ledger.anchor()
