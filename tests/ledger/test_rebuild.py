"""A ledger that is lost or older than the audit is found, refuses, and comes back from the audit as it was."""

import secrets
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from runcap.audit.store import Store
from runcap.decision import Code, Refused
from runcap.ledger import restoring
from runcap.ledger.adjustments import Adjustment
from runcap.ledger.checking import check_against_audit
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Caps, End, Run
from runcap.ledger.opening import make_current
from runcap.ledger.policy import Policy
from runcap.ledger.rebuild import rebuild
from runcap.ledger.standing import Standing, compare, looking_at
from runcap.vendors.base import Ending
from tests.audit.stream import call
from tests.ledger.clock import set_offset, settable_clock
from tests.ledger.support import (
    ACTOR,
    DAY_MS,
    ask,
    call_rows,
    counted,
    denied_code,
    expire,
    field,
    issue,
    lose,
    redis,
    release,
    settle,
    snapshot,
    spent,
    today_of,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the audit is."""
    return tmp_path / "audit.db"


async def audit(ledger: Ledger, path: Path) -> None:
    """Write what the stream holds, as the auditor does."""
    store = Store(path)
    store.open()
    entries = await ledger.read_audit("0", 10_000)
    tail = store.append(entries)
    await ledger.set_anchor(tail.seq, tail.hash, entries[-1][0])
    await ledger.trim_audit(entries[-1][0])
    store.close()


async def lose_all(ledger: Ledger) -> None:
    """As after FLUSHALL."""
    for key in await redis(ledger, "KEYS", f"{ledger._client.prefix}*"):
        await redis(ledger, "DEL", key)


async def back_up(ledger: Ledger) -> list[str]:
    """Copy the whole namespace, streams and times to live included."""
    keys: list[str] = await redis(ledger, "KEYS", f"{ledger._client.prefix}*")
    for key in keys:
        await redis(ledger, "COPY", key, f"backup:{key}")
    return keys


async def put_back(ledger: Ledger, keys: list[str]) -> None:
    """Make the namespace what it was when it was copied, as after a backup was restored, or a failover."""
    await lose_all(ledger)
    for key in keys:
        await redis(ledger, "RENAME", f"backup:{key}", key)


def tamper(path: Path, change: str) -> None:
    """Change rows of the audit as somebody would who can write the file."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TRIGGER calls_no_update")
        db.execute(change)
        db.commit()


async def refusal_of(attempt: Callable[[], Awaitable[object]]) -> Code:
    """Why something is refused."""
    with pytest.raises(Refused) as caught:
        await attempt()
    return caught.value.deny.code


class _Death(BaseException):
    """As near to kill -9 as a test in the same process gets: nobody catches it."""


async def _dies(*_: object, **__: object) -> None:
    raise _Death


async def state_of(ledger: Ledger) -> dict[str, Any]:
    """All that has to come back as it was: not the stream, nor what says which ledger this is."""
    found = await snapshot(ledger)
    return {
        key.removeprefix(ledger._client.prefix): value
        for key, value in found.items()
        if not key.endswith((":meta", ":audit")) and ":known:" not in key
    }


async def standing(ledger: Ledger, path: Path) -> Standing:
    """How the ledger stands to the audit."""
    found, _ = await compare(ledger, looking_at(path))
    return found


