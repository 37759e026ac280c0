"""The audit's SQLite file: made, and appended to in group commits. Nothing else writes it.

WAL, so that readers never wait; `synchronous=FULL`, so that a committed row survives a power cut; a bounded wait for
a lock that somebody else holds. The stream's own id is the memory of what has been written (`stream_id` is unique),
so no crash can lose a row or write one twice, and no counter stands beside the rows that could disagree with them.
"""

import logging
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from functools import cache
from pathlib import Path

from runcap.audit import rotation
from runcap.audit.chain import COLUMNS, EMPTY, Anchor, link
from runcap.audit.entries import read_entry
from runcap.audit.files import ROTATION
from runcap.audit.reading import BUSY_TIMEOUT_MS, already_written, last_row
from runcap.audit.schema import AuditFileError, prepare
from runcap.failpoints import failpoint

logger = logging.getLogger(__name__)


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


def _ends_with_rotation(db: sqlite3.Connection) -> bool:
    row = db.execute("SELECT seq, action FROM admin ORDER BY seq DESC LIMIT 1").fetchone()
    return row is not None and row[1] == ROTATION and row[0] == last_row(db).seq


@cache
def _insert(table: str) -> str:
    return f"INSERT INTO {table} VALUES ({','.join('?' * len(COLUMNS[table]))})"  # noqa: S608 (our own names)
