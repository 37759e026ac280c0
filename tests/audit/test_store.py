"""The audit file: only ever appended to, each entry once, all of a batch or nothing."""

import sqlite3
import stat
import subprocess
from pathlib import Path

import pytest

from runcap.audit.chain import EMPTY
from runcap.audit.reading import open_readonly, read_rows
from runcap.audit.schema import AuditFileError
from runcap.audit.store import Store
from tests.audit.stream import admin, blocked, call


def _other_program(path: Path) -> sqlite3.Connection:
    """A connection as any other program would make it, without our pragmas."""
    return sqlite3.connect(path, isolation_level=None, timeout=0)


def _seqs(path: Path) -> list[tuple[object, object]]:
    db = open_readonly(path)
    try:
        return [(row[0], row[1]) for row in read_rows(db)]
    finally:
        db.close()


def test_both_tables_share_one_sequence(store: Store) -> None:
    """Calls and acts of administration are numbered in the stream's order."""
    last = store.append([admin(1), call(2), call(3), admin(4), blocked(5)])

    assert [("admin", 1), ("calls", 2), ("calls", 3), ("admin", 4), ("calls", 5)] == _seqs(store.path)
    assert (5, last.hash) == (last.seq, store.hash_at(5))
    assert last == store.tail()


def test_an_empty_file_ends_at_the_genesis(store: Store) -> None:
    """A new audit has no row to follow."""
    assert EMPTY == store.tail()
    assert store.hash_at(1) is None


def test_only_the_owner_can_read(store: Store, path: Path) -> None:
    """The file and what SQLite puts beside it have mode 0600."""
    store.append([call(1)])

    modes = {found.name: stat.S_IMODE(found.stat().st_mode) for found in path.parent.iterdir()}
    assert {"audit.db": 0o600, "audit.db-wal": 0o600, "audit.db-shm": 0o600} == modes


def test_entries_that_are_rows_are_skipped(store: Store) -> None:
    """A batch that comes again, with something new, adds only what is new."""
    store.append([call(1), admin(2)])

    assert 3 == store.append([call(1), admin(2), call(3)]).seq
    assert 3 == len(_seqs(store.path))


def test_it_goes_on_where_it_ended(path: Path) -> None:
    """A file that is opened again is continued."""
    for number in (1, 2):
        store = Store(path)
        store.open()
        assert number == store.append([call(number)]).seq
        store.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE calls SET settled_micros = 0",
        "UPDATE admin SET detail = ''",
        "UPDATE calls SET seq = 9 WHERE seq = 1",
        "DELETE FROM calls",
        "DELETE FROM admin WHERE seq = 2",
        "INSERT OR REPLACE INTO calls SELECT * FROM calls WHERE seq = 1",
        "REPLACE INTO admin SELECT * FROM admin",
        "INSERT OR REPLACE INTO admin SELECT 3, at, action, '', '', detail, stream_id, extra, hash, hash FROM admin",
        "INSERT OR IGNORE INTO admin SELECT * FROM admin",
        "INSERT INTO calls SELECT * FROM calls WHERE true ON CONFLICT (seq) DO UPDATE SET label = 'x'",
        "INSERT INTO admin SELECT 4, at, action, run_id, label, detail, 'new', extra, hash, hash FROM admin",
        "INSERT INTO admin SELECT NULL, at, action, run_id, label, detail, 'new', extra, hash, hash FROM admin",
        "INSERT INTO admin SELECT -1, at, action, run_id, label, detail, 'new', extra, hash, hash FROM admin",
    ],
)
@pytest.mark.parametrize("recursive_triggers", ["OFF", "ON"])
def test_rows_stay_as_they_are(store: Store, path: Path, statement: str, recursive_triggers: str) -> None:
    """UPDATE, DELETE, REPLACE, upserts and gaps are refused on every connection, ours or not."""
    store.append([call(1), admin(2)])
    before = path.read_bytes(), _seqs(path)
    db = _other_program(path)
    db.execute(f"PRAGMA recursive_triggers={recursive_triggers}")

    with pytest.raises(sqlite3.IntegrityError, match="the audit is append-only"):
        db.execute(statement)

    db.close()
    assert before == (path.read_bytes(), _seqs(path))


