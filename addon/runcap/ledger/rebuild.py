"""Makes a lost ledger whole again, from the audit.

The order is the safety of it: all calls and all ends of calls are stopped first; what the lost ledger's stream still
held is written to the audit; then the namespace is wiped and filled from a replay of the audit, and only then are
calls decided again. A rebuild that dies on the way leaves a ledger that is not trusted, and is done anew.

What comes back: runs by their keys' digests, revocations, caps, freezes, the counters of all windows that are open,
what was counted for objects, idempotency records that are still alive, and, of a ledger that was older but not empty,
the reservations whose end the audit does not know: they stay held, and end as any other.
"""

import asyncio
import logging
import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from runcap.audit.chain import EMPTY
from runcap.audit.reading import already_written, open_readonly
from runcap.audit.store import Store
from runcap.audit.verify import verify_all
from runcap.ledger.auditrows import rows_of_file, stream_order
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Caps, Level
from runcap.ledger.recount import ADJUSTED_TTL_MS, OBJECT_TTL_MS, Entries, Recount
from runcap.ledger.restoring import Item, OpenCall

logger = logging.getLogger(__name__)

_DRAINED_AT_ONCE = 1000
_SIDE_BY_SIDE = 32
_KNOWN_TTL_MS = 3_600_000
"""As in scripts/finish.lua: a proxy that did not hear that its end was counted tries again for less than that."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild has brought back."""

    rows: int
    """Of the audit, calls and acts of administration."""
    runs: int
    open_calls: int
    """Reservations that were open in the lost ledger and still are."""
    remarks: tuple[str, ...]
    """What could not be brought back as it was, one sentence each."""


async def rebuild(ledger: Ledger, path: Path, actor: str, *, unverified: bool = False) -> Rebuilt:
    """Rebuild a ledger from the audit. The caller holds the audit's lock (`runcap.audit.lock.exclusive`).

    Args:
        ledger: which.
        path: the audit.
        actor: who does it, for the audit.
        unverified: go on although the audit's chain is broken.

    Raises:
        RuntimeError: the audit is not whole (`AuditFileError` if it cannot be used at all), or somebody else writes
            to the ledger.
        Refused: ``ledger_unavailable``; the ledger is untrusted then.
        sqlite3.Error: the audit cannot be read or written now.
    """
    await ledger.stop_for_rebuild()
    await _drain(ledger, path)
    if not unverified:
        await asyncio.to_thread(_verify, path)
    left_open = await ledger.open_calls()
    counted, anchor = await asyncio.to_thread(_recount, path, frozenset(call.reservation_id for call in left_open))
    left_open = [call for call in left_open if call.reservation_id not in counted.ended]
    await ledger.wipe()
    await ledger.begin_rebuild(secrets.token_hex(16), actor, anchor)
    await _restore_policy(ledger, counted)
    now_ms = await ledger.clock_ms()
    await ledger.restore(_items(counted, now_ms, {call.day for call in left_open}))
    await ledger.restore(_open_items(left_open, now_ms))
    await ledger.ready(actor)
    rebuilt = Rebuilt(anchor[0], len(counted.runs), len(left_open), tuple(counted.unreadable))
    logger.warning(
        "the ledger was rebuilt from %d rows of the audit: %d runs, %d open calls",
        rebuilt.rows,
        rebuilt.runs,
        rebuilt.open_calls,
    )
    for remark in rebuilt.remarks:
        logger.warning("%s", remark)
    return rebuilt


async def _drain(ledger: Ledger, path: Path) -> None:
    """Write what the lost ledger's stream still holds: rows that are there already are skipped."""
    store, after = Store(path), "0-0"
    try:
        await asyncio.to_thread(store.open)
        while entries := await ledger.read_audit(after, _DRAINED_AT_ONCE):
            known = await asyncio.to_thread(_rows_already, path, [entry_id for entry_id, _ in entries])
            await asyncio.to_thread(store.append, [entry for entry in entries if entry[0] not in known])
            after = entries[-1][0]
    finally:
        await asyncio.to_thread(store.close)


def _rows_already(path: Path, stream_ids: list[str]) -> set[str]:
    """Those that are rows, also of a file that was closed since the ledger was as it is now."""
    with closing(open_readonly(path)) as db:
        return already_written(db, stream_ids)


def _verify(path: Path) -> None:
    report = verify_all(path)
    if not report.ok:
        raise RuntimeError(f"{path} is not whole, so nothing is rebuilt from it: {report.problems[0]}")
    if report.after != EMPTY:
        raise RuntimeError(
            f"{path} begins with row {report.after.seq + 1}: put the closed files that hold the rows before it beside "
            "it, then rebuild again."
        )


