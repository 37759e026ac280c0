"""The audit's SQLite file: made, appended to in group commits, opened for reading. Nothing else writes it.

WAL, so that readers never wait; `synchronous=FULL`, so that a committed row survives a power cut; a bounded wait for
a lock that somebody else holds. The stream's own id is the memory of what has been written (`stream_id` is unique),
so no crash can lose a row or write one twice, and no counter stands beside the rows that could disagree with them.
"""

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from runcap.audit import rotation
from runcap.audit.chain import COLUMNS, EMPTY, Anchor, Row, link
from runcap.audit.entries import read_entry
from runcap.audit.files import ROTATION, begins_after, closed_files
from runcap.audit.schema import AuditFileError, prepare
from runcap.failpoints import failpoint

logger = logging.getLogger(__name__)

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


class LeaseLost(OSError):
    """Somebody else may be writing the audit by now; nothing was written."""


class Store:
    """The one writer. Its methods block: the auditor calls them in a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.next_after: Anchor | None = None
        """Set: the next rows go into a new file, which begins behind this row; the current one is closed."""
        self.may_commit: Callable[[], bool] = lambda: True
        """Asked right before a commit; if it says no, nothing is written."""
        self._db: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None

    def open(self) -> None:
        """Open the file, made anew with mode 0600 if it is missing. An open one is opened again.

        Raises:
            AuditFileError: there is a file, and it is no audit.
            sqlite3.Error: it cannot be read or written now; worth another try.
            OSError: the same.
        """
        self.close()
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        rotation.finish(self.path)
        self._db = _connect(self.path)
        found = self.path.stat()
        self._inode = (found.st_dev, found.st_ino)
        self.next_after = last_row(self._db) if _ends_with_rotation(self._db) else None

    def close(self) -> None:
        """Close the file; it can be opened again."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def tail(self) -> Anchor:
        """The last row."""
        return last_row(self._open_db())

    def hash_at(self, seq: int) -> str | None:
        """The hash of a row; None if there is no such row."""
        for table in COLUMNS:
            row = self._open_db().execute(f"SELECT hash FROM {table} WHERE seq = ?", (seq,)).fetchone()  # noqa: S608
            if row is not None:
                return str(row[0])
        return None

    def append(self, entries: Sequence[tuple[str, Mapping[str, str]]]) -> Anchor:
        """Write the entries that are not rows yet, in one transaction, and return the last row.

        Args:
            entries: of the ledger's stream, in its order: id and fields.

        Raises:
            sqlite3.Error: nothing of it was written (the disk is full, another writer has the lock).
            AuditFileError: the file was moved or replaced while it was open.
        """
        db = self._open_db()
        self._check_place()
        last, start = last_row(db), self.next_after
        # Entries that are rows of the old file already must not become rows of the next.
        if start is not None and last != EMPTY and not already_written(db, [stream_id for stream_id, _ in entries]):
            begun = self._append_to_next(entries, start, last)
            if begun is not None:
                return begun
            if start != last:
                raise sqlite3.OperationalError(f"{self.path} cannot be closed: somebody else has it open")
            logger.error("%s stays the current file: somebody else has it open, so it cannot be closed", self.path)
            db = self._open_db()
        tail = self._write(db, entries, start or EMPTY)
        self.next_after = tail if _ends_with_rotation(db) else None
        return tail

    def _append_to_next(
        self, entries: Sequence[tuple[str, Mapping[str, str]]], start: Anchor, last: Anchor
    ) -> Anchor | None:
        """Close the file and begin the next one with these entries; None if the file cannot be closed now."""

        def write_next(path: Path) -> Anchor:
            with closing(_connect(path)) as db:
                return self._write(db, entries, start)

        try:
            return rotation.close_and_begin(self.path, self._open_db(), last, write_next)
        finally:
            self.open()

    def _write(self, db: sqlite3.Connection, entries: Sequence[tuple[str, Mapping[str, str]]], start: Anchor) -> Anchor:
        """Write those that are not rows yet in one transaction; in an empty file behind `start`."""
        db.execute("BEGIN IMMEDIATE")
        try:
            last = last_row(db)
            last = start if last == EMPTY else last
            written = already_written(db, [stream_id for stream_id, _ in entries])
            for stream_id, fields in entries:
                if stream_id in written:
                    continue
                table, values = read_entry(stream_id, fields)
                row, last = link(table, values, last)
                db.execute(_insert(table), row[1:])
            failpoint("audit_before_commit")
            if not self.may_commit():
                raise LeaseLost("the lease ran out before the rows were written")  # noqa: TRY301 (rolled back like others)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return last

    def _open_db(self) -> sqlite3.Connection:
        if self._db is None:
            raise AuditFileError(f"{self.path} is not open")
        return self._db

    def _check_place(self) -> None:
        """What is written to a file that nobody can find any more would be lost."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self._complete_moved_file()
            raise AuditFileError(f"{self.path} was removed while the auditor wrote it") from None
        if (found.st_dev, found.st_ino) != self._inode:
            self._complete_moved_file()
            raise AuditFileError(f"{self.path} was replaced by another file while the auditor wrote it")

    def _complete_moved_file(self) -> None:
        """Bring what was committed from the log beside `path` into the file itself, wherever that is now.

        SQLite does not do so for a file that has been moved, and whoever opens another one in its place throws the log
        away or takes it for its own.
        """
        with suppress(sqlite3.Error):
            self._open_db().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _connect(path: Path) -> sqlite3.Connection:
    # SQLite gives -wal and -shm the mode of the file itself.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA recursive_triggers=ON")
        prepare(db, path)
    except sqlite3.DatabaseError as error:
        db.close()
        if type(error) is sqlite3.DatabaseError:  # not one of its subclasses: damaged, or no database at all
            raise AuditFileError(f"{path} is damaged, or no SQLite file: {error}") from error
        raise
    except BaseException:
        db.close()
        raise
    return db


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
        at = db.execute(query.format("= ?1"), (seq,)).fetchone()
        if at is None and (start := begins_after(db)).seq == seq:
            at = (seq, start.hash, "")  # the last row of a file that is not here
        later: list[tuple[int, str, str]] = []
        if 0 < last.seq - seq <= limit:
            later = db.execute(query.format("> ?1") + " ORDER BY seq", (seq,)).fetchall()
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


def _ends_with_rotation(db: sqlite3.Connection) -> bool:
    row = db.execute("SELECT seq, action FROM admin ORDER BY seq DESC LIMIT 1").fetchone()
    return row is not None and row[1] == ROTATION and row[0] == last_row(db).seq


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
def _insert(table: str) -> str:
    return f"INSERT INTO {table} VALUES ({','.join('?' * len(COLUMNS[table]))})"  # noqa: S608 (our own names)


@cache
def _select(table: str) -> str:
    columns = ", ".join(COLUMNS[table])
    return f"SELECT '{table}', {columns} FROM {table} WHERE seq > ? ORDER BY seq"  # noqa: S608 (our own names)
