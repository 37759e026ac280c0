"""How fast a run may be: calls at once, and calls a minute."""

import asyncio

from runcap.decision import Code, Refused, RuleHit
from runcap.ledger import keys
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Caps
from runcap.ledger.policy import Policy
from tests.ledger.support import ask, call_rows, counted, denied, denied_code, issue, lose, redis, release, settle


async def test_so_many_at_once(ledger: Ledger) -> None:
    """Whatever way a call ends, the next may begin; what was refused is no call."""
    run = await issue(ledger, policy=Policy(max_concurrency=3))
    held = [await ledger.reserve(ask(run, 5)) for _ in range(3)]
    assert all(one.ends_matter for one in held)
    deny = await denied(ledger, ask(run, 0))
    assert (Code.RATE_LIMITED, 429, "blocked") == (deny.code, deny.status, deny.decision)
    assert RuleHit("max_concurrency", "", ("3",)) == deny.rule
    assert "This run may have 3 calls under way at once, and has: try again when one has ended." == deny.message
    for end, one in zip((settle, release, lose), held, strict=True):
        await end(ledger, one)
        again = await ledger.reserve(ask(run, 5))
        assert Code.RATE_LIMITED is await denied_code(ledger, ask(run, 5))
        await settle(ledger, again)
        await ledger.reserve(ask(run, 0))
    assert (0, 25) == await counted(ledger, run)
    assert 4 == sum(row["code"] == "rate_limited" for row in await call_rows(ledger))


async def test_a_call_whose_proxy_died_makes_room(ledger: Ledger) -> None:
    """Past its deadline it is no longer under way, and once swept nothing of it is left."""
    run = await issue(ledger, policy=Policy(max_concurrency=1))
    await ledger.reserve(ask(run, 5, deadline_ms=1))
    await asyncio.sleep(0.01)
    assert 1 == await ledger.sweep()
    key = keys.active(ledger._client.prefix, run.run_id)
    assert 0 == await redis(ledger, "EXISTS", key)
    await ledger.reserve(ask(run, 5))
    assert 1 == await redis(ledger, "ZCARD", key)
    assert 0 < await redis(ledger, "PTTL", key)


async def test_so_many_a_minute(ledger: Ledger) -> None:
    """Calls that have ended count too, and the refusal says how long to wait."""
    run = await issue(ledger, caps=Caps(total=1000), policy=Policy(max_calls_per_minute=4))
    seconds, _ = await redis(ledger, "TIME")
    minute = int(seconds) // 60
    both = [keys.pace(ledger._client.prefix, run.run_id, each) for each in (minute, minute + 1)]
    for _ in range(4):
        await settle(ledger, await ledger.reserve(ask(run, 0)))
    assert 4 == sum(int(begun) for begun in await redis(ledger, "MGET", *both) if begun)
    for key in both:  # lest a minute ends in the middle of this test
        await redis(ledger, "SET", key, 4)
    deny = await denied(ledger, ask(run, 0))
    assert (Code.RATE_LIMITED, RuleHit("max_calls_per_minute", "", ("4",))) == (deny.code, deny.rule)
    assert deny.message.startswith("This run may make 4 calls a minute, and has: try again in ")
    await redis(ledger, "DEL", *both)
    assert (await ledger.reserve(ask(run, 0))).run_id == run.run_id


async def test_at_once_from_everywhere(ledger: Ledger) -> None:
    """Of many that ask together, exactly as many as may get through."""
    run = await issue(ledger, policy=Policy(max_concurrency=5))
    answers = await asyncio.gather(*(ledger.reserve(ask(run, 1)) for _ in range(40)), return_exceptions=True)
    refused = [answer.deny.code for answer in answers if isinstance(answer, Refused)]
    assert [Code.RATE_LIMITED] * 35 == refused


async def test_a_run_without_limits_leaves_no_trace(ledger: Ledger) -> None:
    """What need not be counted is not."""
    run = await issue(ledger)
    assert not (await ledger.reserve(ask(run, 1))).ends_matter
    prefix = ledger._client.prefix
    assert [] == await redis(ledger, "KEYS", f"{prefix}active:*") + await redis(ledger, "KEYS", f"{prefix}pace:*")
