"""Deciding a call: who may, in which order it is checked, and what the caps say."""

import asyncio

import pytest

from runcap.decision import CapHit, Code, Refused
from runcap.ledger import keys
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import WINDOWS, Caps, Level, Run, Spend, Window
from runcap.ledger.policy import Policy
from tests.ledger.support import (
    ACTOR,
    CHARGE,
    REFUND,
    TRANSFER,
    ask,
    call_rows,
    counted,
    denied,
    denied_code,
    issue,
    redis,
    settle,
    spent,
)


async def test_a_quote_is_held_against_run_and_vendor_in_all_windows(ledger: Ledger) -> None:
    """What is granted is held, and the answer says what is left."""
    run = await issue(ledger, caps=Caps(day=10_000, total=8_000))

    held = await ledger.reserve(ask(run, 3_000))

    assert (run.run_id, run.label, 3_000, 3_000, 5_000) == (
        held.run_id,
        held.label,
        held.held_micros,
        held.spent_micros,
        held.remaining_micros,
    )
    everywhere = dict.fromkeys(WINDOWS, Spend(3_000, 0))
    assert everywhere == await ledger.spend("run", run.run_id)
    assert everywhere == await ledger.spend("vendor", "stripe")


async def test_without_any_cap_nothing_is_said_of_what_remains(ledger: Ledger) -> None:
    """No cap, no remaining amount."""
    run = await issue(ledger)
    assert (await ledger.reserve(ask(run, 3_000))).remaining_micros is None


async def test_denials_come_in_order(ledger: Ledger) -> None:
    """Where several things are wrong, the first in the documented order is named; each has one row, nothing is held."""
    run = await issue(
        ledger,
        caps=Caps(total=100),
        vendors=("twilio",),
        policy=Policy(only=(REFUND,)),
        expires_at_ms=1,
    )
    await issue(ledger)  # so that stripe is counted
    asked = ask(run, 1_000, idempotency_digest="d", fingerprint="f")
    run_key = keys.run(ledger._client.prefix, run.key_digest)

    seen = [await denied_code(ledger, ask(run, 1_000, key_digest="0" * 64))]
    await ledger.revoke(run.run_id, ACTOR)
    seen.append(await denied_code(ledger, asked))
    await redis(ledger, "HSET", run_key, "revoked_ms", "")
    seen.append(await denied_code(ledger, asked))
    await redis(ledger, "HSET", run_key, "expires_ms", "")
    await ledger.freeze("all", "", ACTOR)
    seen.append(await denied_code(ledger, asked))
    await ledger.unfreeze("all", "", ACTOR)
    seen.append(await denied_code(ledger, asked))
    await redis(ledger, "HSET", run_key, "vendors", "\nstripe\n")
    seen.append(await denied_code(ledger, asked))
    await redis(ledger, "HSET", run_key, "policy", "{}")
    seen.append(await denied_code(ledger, asked))

    order = [
        Code.KEY_UNKNOWN,
        Code.KEY_REVOKED,
        Code.KEY_EXPIRED,
        Code.FROZEN,
        Code.VENDOR_NOT_ALLOWED,
        Code.OPERATION_NOT_ALLOWED,
        Code.CAP_EXHAUSTED,
    ]
    assert order == seen
    rows = await call_rows(ledger)
    assert [str(code) for code in order[1:]] == [row["code"] for row in rows]  # nobody's row is the proxy's to write
    assert ["refused"] * 2 + ["blocked"] * 4 == [row["decision"] for row in rows]
    assert (0, 0) == await counted(ledger, run)
    assert (0, 0) == await spent(ledger, "vendor", "stripe")


async def test_only_bars_everything_else_and_says_so(ledger: Ledger) -> None:
    """A run with `only` may use just that, and the refusal names what it may use."""
    run = await issue(ledger, policy=Policy(only=(REFUND, CHARGE), allow=(TRANSFER,)))
    await ledger.reserve(ask(run, 1))

    deny = await denied(ledger, ask(run, 1, operation="POST /v1/charge"))

    assert Code.OPERATION_NOT_ALLOWED == deny.code
    assert (REFUND, CHARGE) == deny.allowed_operations
    assert "POST /v1/charge" == deny.attempted
    assert run.run_id == deny.run_id


async def test_an_operation_refused_by_default_needs_to_be_named(ledger: Ledger) -> None:
    """`allow`, or `only`, unlocks it; nothing else does."""
    plain = await issue(ledger)
    allowing = await issue(ledger, policy=Policy(allow=(TRANSFER,)))
    only = await issue(ledger, policy=Policy(only=(TRANSFER,)))

    def transfer(run: Run) -> dict[str, object]:
        return {"operation": TRANSFER, "needs_allow": True}

    assert Code.OPERATION_NOT_ALLOWED == await denied_code(ledger, ask(plain, 1, **transfer(plain)))
    for run in (allowing, only):
        assert 1 == (await ledger.reserve(ask(run, 1, **transfer(run)))).held_micros