def test_a_full_disk_takes_nothing_and_recovers(store: Store) -> None:
    """A batch that does not fit is not written at all; when there is room, it is, and once."""
    assert store._db is not None
    store.append([call(0)])
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count={pages + 2}")  # SQLite fails just as it does on a full disk
    batch = [call(number) for number in range(1, 200)]

    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.append(batch)
    assert 1 == store.tail().seq

    store._db.execute("PRAGMA max_page_count=1000000")
    assert 200 == store.append(batch).seq


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """The same on a file system without room."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(small)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a small file system needs root")
    try:
        store = Store(small / "audit.db")
        store.open()
        batch = [call(number) for number in range(2000)]
        with pytest.raises(sqlite3.OperationalError, match=r"full|I/O"):
            store.append(batch)
        assert EMPTY == store.tail()
        subprocess.run(["mount", "-o", "remount,size=20m", str(small)], check=True)
        assert 2000 == store.append(batch).seq
        store.close()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_lock_is_waited_for_no_longer_than_bounded(store: Store, path: Path) -> None:
    """Another writer makes an append fail, not hang; afterwards it works."""
    assert store._db is not None
    assert 2000 == store._db.execute("PRAGMA busy_timeout").fetchone()[0]
    store._db.execute("PRAGMA busy_timeout=50")
    other = _other_program(path)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(sqlite3.OperationalError, match="locked"):
        store.append([call(1)])

    other.execute("ROLLBACK")
    other.close()
    assert 1 == store.append([call(1)]).seq


def test_commits_are_safe_against_a_power_cut(store: Store) -> None:
    """WAL with synchronous=FULL."""
    assert store._db is not None
    assert ("wal", 2) == tuple(
        store._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
    )


def test_a_file_that_is_no_audit_is_left_alone(path: Path) -> None:
    """Somebody's own database, or a text, is not turned into an audit."""
    db = _other_program(path)
    db.execute("CREATE TABLE mine (x)")
    db.close()
    with pytest.raises(AuditFileError, match="is not an audit"):
        Store(path).open()

    path.write_text("dear diary, " * 100)
    with pytest.raises(AuditFileError, match="no SQLite file"):
        Store(path).open()


def test_a_file_that_was_replaced_is_not_written(store: Store, path: Path) -> None:
    """Rows that nobody could find again are not counted as written."""
    store.append([call(1)])
    path.rename(path.with_name("moved.db"))

    with pytest.raises(AuditFileError, match="removed"):
        store.append([call(2)])
    path.touch()
    with pytest.raises(AuditFileError, match="replaced"):
        store.append([call(2)])


def test_views_are_put_right_and_triggers_are_not(path: Path) -> None:
    """Opening renews the views; a trigger that was dropped stays missing, as evidence."""
    store = Store(path)
    store.open()
    store.close()
    db = _other_program(path)
    db.execute("DROP VIEW run_spend")
    db.execute("DROP VIEW blocked")
    db.execute("CREATE VIEW blocked AS SELECT 1 AS lie")
    db.execute("DROP TRIGGER calls_no_update")

    store.open()

    names = {row[0] for row in db.execute("SELECT name FROM sqlite_master")}
    assert "run_spend" in names
    assert "calls_no_update" not in names
    assert [] == db.execute("SELECT seq FROM blocked").fetchall()
    db.close()
    store.close()


def test_a_reader_needs_a_file(path: Path) -> None:
    """Reading never makes one."""
    with pytest.raises(AuditFileError, match="no audit"):
        open_readonly(path)
    assert not path.exists()


def test_a_reader_cannot_write(store: Store, path: Path) -> None:
    """It is opened for reading alone."""
    db = open_readonly(path)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        db.execute("CREATE TABLE x (y)")
    db.close()
