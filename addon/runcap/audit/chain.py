r"""The hash chain over the audit's two tables: pure, and simple enough to be checked without runcap.

The rule. Both tables share one sequence: `seq` is 1, 2, 3, … with no gap, whichever table a row is in. A row's
`hash` is the SHA-256, in lower-case hex, of the UTF-8 bytes of one JSON array: the table's name, then every column
of the row in the table's own order (`CALL_COLUMNS`, `ADMIN_COLUMNS`) but `hash` itself; NULL is null, integers are
decimal. The JSON is compact: no blanks, non-ASCII characters as themselves, and of escapes only ``\"``, ``\\``,
``\b \f \n \r \t`` and ``\u00xx`` for the other control characters. `prev_hash` is the `hash` of the row before,
and 64 zeros in the first. In Python::

    line = json.dumps(["calls", *columns_without_hash], separators=(",", ":"), ensure_ascii=False)
    hashlib.sha256(line.encode()).hexdigest()

A file need not hold the whole chain: one that was begun when another was closed starts behind the other's last row,
whose `hash` is its first row's `prev_hash` (runcap.audit.files).

A chain shows any edit, deletion or reordering that did not rewrite all that follows. Against a whole rewrite, or a
tail that was cut off, only an anchor helps: seq and hash of a row, kept somewhere else (`Anchor`).
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

import msgspec

CALL_COLUMNS = (
    "seq", "at", "run_id", "label", "vendor", "method", "path", "operation", "decision", "code", "status", "outcome",
    "cost_micros", "settled_micros", "spent_micros", "cap_micros", "cap_level", "cap_selector", "cap_window",
    "amount_minor", "currency", "idempotency_digest", "vendor_request_id", "duration_ms", "overhead_us",
    "stream_id", "extra", "prev_hash", "hash",
)  # fmt: skip

ADMIN_COLUMNS = (
    "seq", "at", "action", "run_id", "label", "detail", "stream_id", "extra", "prev_hash", "hash",
)  # fmt: skip

COLUMNS: dict[str, tuple[str, ...]] = {"calls": CALL_COLUMNS, "admin": ADMIN_COLUMNS}

GENESIS = "0" * 64
"""`prev_hash` of the first row."""

type Value = str | int | None
type Row = tuple[Value, ...]
"""The table's name, then the values of all its columns."""

_ANCHOR = re.compile(r"(0|[1-9][0-9]{0,18}):([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A row by number and hash: whoever keeps one can tell whether the audit up to it is still the same."""

    seq: int
    """0, with `GENESIS`, for an audit without rows."""
    hash: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``SEQ:HASH``, as `runcap audit verify --anchor` prints it.

        Raises:
            ValueError: it is anything else.
        """
        match = _ANCHOR.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not an anchor: it is written SEQ:HASH, the hash being 64 hex digits")
        return cls(int(match[1]), match[2])

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


EMPTY = Anchor(0, GENESIS)


@dataclass(frozen=True, slots=True)
class Walk:
    """What following the chain from its start has found."""

    last: Anchor
    """The last row that is in order."""
    problem: str | None
    """The first thing that is wrong, in one sentence."""
    hashes: Mapping[int, str]
    """Of the rows that were asked for by seq, as far as the chain got."""


def link(table: str, values: Iterable[Value], after: Anchor) -> tuple[Row, Anchor]:
    """Make the next row of the chain.

    Args:
        table: ``calls`` or ``admin``.
        values: the columns between `seq` and `prev_hash`, in the table's order.
        after: the row before.

    Returns:
        The row with all its columns, and the anchor that it is.
    """
    seq = after.seq + 1
    unhashed: Row = (table, seq, *values, after.hash)
    digest = row_hash(unhashed)
    return (*unhashed, digest), Anchor(seq, digest)


def row_hash(unhashed: Row) -> str:
    """The hash of a row: table name and all columns but `hash`."""
    return sha256(_encode(unhashed)).hexdigest()


def walk(rows: Iterable[Row], wanted: Collection[int] = (), after: Anchor = EMPTY) -> Walk:
    """Follow the chain to its last row, or to the first thing that is wrong.

    Args:
        rows: whole rows of both tables in the order of seq.
        wanted: rows whose hashes are to be kept, by seq, to `compare` them with anchors.
        after: the row that the first one has to follow.
    """
    seq, before = after.seq, after.hash
    hashes = {seq: before}
    encode = _encode
    for row in rows:
        seq += 1
        digest = row[-1]
        # One expression, for speed: an audit has millions of rows. What exactly is wrong is found out below.
        if row[1] != seq or row[-2] != before or sha256(encode(row[:-1])).hexdigest() != digest:
            return Walk(Anchor(seq - 1, before), _explain(row, seq, before), hashes)
        before = str(digest)
        if seq in wanted:
            hashes[seq] = before
    return Walk(Anchor(seq, before), None, hashes)


def compare(found: Walk, anchor: Anchor, keeper: str) -> str | None:
    """Say what an anchor shows against the chain that was found, or None if it stands.

    Args:
        found: of `walk`, which was asked for `anchor.seq` and found no problem.
        anchor: what was kept elsewhere.
        keeper: who kept it, for the sentence: ``the ledger``.
    """
    if anchor.seq > found.last.seq:
        return (
            f"The tail was cut off: {keeper} knows of {anchor.seq} rows, and the audit ends with row {found.last.seq}."
        )
    if anchor.seq not in found.hashes:
        return f"Row {anchor.seq}, which {keeper} knows, is not in this file: it is in one that was closed before."
    if found.hashes[anchor.seq] != anchor.hash:
        return f"The audit was rewritten: row {anchor.seq} is not the one that {keeper} knows."
    return None


_encode = msgspec.json.Encoder().encode
"""Writes just what `json.dumps(…, separators=(",", ":"), ensure_ascii=False)` writes for text, integers and null
(a test compares them), an order of magnitude faster."""


def _explain(row: Row, seq: int, before: str) -> str:
    """Which of the three checks a row fails."""
    table, found = row[0], row[1]
    if isinstance(found, int) and found > seq:
        gone = f"row {seq}" if found == seq + 1 else f"rows {seq} to {found - 1}"
        return f"Deleted: {gone} missing before row {found} of {table}."
    if found != seq:
        return f"Row {found!r} of {table} stands twice, or where row {seq} should be."
    if row_hash(row[:-1]) != row[-1]:
        return f"Changed: row {seq} of {table} is not what its hash was made of."
    return f"Rewritten or reordered: row {seq} of {table} does not follow the row before it ({before[:12]}…)."
