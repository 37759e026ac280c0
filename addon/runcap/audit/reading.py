"""The audit's files, opened for reading: by whoever wants to know, while the auditor may be writing."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from runcap.audit.chain import COLUMNS, EMPTY, Anchor, Row
from runcap.audit.files import begins_after, closed_files
from runcap.audit.schema import AuditFileError

BUSY_TIMEOUT_MS = 2000
"""How long a write waits for another writer's lock before it fails, to be tried again later."""

_MOST_ATTACHED = 10
"""SQLite's own limit of files in one connection, beside the first."""


@dataclass(frozen=True, slots=True)
class FileEnd:
    """The end of an audit, as seen from one of its rows."""

    tail: Anchor
    """The last row."""
    hash_at: str | None
    """Hash of the row from which it is seen; None if there is no such row."""
    later_ids: tuple[str, ...]
    """Stream ids of the rows behind it, oldest first."""


def open_readonly(path: Path, *, alone: bool = False) -> sqlite3.Connection:
    """Open an audit for reading alone; rows come as tuples.

    Args:
        path: the current file.
        alone: only that one. Else `calls` and `admin` are all rows, those of the closed files beside it too.

    Raises:
        AuditFileError: there is none, or it cannot be read.
    """
    if not path.exists():
        raise AuditFileError(f"There is no audit at {path} yet: the first call, or the first key, makes it.")
    db: sqlite3.Connection | None = None
    try:
        uri = f"{path.resolve().as_uri()}?mode=ro"
        db = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None)
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not alone:
            _add_closed_files(db, path)
    except sqlite3.Error as error:
        if db is not None:
            db.close()
        raise AuditFileError(f"{path} cannot be read: {error}") from error
    return db


def _add_closed_files(db: sqlite3.Connection, path: Path) -> None:
    """Put views over all files in front of the tables of the current one."""
    closed = closed_files(path)[-_MOST_ATTACHED:]
    for number, each in enumerate(closed):
        db.execute(f"ATTACH ? AS closed{number}", (f"{each.resolve().as_uri()}?mode=ro",))
    for table in COLUMNS if closed else ():
        names = [*(f"closed{number}.{table}" for number in range(len(closed))), f"main.{table}"]
        selects = " UNION ALL ".join(f"SELECT * FROM {name}" for name in names)  # noqa: S608 (our own names)
        db.execute(f"CREATE TEMP VIEW {table} AS {selects}")


def file_end(db: sqlite3.Connection, seq: int, limit: int) -> FileEnd:
    """The audit's end as seen from the row `seq` (0: before the first); none of its later rows if more than `limit`."""
    db.execute("BEGIN")
    try:
        if db.execute("SELECT count(*) FROM sqlite_master WHERE name IN ('calls', 'admin')").fetchone() != (2,):
            return FileEnd(EMPTY, EMPTY.hash if seq == 0 else None, ())  # somebody is just making it
        last = last_row(db)
        query = " UNION ALL ".join(f"SELECT seq, hash, stream_id FROM {table} WHERE seq {{0}}" for table in COLUMNS)  # noqa: S608
        at = db.execute(query.format("= :seq"), {"seq": seq}).fetchone()
        if at is None and (start := begins_after(db)).seq == seq:
            at = (seq, start.hash, "")  # the last row of a file that is not here
        later: list[tuple[int, str, str]] = []
        if 0 < last.seq - seq <= limit:
            later = db.execute(query.format("> :seq") + " ORDER BY seq", {"seq": seq}).fetchall()
        return FileEnd(last, EMPTY.hash if seq == 0 else at and at[1], tuple(stream_id for _, _, stream_id in later))
    finally:
        db.execute("ROLLBACK")


def read_rows(db: sqlite3.Connection, after: int = 0) -> Iterator[Row]:
    """All rows of both tables in the order of seq, each with its table's name first.

    Args:
        db: of `open_readonly`; a snapshot, if it is in a transaction.
        after: only rows above this seq.
    """
    calls = db.execute(_select("calls"), (after,))
    admin = db.execute(_select("admin"), (after,))
    acts: Row | None = admin.fetchone()
    row: Row
    for row in calls:
        while acts is not None and acts[1] < row[1]:  # type: ignore[operator]  # seq is the primary key, an integer
            yield acts
            acts = admin.fetchone()
        yield row
    while acts is not None:
        yield acts
        acts = admin.fetchone()


def last_row(db: sqlite3.Connection) -> Anchor:
    """The last row of both tables."""
    query = "SELECT seq, hash FROM (SELECT seq, hash FROM {} ORDER BY seq DESC LIMIT 1)"
    row = db.execute(
        " UNION ALL ".join(query.format(table) for table in COLUMNS) + " ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    return EMPTY if row is None else Anchor(*row)


def already_written(db: sqlite3.Connection, stream_ids: list[str]) -> set[str]:
    """Those of the ids that are rows: a crash between commit and trim leaves them in the stream."""
    written: set[str] = set()
    for start in range(0, len(stream_ids), 500):  # SQLite's oldest limit of variables is 999
        some = stream_ids[start : start + 500]
        marks = ",".join("?" * len(some))
        for table in COLUMNS:
            found = db.execute(f"SELECT stream_id FROM {table} WHERE stream_id IN ({marks})", some)  # noqa: S608
            written.update(row[0] for row in found)
    return written


@cache
def _select(table: str) -> str:
    columns = ", ".join(COLUMNS[table])
    return f"SELECT '{table}', {columns} FROM {table} WHERE seq > ? ORDER BY seq"  # noqa: S608 (our own names)