async def a_history(ledger: Ledger) -> list[Run]:
    """Calls of all kinds, in fleets with and without caps from the start; nothing is left open."""
    policy = Policy(only=("POST /v1/charges",), max_call_micros=900)
    first = await ledger.issue(replace(_new("billing-a"), policy=policy, caps=Caps(day=5_000)), ACTOR)
    second, other = (
        await issue(ledger, label="billing-b"),
        await issue(ledger, label="ops", vendors=("stripe", "resend")),
    )
    await ledger.set_cap("vendor", "stripe", Caps(month=1_000_000), ACTOR)
    for run, micros in ((first, 100), (second, 250), (other, 30)):
        await settle(ledger, await ledger.reserve(ask(run, micros)), micros - 5)
    shared = await ledger.reserve(ask(first, 400, object_id="pi_1"))
    await settle(ledger, shared, 300)
    await ledger.set_cap("fleet", "billing-", Caps(day=9_000), ACTOR)  # counts what was before, too
    await settle(ledger, await ledger.reserve(ask(second, 350, object_id="pi_1")))
    await settle(ledger, await ledger.reserve(ask(first, 350, object_id="pi_1")), 200, final=True)
    await release(ledger, await ledger.reserve(ask(first, 60, idempotency_digest="gone", fingerprint="f")))
    await lose(ledger, await ledger.reserve(ask(second, 70)))
    keyed = ask(other, 80, idempotency_digest="key", fingerprint="f")
    await settle(ledger, await ledger.reserve(keyed))
    await settle(ledger, await ledger.reserve(_again(keyed)), 80, object_id="pi_2")
    await denied_code(ledger, ask(first, 901))
    for micros, resource in ((-20, "SM1"), (15, "SM2")):
        adjustment = Adjustment(second.run_id, "stripe", resource, await today_of(ledger), micros, "price")
        assert await ledger.adjust(adjustment, ACTOR)
    await ledger.set_cap("run", second.run_id, Caps(total=5_000), ACTOR)
    await ledger.set_cap("fleet", "ops", Caps(day=1), ACTOR)
    await ledger.remove_cap("fleet", "ops", None, ACTOR)
    await ledger.revoke(second.run_id, ACTOR)
    await ledger.freeze("vendor", "twilio", ACTOR)
    await ledger.freeze("all", "", ACTOR)
    await ledger.unfreeze("all", "", ACTOR)
    return [first, second, other]


async def test_an_empty_ledger_comes_back_as_it_was(ledger: Ledger, path: Path) -> None:
    """Key for key: runs, policy, caps, counters, objects, idempotency records; what lives for a time still does."""
    first, second, other = await a_history(ledger)
    await audit(ledger, path)
    before = await state_of(ledger)
    await lose_all(ledger)
    assert Code.LEDGER_UNTRUSTED == await denied_code(ledger, ask(first, 1))
    assert Standing.LOST is await standing(ledger, path)

    rebuilt = await rebuild(ledger, path, ACTOR)

    after = await state_of(ledger)
    for key in ("frozen",):  # since when is not counted
        assert before.pop(key).keys() == after.pop(key).keys()
    assert before == after
    assert (3, 0, ()) == (rebuilt.runs, rebuilt.open_calls, rebuilt.remarks)
    assert Standing.CURRENT is await standing(ledger, path)
    assert 22 * 3_600 < await redis(ledger, "TTL", f"{ledger._client.prefix}idem:{other.run_id}:key") <= 23 * 3_600
    assert 399 * 86_400 < await redis(ledger, "TTL", f"{ledger._client.prefix}obj:stripe:pi_1") <= 400 * 86_400
    assert Code.KEY_REVOKED == await denied_code(ledger, ask(second, 1))
    assert Code.IDEMPOTENCY_MISMATCH == await denied_code(
        ledger, ask(other, 80, idempotency_digest="key", fingerprint="other")
    )
    assert 0 == (await ledger.reserve(ask(first, 200, object_id="pi_1"))).held_micros
    assert 1 == (await ledger.reserve(ask(other, 1))).held_micros


async def test_an_older_ledger_is_found_and_what_it_had_open_is_kept(ledger: Ledger, path: Path) -> None:
    """What has ended since is not held again; what has not stays held, and ends as any other."""
    run = await issue(ledger, caps=Caps(day=1_000))
    ended, idle = await ledger.reserve(ask(run, 100)), await ledger.reserve(ask(run, 70))
    keyed = ask(run, 30, idempotency_digest="k", fingerprint="f")
    waiting = await ledger.reserve(keyed)
    await audit(ledger, path)
    backup = await back_up(ledger)
    await settle(ledger, ended)
    await settle(ledger, await ledger.reserve(ask(run, 400)))
    await ledger.set_cap("fleet", "billing-", Caps(day=1_000), ACTOR)
    await audit(ledger, path)
    await put_back(ledger, backup)
    assert (200, 0) == await counted(ledger, run)
    assert Standing.LOST is await standing(ledger, path)

    assert not await make_current(ledger, path, embedded=False)
    assert Code.LEDGER_UNTRUSTED == await denied_code(ledger, ask(run, 1))
    rebuilt = await rebuild(ledger, path, ACTOR)

    assert 2 == rebuilt.open_calls
    assert (100, 500) == await counted(ledger, run)
    assert (100, 500) == await spent(ledger, "fleet", "billing-")
    assert Code.IDEMPOTENCY_IN_PROGRESS == await denied_code(ledger, _again(keyed))
    await settle(ledger, waiting)
    await expire(ledger, idle)
    assert 1 == await ledger.sweep()
    assert (0, 600) == await counted(ledger, run)
    assert (0, 600) == await spent(ledger, "fleet", "billing-")


