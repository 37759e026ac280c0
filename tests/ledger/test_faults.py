"""Keys of the wrong type, under every operation; and servers that the ledger must not be on, or that are in trouble."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from runcap.decision import Code, Deny, Refused
from runcap.ledger.embedded import EmbeddedLedger
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Caps, End, Held, Run
from runcap.vendors.base import Ending
from tests.ledger.support import ACTOR, ask, counted, issue, redis

KINDS = (
    "meta", "run:DIGEST", "run_ids", "labels", "caps", "frozen", "spend:run:RUN", "spend:fleet:billing-",
    "spend:vendor:stripe", "resv:HELD", "open", "obj:stripe:pi_1", "idem:RUN:d", "audit",
)  # fmt: skip

Operation = Callable[[Ledger, Run, Held], Awaitable[Any]]

OPERATIONS: dict[str, Operation] = {
    "reserve": lambda ledger, run, _: ledger.reserve(
        ask(run, 1, object_id="pi_1", idempotency_digest="d", fingerprint="f")
    ),
    "authorize": lambda ledger, run, _: ledger.authorize(
        run.key_digest, "stripe", "POST /v1/charges", needs_allow=False, row={}
    ),
    "settle": lambda ledger, _, held: ledger.finish(
        End(held.reservation_id, Ending.SETTLED, 2, object_id="pi_1", final=True)
    ),
    "release": lambda ledger, _, held: ledger.finish(End(held.reservation_id, Ending.RELEASED)),
    "sweep": lambda ledger, _, __: ledger.sweep(),
    "record": lambda ledger, run, _: ledger.record({}, Deny(Code.MALFORMED, "no"), run.key_digest),
    "issue": lambda ledger, _, __: issue(ledger),
    "revoke": lambda ledger, run, _: ledger._client.run("revoke", (run.run_id, "{}")),
    "freeze": lambda ledger, run, _: ledger.freeze("run", run.run_id, ACTOR),
    "set_cap": lambda ledger, _, __: ledger.set_cap("fleet", "billing-n", Caps(day=7), ACTOR),
    "set_anchor": lambda ledger, _, __: ledger.set_anchor(9, "a" * 64, "9-0"),
}


@pytest.fixture(scope="module")
def quick_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that does not wait for its disk: what is tested with it has nothing to do with that."""
    with EmbeddedLedger(tmp_path_factory.mktemp("quick")) as embedded:
        with closing(Redis.from_url(embedded.url)) as server:
            server.config_set("appendfsync", "no")
        yield embedded.url


@pytest.fixture
async def quick(quick_url: str, namespace: str) -> AsyncIterator[Ledger]:
    ledger = Ledger.connect(quick_url, namespace=namespace)
    yield ledger
    await ledger.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_wrong_type_leaves_nothing_half_written(quick: Ledger, kind: str) -> None:
    """Whichever key is not what it should be, each operation either fails and changes nothing, or does not need it."""
    for name, operate in OPERATIONS.items():
        run, held = await _furnish(quick)
        key = quick._client.prefix + kind.replace("RUN", run.run_id).replace("DIGEST", run.key_digest).replace(
            "HELD", held.reservation_id
        )
        await redis(quick, "DEL", key)
        await redis(quick, "RPUSH", key, "not what it should be")
        before = await _dump(quick)
        code = await _code(operate(quick, run, held))
        assert (name, True) == (name, code in (None, Code.LEDGER_UNAVAILABLE))
        after = await _dump(quick)
        assert (name, before[key]) == (name, after[key])
        assert (name, before) == (name, after if code else before)
        await _clear(quick)


async def test_a_server_that_evicts_is_refused(tmp_path: Path) -> None:
    """Any policy but noeviction stops the start, with the setting's name in the sentence."""
    with EmbeddedLedger(tmp_path) as embedded:
        ledger = Ledger.connect(embedded.url)
        await ledger.check_server()
        for policy in ("allkeys-lru", "volatile-ttl"):
            await ledger._client.redis.config_set("maxmemory-policy", policy)
            with pytest.raises(RuntimeError, match=f"maxmemory-policy {policy}"):
                await ledger.check_server()
        await ledger.close()


async def test_calls_end_though_memory_is_full(tmp_path: Path) -> None:
    """Out of memory, no call is reserved; an ending that cannot be written is written once there is memory again."""
    with EmbeddedLedger(tmp_path) as embedded:
        ledger = Ledger.connect(embedded.url)
        run, held = await _furnish(ledger)
        await ledger._client.redis.config_set("maxmemory", "1")
        before = await _dump(ledger)
        end = End(held.reservation_id, Ending.SETTLED)
        for operation in (ledger.reserve(ask(run, 1)), ledger.finish(end), ledger.sweep()):
            with pytest.raises(Refused, match="cannot be asked"):
                await operation
        assert before == await _dump(ledger)
        await ledger._client.redis.config_set("maxmemory", "0")
        assert not (await ledger.finish(end)).already
        assert (0, 6) == await counted(ledger, run)
        assert [] == await ledger.check()
        await ledger.close()


async def test_a_stopped_server_holds_up_nobody_for_long(tmp_path: Path) -> None:
    """Many calls at once while it stands still: each is refused; what they had asked counts once, or not at all."""
    with EmbeddedLedger(tmp_path) as embedded:
        ledger = Ledger.connect(embedded.url, timeout_seconds=0.3)
        run, held = await _furnish(ledger)
        pid = int((await ledger._client.redis.info("server"))["process_id"])
        os.kill(pid, signal.SIGSTOP)
        try:
            asked = [ask(run, 1, deadline_ms=0) for _ in range(100)]
            answers = await asyncio.gather(*map(ledger.reserve, asked), return_exceptions=True)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert [Code.LEDGER_UNAVAILABLE] * 100 == [
            answer.deny.code for answer in answers if isinstance(answer, Refused)
        ]
        await ledger.finish(End(held.reservation_id, Ending.SETTLED))
        while await ledger.sweep(1000):
            pass
        held_micros, spent_micros = await counted(ledger, run)
        assert 0 == held_micros
        assert 6 <= spent_micros <= 106
        assert [] == await ledger.check()
        await ledger.close()


async def _furnish(ledger: Ledger) -> tuple[Run, Held]:
    """A ledger with a key of every kind, and one reservation past its deadline."""
    await ledger.initialise("epoch", ACTOR)
    run = await issue(ledger, label="billing-nightly")
    await ledger.set_cap("fleet", "billing-", Caps(day=1_000), ACTOR)
    first = await ledger.reserve(ask(run, 1, idempotency_digest="d", fingerprint="f"))
    await ledger.finish(End(first.reservation_id, Ending.SETTLED, 1, object_id="pi_1"))
    await ledger.finish(End((await ledger.reserve(ask(run, 1))).reservation_id, Ending.RELEASED))
    await ledger.freeze("fleet", "other-", ACTOR)
    held = await ledger.reserve(ask(run, 5, object_id="pi_2", deadline_ms=0))
    return run, held


async def _code(operation: Awaitable[Any]) -> Code | None:
    """Why it was refused; None if it was not."""
    try:
        await operation
    except Refused as refused:
        return refused.deny.code
    return None


async def _dump(ledger: Ledger) -> dict[str, str]:
    """All that the namespace holds, as the server serialises it."""
    found = await redis(ledger, "KEYS", f"{ledger._client.prefix}*")
    return {key: await redis(ledger, "DUMP", key) for key in sorted(found)}


async def _clear(ledger: Ledger) -> None:
    await redis(ledger, "DEL", *await redis(ledger, "KEYS", f"{ledger._client.prefix}*"))