def _recount(path: Path, open_ids: frozenset[str]) -> tuple[Recount, tuple[int, str, str]]:
    """Replay the audit; returns its last row too: seq, hash and stream id."""
    db = open_readonly(path)
    try:
        db.execute("BEGIN")
        query = "SELECT seq, hash, stream_id FROM {}"
        last = db.execute(f"{query.format('calls')} UNION ALL {query.format('admin')} ORDER BY seq DESC LIMIT 1")
        anchor: tuple[int, str, str] = last.fetchone() or (EMPTY.seq, EMPTY.hash, "0-0")
        counted = Recount(wanted=open_ids, lately_from_ms=stream_order(anchor[2])[0] - _KNOWN_TTL_MS)
        counted.feed(rows_of_file(db))
    finally:
        db.close()
    return counted, anchor


async def _restore_policy(ledger: Ledger, counted: Recount) -> None:
    """Runs, caps and freezes, by the same scripts that an operator's commands run, without their audit rows."""
    slots = asyncio.Semaphore(_SIDE_BY_SIDE)

    async def bring_back(run_id: str) -> None:
        async with slots:
            await ledger.issue(counted.runs[run_id], "")

    await asyncio.gather(*map(bring_back, counted.runs))
    for selector, caps in counted.caps.items():
        level, _, name = selector.partition(":")
        await _restore_cap(ledger, level, name, caps)
    for what in sorted(counted.frozen):
        level, _, name = what.partition(":")
        if level != "run" or name in counted.runs:
            await ledger.freeze(level, name, "")


async def _restore_cap(ledger: Ledger, level: Level | str, name: str, caps: Caps) -> None:
    """Also one that was removed since: from its first cap on a fleet is counted for good."""
    if caps == Caps():
        await ledger.set_cap(level, name, Caps(total=0), "")  # type: ignore[arg-type]  # a level that the audit names
        await ledger.remove_cap(level, name, None, "")  # type: ignore[arg-type]
    else:
        await ledger.set_cap(level, name, caps, "")  # type: ignore[arg-type]


def _items(counted: Recount, now_ms: int, days: set[str]) -> Iterator[Item]:
    """Counters, objects and idempotency records as `restore` takes them; also counters of `days`, which are held in."""
    periods = open_periods(now_ms) | {f"day:{day}:spent" for day in days} | {f"month:{day[:7]}:spent" for day in days}
    for selector in counted.spent:
        values: list[str | int] = []
        for name, micros in counted.total(selector).items():
            if name in periods:
                values += [name.removesuffix("spent") + "held", 0, name, micros]
        yield ["hash", f"spend:{selector}", "", len(values), *values]
    for (vendor, object_id), known in counted.objects.items():
        ttl_ms = known.touched_ms + OBJECT_TTL_MS - now_ms
        if ttl_ms > 0:
            lines = [part for selector, entries in known.entries.items() for part in (selector, _lines(entries))]
            yield ["hash", f"obj:{vendor}:{object_id}", ttl_ms, len(lines), *lines]
    for (run_id, digest), record in counted.retried.items():
        if record.until_ms > now_ms:
            facts = ["fingerprint", record.fingerprint, "state", "done", "reservation", record.reservation]
            facts += ["loose", _lines(record.loose)] if record.loose else []
            yield ["hash", f"idem:{run_id}:{digest}", record.until_ms - now_ms, len(facts), *facts]

    for reservation_id in counted.lately:
        yield ["text", f"known:{reservation_id}", _KNOWN_TTL_MS, "1"]
    for (vendor, resource), (micros, at_ms) in counted.adjusted.items():
        if (ttl_ms := at_ms + ADJUSTED_TTL_MS - now_ms) > 0:
            yield ["text", f"adjusted:{vendor}:{resource}", ttl_ms, micros]


def _open_items(calls: list[OpenCall], now_ms: int) -> Iterator[Item]:
    for call in calls:
        ttl_ms = max(0, call.deadline_ms - now_ms) + _KNOWN_TTL_MS
        yield ["text", f"known:{call.reservation_id}", ttl_ms, "1"]
        yield ["open", call.reservation_id, call.deadline_ms, call.text]
        if call.idempotency_key and call.idempotency_ttl_ms:
            fields = call.idempotency_fields
            yield ["hash", call.idempotency_key, call.idempotency_ttl_ms, len(fields), *fields]


def open_periods(now_ms: int) -> frozenset[str]:
    """The counters that the ledger keeps: today and yesterday, this month and the last one, the total."""
    now = datetime.fromtimestamp(now_ms // 1000, UTC)
    days = (now - timedelta(days=1), now)
    months = (now.replace(day=1) - timedelta(days=1), now)
    return frozenset(
        [f"day:{day:%Y-%m-%d}:spent" for day in days] + [f"month:{month:%Y-%m}:spent" for month in months]
    ) | {"total:spent"}


def _lines(entries: Entries) -> str:
    return "".join(f"{day} {micros}\n" for day, micros in entries)
