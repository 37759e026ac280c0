"""From an entry of the ledger's stream to a row of the audit. Pure, and total: every entry becomes a row.

An entry's flat fields come from the ledger's scripts, its `row` and `end` are JSON from the proxy. What cannot be
read becomes an `admin` row with the action `unreadable_entry` that holds the raw fields: an entry must neither stop
the auditor nor be lost.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from runcap.audit.chain import ADMIN_COLUMNS, CALL_COLUMNS, Value
from runcap.decision import STATUS

UNREADABLE = "unreadable_entry"

_INTEGERS = frozenset({
    "status", "cost_micros", "settled_micros", "spent_micros", "cap_micros", "amount_minor", "duration_ms",
    "overhead_us",
})  # fmt: skip
_ALLOWED_WORDS = {
    "decision": ("allowed", "blocked", "refused"),
    "outcome": (None, "settled", "released", "unknown"),
}
_ENVELOPE = frozenset({"kind", "at_ms", "row", "end"})
_OF_THE_STORE = frozenset({"seq", "at", "stream_id", "extra", "prev_hash", "hash"})
"""Columns that no entry can name: what comes under these names is kept in `extra`."""

_CALL_TEXTS = tuple(name for name in CALL_COLUMNS if name not in _OF_THE_STORE | _INTEGERS)
_ADMIN_TEXTS = tuple(name for name in ADMIN_COLUMNS if name not in _OF_THE_STORE)
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,18})", re.ASCII)
_STREAM_MS = re.compile(r"([0-9]{1,18})-[0-9]{1,20}", re.ASCII)
_MILLISECONDS = re.compile(r"[0-9]{1,18}", re.ASCII)
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder(order="sorted").encode
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_entry(stream_id: str, fields: Mapping[str, str]) -> tuple[str, tuple[Value, ...]]:
    """Turn one entry into a table's name and its columns between `seq` and `prev_hash`."""
    try:
        match fields.get("kind"):
            case "call":
                return "calls", _call(stream_id, fields)
            case "admin":
                return "admin", _admin(stream_id, fields)
            case other:
                raise ValueError(f"no kind of entry: {other!r}")  # noqa: TRY301 (becomes a row like the others)
    except Exception as error:  # noqa: BLE001 (whatever is wrong with one entry, the next must be written)
        return "admin", _unreadable(stream_id, fields, error)


def _call(stream_id: str, fields: Mapping[str, str]) -> tuple[Value, ...]:
    named = _object(fields.get("row", ""))
    named.update(_object(fields.get("end", "")))
    # The ledger's own word wins, but an empty field of it says nothing: an allowed call that then failed upstream
    # has its code in `end`.
    for name, text in fields.items():
        if text and name not in _ENVELOPE:
            named[name] = text
    # What the ledger's script denies never comes back to the proxy's part of the row; its code tells the status.
    if "status" not in named and (status := STATUS.get(named.get("code"))) is not None:  # type: ignore[arg-type]
        named["status"] = status
    known = _texts(named, _CALL_TEXTS) | _integers(named)
    for name, words in _ALLOWED_WORDS.items():
        if known.get(name) not in words:
            raise ValueError(f"{name} cannot be {known.get(name)!r}")
    known["at"], known["stream_id"], known["extra"] = _instant(fields["at_ms"]), _text(stream_id), _extra(named)
    get = known.get
    return tuple([get(name) for name in CALL_COLUMNS[1:-2]])


def _admin(stream_id: str, fields: Mapping[str, str]) -> tuple[Value, ...]:
    named: dict[str, Any] = {name: text for name, text in fields.items() if name not in _ENVELOPE and text != ""}
    known = _texts(named, _ADMIN_TEXTS)
    known |= {"at": _instant(fields["at_ms"]), "stream_id": _text(stream_id), "extra": _extra(named)}
    if not known.get("action"):
        raise ValueError("no action")
    return tuple(known.get(name) for name in ADMIN_COLUMNS[1:-2])


def _unreadable(stream_id: str, fields: Mapping[str, str], error: Exception) -> tuple[Value, ...]:
    match = _STREAM_MS.fullmatch(stream_id)
    try:
        at = _instant(match[1]) if match else _instant("0")
    except (ValueError, OverflowError):
        at = _instant("0")
    # Escaped to ASCII, so that text which is not even Unicode can be kept.
    detail = json.dumps({"error": f"{type(error).__name__}: {error}", "fields": dict(fields)}, default=repr)
    known: dict[str, Value] = {"at": at, "action": UNREADABLE, "detail": detail, "stream_id": stream_id}
    return tuple(known.get(name) for name in ADMIN_COLUMNS[1:-2])


def _texts(named: dict[str, Any], columns: tuple[str, ...]) -> dict[str, Value]:
    """Take what belongs into columns of text out of `named`."""
    known: dict[str, Value] = {}
    take = named.pop
    for name in columns:
        value = take(name, None)
        if value is not None:
            known[name] = value if type(value) is str and value.isascii() else _text(value)
    return known


def _integers(named: dict[str, Any]) -> dict[str, Value]:
    """Take what belongs into a call's columns of integers out of `named`."""
    known: dict[str, Value] = {}
    take = named.pop
    for name in _INTEGERS:
        value = take(name, None)
        if value is not None:
            known[name] = _integer(name, value)
    return known


def _object(text: str) -> dict[str, Any]:
    """A JSON object; what msgspec does not take (a lone surrogate, say) the standard library may."""
    if not text:
        return {}
    try:
        decoded = _decode(text)
    except msgspec.DecodeError:
        decoded = json.loads(text)
    if not isinstance(decoded, dict):
        raise TypeError("row and end are JSON objects")
    return decoded


def _integer(name: str, value: Any) -> int:
    if type(value) is str and _DECIMAL.fullmatch(value):
        value = int(value)
    if type(value) is not int or not -(2**63) <= value < 2**63:  # bool is an int, and 1.0 equals one
        raise ValueError(f"{name} is no integer that a column holds: {value!r}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text expected: {value!r}")
    value.encode()  # a lone surrogate, which JSON can carry and SQLite cannot
    return value


def _extra(named: Mapping[str, Any]) -> str | None:
    if not named:
        return None
    try:
        return _encode(named).decode()
    except UnicodeEncodeError:  # a lone surrogate
        return json.dumps(dict(sorted(named.items())), separators=(",", ":"))


def _instant(at_ms: str) -> str:
    """Milliseconds since 1970 as ISO 8601 in UTC."""
    if _MILLISECONDS.fullmatch(at_ms) is None:
        raise ValueError(f"no time in milliseconds: {at_ms!r}")
    seconds, ms = divmod(int(at_ms), 1000)
    return f"{_to_the_second(seconds)}.{ms:03d}Z"


@lru_cache(maxsize=64)
def _to_the_second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat(timespec="seconds").removesuffix("+00:00")