@pytest.mark.parametrize("ending", list(Ending))
async def test_a_call_under_way_when_all_was_lost_counts_when_it_ends(
    ledger: Ledger, path: Path, ending: Ending
) -> None:
    """The rebuilt ledger has never heard of it, but its proxy has not forgotten: with its row, and once."""
    run = await issue(ledger, caps=Caps(day=100))
    await ledger.set_cap("fleet", "billing-", Caps(day=100), ACTOR)
    held = await ledger.reserve(ask(run, 90))
    ended = await ledger.reserve(ask(run, 5))
    end = End(ended.reservation_id, Ending.SETTLED)
    under_way = dict(ledger._under_way)
    await ledger.finish(end)
    await audit(ledger, path)
    await lose_all(ledger)
    await rebuild(ledger, path, ACTOR)
    ledger._under_way |= under_way  # the answer to its first attempt was lost

    assert (await ledger.finish(end)).already
    expected = {Ending.SETTLED: 80, Ending.UNKNOWN: 90, Ending.RELEASED: 0}[ending]
    late = await ledger.finish(End(held.reservation_id, ending, 80))
    assert expected == late.settled_micros
    ledger._under_way |= under_way
    assert (await ledger.finish(End(held.reservation_id, ending, 80))).already

    for level, selector in (("run", run.run_id), ("fleet", "billing-"), ("vendor", "stripe")):
        assert (0, 5 + expected) == await spent(ledger, level, selector)  # type: ignore[arg-type]
    rows = [(row["outcome"], row["settled_micros"], row["reservation"]) for row in await call_rows(ledger)]
    assert [(str(ending), str(expected), held.reservation_id)] * (ending is not Ending.RELEASED) == rows
    assert () == (await check_against_audit(ledger, path)).differences