@pytest.mark.parametrize("level", ["run", "fleet", "vendor"])
@pytest.mark.parametrize("window", WINDOWS)
async def test_each_cap_is_reached_and_never_passed(ledger: Ledger, level: Level, window: Window) -> None:
    """Up to the last micro, and not one beyond; the refusal names the cap, and nothing at all is held."""
    run = await issue(ledger)
    selector = {"run": run.run_id, "fleet": "billing-", "vendor": "stripe"}[level]
    await ledger.set_cap(level, selector, Caps(**{window: 1_000}), ACTOR)
    await ledger.reserve(ask(run, 600))
    await ledger.reserve(ask(run, 400))
    before = [await counted(ledger, run), await spent(ledger, "vendor", "stripe")]

    deny = await denied(ledger, ask(run, 1))

    assert deny.cap is not None
    assert (level, selector, window, 1_000, 1_000) == (
        deny.cap.level,
        deny.cap.selector,
        deny.cap.window,
        deny.cap.cap_micros,
        deny.cap.spent_micros,
    )
    assert (deny.cap.resets_at is None) == (window == "total")
    assert 1 == deny.requested_micros
    assert before == [await counted(ledger, run), await spent(ledger, "vendor", "stripe")]
    row = (await call_rows(ledger))[-1]
    assert ("blocked", "cap_exhausted", level, selector, window, "1000", "1000") == (
        row["decision"],
        row["code"],
        row["cap_level"],
        row["cap_selector"],
        row["cap_window"],
        row["cap_micros"],
        row["spent_micros"],
    )


async def test_all_caps_are_held_or_none(ledger: Ledger) -> None:
    """One cap without room keeps all others as they were."""
    run = await issue(ledger, caps=Caps(day=10_000), label="billing-a")
    other = await issue(ledger, label="billing-b")
    await ledger.set_cap("fleet", "billing-", Caps(month=1_500), ACTOR)
    await ledger.reserve(ask(other, 1_000))

    deny = await denied(ledger, ask(run, 600))

    assert deny.cap is not None
    assert CapHit("fleet", "billing-", "month", 1_500, 1_000, deny.cap.resets_at) == deny.cap
    assert (0, 0) == await counted(ledger, run)
    assert (1_000, 0) == await spent(ledger, "fleet", "billing-")
    assert (1_000, 0) == await spent(ledger, "vendor", "stripe")


async def test_of_several_caps_the_one_with_least_left_is_named(ledger: Ledger) -> None:
    """Whoever raises that cap first gets furthest."""
    run = await issue(ledger, caps=Caps(day=500, total=300))
    await ledger.set_cap("vendor", "stripe", Caps(day=400), ACTOR)
    deny = await denied(ledger, ask(run, 1_000))
    assert deny.cap is not None
    assert ("run", "total") == (deny.cap.level, deny.cap.window)


async def test_fleet_caps_are_found_by_every_prefix_of_the_label(ledger: Ledger) -> None:
    """The empty prefix and the whole label are prefixes too; a longer one and another case are not."""
    run = await issue(ledger, label="billing-nightly")
    for prefix in ("billing-nightly-2", "Billing", "nightly", "ops"):
        await ledger.set_cap("fleet", prefix, Caps(day=0), ACTOR)
    await ledger.reserve(ask(run, 1))
    for prefix in ("", "b", "billing-", "billing-nightly"):
        await ledger.set_cap("fleet", prefix, Caps(day=0), ACTOR)
        deny = await denied(ledger, ask(run, 1))
        assert deny.cap is not None
        assert ("fleet", prefix) == (deny.cap.level, deny.cap.selector)
        await ledger.remove_cap("fleet", prefix, None, ACTOR)


async def test_what_adds_nothing_passes_even_an_overrun_cap(ledger: Ledger) -> None:
    """A free call costs no cap anything, also where an actual cost above its quote went past it."""
    run = await issue(ledger, caps=Caps(day=100))
    await settle(ledger, await ledger.reserve(ask(run, 100)), 150)

    held = await ledger.reserve(ask(run, 0))

    assert (0, 150, 0) == (held.held_micros, held.spent_micros, held.remaining_micros)
    assert Code.CAP_EXHAUSTED == await denied_code(ledger, ask(run, 1))


async def test_parallel_asks_of_one_process_pass_no_cap(ledger: Ledger) -> None:
    """More calls at once than there are connections wait for one; just as many as fit are granted."""
    run = await issue(ledger, caps=Caps(day=1_000))
    answers = await asyncio.gather(*(ledger.reserve(ask(run, 100)) for _ in range(200)), return_exceptions=True)
    assert 190 == sum(isinstance(answer, Refused) for answer in answers)
    assert (1_000, 0) == await counted(ledger, run)
