"""The audit's rows, from its file and from the ledger's stream, as what a replay needs of them."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from runcap.audit.chain import ADMIN_COLUMNS, CALL_COLUMNS
from runcap.audit.entries import UNREADABLE, read_entry
from runcap.ledger.recount import AdminRow, CallRow

_CALL_FACTS = ("run_id", "vendor", "at", "outcome", "settled_micros", "stream_id", "extra")
_ADMIN_FACTS = ("action", "run_id", "at", "detail", "stream_id")
_CALLS = f"""
    SELECT seq, {", ".join(_CALL_FACTS)} FROM calls
    WHERE decision = 'allowed' AND outcome IS NOT NULL ORDER BY seq
"""  # noqa: S608 (our own names)
_ADMIN = f"SELECT seq, {', '.join(_ADMIN_FACTS)} FROM admin ORDER BY seq"  # noqa: S608
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def rows_of_file(db: sqlite3.Connection, through_id: str | None = None) -> Iterator[CallRow | AdminRow]:
    """All rows that count, in the order of seq.

    Args:
        db: of `runcap.audit.reading.open_readonly`, in a transaction if somebody may be writing.
        through_id: only rows of entries up to this stream id.
    """
    last = None if through_id is None else stream_order(through_id)
    admin = ((row[0], row[-1], _admin_row(row[1:])) for row in db.execute(_ADMIN))
    acts = next(admin, None)
    for row in db.execute(_CALLS):
        while acts is not None and acts[0] < row[0]:
            if last is None or stream_order(acts[1]) <= last:
                yield from acts[2]
            acts = next(admin, None)
        if last is None or stream_order(row[6]) <= last:
            yield _call_row(row[1:])
    while acts is not None:
        if last is None or stream_order(acts[1]) <= last:
            yield from acts[2]
        acts = next(admin, None)


def rows_of_stream(entries: Iterable[tuple[str, Mapping[str, str]]]) -> Iterator[CallRow | AdminRow]:
    """The same of entries that are not in the file yet."""
    for stream_id, fields in entries:
        table, values = read_entry(stream_id, fields)
        if table == "admin":
            named = dict(zip(ADMIN_COLUMNS[1:], values, strict=False))
            yield from _admin_row([named[name] for name in _ADMIN_FACTS])
        else:
            named = dict(zip(CALL_COLUMNS[1:], values, strict=False))
            if named["decision"] == "allowed" and named["outcome"] is not None:
                yield _call_row([named[name] for name in _CALL_FACTS])


def stream_order(stream_id: str) -> tuple[int, int]:
    """A stream id as what it is ordered by."""
    ms, _, sequence = stream_id.partition("-")
    return int(ms), int(sequence or 0)


def _call_row(row: Sequence[Any]) -> CallRow:
    run_id, vendor, at, outcome, settled, stream_id, extra = row
    facts = _decode(extra) if extra is not None else {}
    return CallRow(run_id or "", vendor or "", at[:10], outcome, settled or 0, int(stream_id.partition("-")[0]), facts)


def _admin_row(row: Sequence[Any]) -> tuple[CallRow | AdminRow, ...]:
    action, run_id, at, detail, stream_id = row
    decoded = _decode(detail) if detail is not None and detail.startswith("{") else {}
    if action == UNREADABLE:
        return _amount_in(decoded, stream_id)
    return (AdminRow(action, run_id or "", _ms(at), decoded),)


def _amount_in(detail: dict[str, Any], stream_id: str) -> tuple[CallRow, ...]:
    """An entry that could not be read as a row still says what it counted: that is never free."""
    fields = detail.get("fields", {})
    if fields.get("kind") != "call" or not str(fields.get("settled_micros", "")).isdigit():
        return ()
    at_ms = fields["at_ms"] if str(fields.get("at_ms", "")).isdigit() else stream_id.partition("-")[0]
    day = (_EPOCH + timedelta(milliseconds=int(at_ms))).strftime("%Y-%m-%d")
    try:
        vendor = str(_decode(fields.get("row", "")).get("vendor", ""))
    except msgspec.DecodeError:
        vendor = ""
    known = {name: fields[name] for name in ("reservation",) if isinstance(fields.get(name), str)}
    amount, ended_ms = int(fields["settled_micros"]), int(stream_id.partition("-")[0])
    return (CallRow(str(fields.get("run_id", "")), vendor, day, "unknown", amount, ended_ms, known),)


def _ms(at: str) -> int:
    """Milliseconds since 1970 of ISO 8601 in UTC with ``Z``."""
    return (datetime.fromisoformat(at) - _EPOCH) // timedelta(milliseconds=1)