async def test_what_is_held_on_an_old_day_comes_back_with_what_that_day_had_spent(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in a month that nobody asks about any more: the call will be counted there when it ends."""
    with settable_clock(monkeypatch):
        run, day = await issue(ledger), await today_of(ledger)
        first, second = await ledger.reserve(ask(run, 7)), await ledger.reserve(ask(run, 6))
        await settle(ledger, first)
        await set_offset(ledger, 70 * DAY_MS)

        await rebuild(ledger, path, ACTOR)

        await settle(ledger, second)
        assert 13 == await field(ledger, f"run:{run.run_id}", f"month:{day[:7]}:spent")
        assert () == (await check_against_audit(ledger, path)).differences


async def test_the_lost_ledgers_last_rows_reach_the_audit(ledger: Ledger, path: Path) -> None:
    """Calls that an older ledger has let through before it was found are in its stream, and count."""
    run = await issue(ledger)
    await audit(ledger, path)
    backup = await back_up(ledger)
    await settle(ledger, await ledger.reserve(ask(run, 40)))
    await audit(ledger, path)
    await put_back(ledger, backup)
    await settle(ledger, await ledger.reserve(ask(run, 2)))

    await rebuild(ledger, path, ACTOR)

    assert (0, 42) == await counted(ledger, run)


async def test_nothing_moves_while_a_ledger_is_not_trusted(ledger: Ledger, path: Path) -> None:
    """Neither calls nor their ends nor operators: what they did would be wiped. An end that waits is not lost."""
    run = await issue(ledger)
    held = await ledger.reserve(ask(run, 10))
    await audit(ledger, path)
    await ledger.ask_for_rebuild()
    for attempt in (
        lambda: ledger.reserve(ask(run, 1)),
        lambda: settle(ledger, held),
        ledger.sweep,
        lambda: issue(ledger),
        lambda: ledger.revoke(run.run_id, ACTOR),
        lambda: ledger.freeze("all", "", ACTOR),
        lambda: ledger.set_cap("vendor", "stripe", Caps(day=1), ACTOR),
    ):
        assert Code.LEDGER_UNTRUSTED == await refusal_of(attempt)
    assert [] == await call_rows(ledger)

    await rebuild(ledger, path, ACTOR)

    await settle(ledger, held)
    assert (0, 10) == await counted(ledger, run)


async def test_a_rebuild_that_died_is_done_anew(ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever step it died at: the ledger is not trusted until one came to its end."""
    run = await issue(ledger)
    await settle(ledger, await ledger.reserve(ask(run, 10)))
    await audit(ledger, path)
    for step in ("wipe", "begin_rebuild", "issue", "restore", "ready"):
        with monkeypatch.context() as patched:
            patched.setattr(Ledger, step, _dies)
            with pytest.raises(_Death):
                await rebuild(ledger, path, ACTOR)
        assert Code.LEDGER_UNTRUSTED == await denied_code(ledger, ask(run, 1)), step
        assert Standing.REBUILDING is await standing(ledger, path), step

    assert await make_current(ledger, path, embedded=True)
    assert (0, 10) == await counted(ledger, run)


async def test_a_part_that_fails_fails_the_whole(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is restored in many parts side by side, none is missed in silence, whichever it is."""
    monkeypatch.setattr(restoring, "_ITEMS_AT_ONCE", 2)
    await ledger.stop_for_rebuild()
    items: list[restoring.Item] = [["hash", f"obj:{number}", "", 2, "a", "b"] for number in range(20)]
    await ledger.restore(items)
    for broken in (0, 9, 19):
        with pytest.raises(Refused):
            await ledger.restore([*items[:broken], ["nonsense"], *items[broken:]])


async def test_only_a_whole_audit_is_believed(ledger: Ledger, path: Path) -> None:
    """A tampered one could give money back: nothing is rebuilt from it unless an operator insists."""
    run = await issue(ledger)
    await settle(ledger, await ledger.reserve(ask(run, 10)))
    await audit(ledger, path)
    tamper(path, "UPDATE calls SET settled_micros = 1")
    await lose_all(ledger)

    with pytest.raises(RuntimeError, match="is not whole"):
        await rebuild(ledger, path, ACTOR)
    assert Code.LEDGER_UNTRUSTED == await denied_code(ledger, ask(run, 1))

    await rebuild(ledger, path, ACTOR, unverified=True)
    assert (0, 1) == await counted(ledger, run)


async def test_an_audit_of_another_ledger_is_not_believed(ledger: Ledger, path: Path) -> None:
    """Nor is one that was cut: the ledger is not behind them, they are not its own."""
    await issue(ledger)
    await audit(ledger, path)
    store = Store(path.with_name("other.db"))
    store.open()
    store.append([call(number) for number in range(5)])
    store.close()
    before = await snapshot(ledger)

    for wrong in ("other.db", "missing.db"):
        assert Standing.FOREIGN is await standing(ledger, path.with_name(wrong))
        assert not await make_current(ledger, path.with_name(wrong), embedded=True)
    assert before == await snapshot(ledger)


async def test_rows_that_wait_in_the_stream_are_no_loss(ledger: Ledger, path: Path) -> None:
    """An auditor that died behind its commit leaves an anchor that is behind, and all that is missing in the stream."""
    run = await issue(ledger)
    await audit(ledger, path)
    await settle(ledger, await ledger.reserve(ask(run, 1)))
    store = Store(path)
    store.open()
    store.append(await ledger.read_audit("0", 100))
    store.close()
    await settle(ledger, await ledger.reserve(ask(run, 1)))
    assert Standing.CURRENT is await standing(ledger, path)

    await redis(ledger, "XTRIM", f"{ledger._client.prefix}audit", "MAXLEN", 1)
    assert Standing.LOST is await standing(ledger, path)


def _new(label: str) -> Run:
    return Run(secrets.token_hex(13).upper(), label, secrets.token_hex(32), Caps(), ("stripe",))


def _again(asked: Any) -> Any:
    return replace(asked, reservation_id=secrets.token_hex(16))
