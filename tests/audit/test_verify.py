"""Whatever is done to the file by somebody who can write it is found."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from runcap.audit import stretch
from runcap.audit.chain import COLUMNS, GENESIS, Anchor, row_hash
from runcap.audit.reading import open_readonly, read_rows
from runcap.audit.schema import AuditFileError, parts
from runcap.audit.store import Store
from runcap.audit.verify import verify
from tests.audit.stream import admin, blocked, call


@pytest.fixture
def last(path: Path) -> Anchor:
    """An audit of six rows that nobody writes at the moment; its anchor."""
    store = Store(path)
    store.open()
    last = store.append([admin(1), call(2), blocked(3), call(4, label="bücher-ü"), admin(5), call(6)])
    store.close()
    return last


def _tamper(path: Path, *statements: str) -> None:
    """Change the file as an intruder would: without the triggers, which are put back afterwards."""
    db = sqlite3.connect(path, isolation_level=None)
    triggers = [part for part in parts() if part.kind == "trigger"]
    for trigger in triggers:
        db.execute(f"DROP TRIGGER {trigger.name}")
    for statement in statements:
        db.execute(statement)
    for trigger in triggers:
        db.execute(trigger.sql)
    db.close()


def _rewrite_from(path: Path, seq: int) -> None:
    """Make all hashes from a row on fit again."""
    db = open_readonly(path)
    rows, before, statements = list(read_rows(db)), GENESIS, []
    db.close()
    for row in rows:
        if isinstance(row[1], int) and row[1] >= seq:
            digest = row_hash((*row[:-2], before))
            change = f"SET prev_hash = '{before}', hash = '{digest}' WHERE seq = {row[1]}"
            statements.append(f"UPDATE {row[0]} {change}")
            before = digest
        else:
            before = str(row[-1])
    _tamper(path, *statements)


def test_a_whole_audit_is_fine(path: Path, last: Anchor) -> None:
    """Nothing to report, and the last row for an anchor."""
    report = verify(path, {"the ledger": last})

    assert () == report.problems
    assert report.ok
    assert last == report.last


def test_it_can_be_checked_without_runcap(path: Path, last: Anchor) -> None:
    """The documented rule, written down with the standard library alone, gives the same last hash."""
    db = sqlite3.connect(path)
    rows = [(t, *row) for t in ("calls", "admin") for row in db.execute(f"SELECT * FROM {t}")]  # noqa: S608
    db.close()
    before = "0" * 64
    for number, row in enumerate(sorted(rows, key=lambda row: row[1]), start=1):
        line = json.dumps(row[:-1], separators=(",", ":"), ensure_ascii=False)
        assert (number, before) == (row[1], row[-2])
        before = hashlib.sha256(line.encode()).hexdigest()
        assert before == row[-1]

    assert last == Anchor(len(rows), before)


def test_the_columns_are_the_tables() -> None:
    """What is hashed is every column of the table, in its order."""
    db = sqlite3.connect(":memory:")
    for part in parts():
        db.execute(part.sql)
    for table, columns in COLUMNS.items():
        assert list(columns) == [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    db.close()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("UPDATE calls SET settled_micros = 1 WHERE seq = 4", "Changed: row 4 of calls"),
        ("UPDATE calls SET code = '' WHERE seq = 2", "Changed: row 2 of calls"),
        ("UPDATE admin SET detail = NULL WHERE seq = 1", "Changed: row 1 of admin"),
        ("UPDATE calls SET prev_hash = hash WHERE seq = 4", "Changed: row 4 of calls"),
        ("UPDATE calls SET hash = prev_hash WHERE seq = 4", "Changed: row 4 of calls"),
        ("DELETE FROM calls WHERE seq = 3", "Deleted: row 3 missing before row 4"),
        ("DELETE FROM calls WHERE seq IN (2, 3)", "Deleted: rows 2 to 3 missing before row 4"),
        ("DELETE FROM admin WHERE seq = 1", "Deleted: row 1 missing"),
    ],
)
def test_an_edit_or_a_deletion_is_found(path: Path, last: Anchor, change: str, problem: str) -> None:
    """The report names the row."""
    _tamper(path, change)

    report = verify(path)

    assert 1 == len(report.problems)
    assert problem in report.problems[0]


def test_reordering_is_found(path: Path, last: Anchor) -> None:
    """Two rows that change places, hashes and all, do not fit."""
    _tamper(
        path,
        "UPDATE calls SET seq = 100 WHERE seq = 2",
        "UPDATE calls SET seq = 2 WHERE seq = 3",
        "UPDATE calls SET seq = 3 WHERE seq = 100",
    )

    assert ["Changed: row 2 of calls is not what its hash was made of."] == list(verify(path).problems)


def test_a_row_that_was_made_to_fit_is_found_by_the_next(path: Path, last: Anchor) -> None:
    """An edit with a new hash breaks the link of the row behind."""
    db = open_readonly(path)
    row = list(next(row for row in read_rows(db) if row[1] == 4))
    db.close()
    row[1 + COLUMNS["calls"].index("settled_micros")] = 1
    digest = row_hash(tuple(row[:-1]))
    _tamper(path, f"UPDATE calls SET settled_micros = 1, hash = '{digest}' WHERE seq = 4")  # noqa: S608 (a test's own)

    assert "Rewritten or reordered: row 5 of admin" in verify(path).problems[0]


def test_a_rewritten_chain_is_found_by_an_anchor(path: Path, last: Anchor) -> None:
    """Somebody who makes all hashes anew is betrayed by one that was kept elsewhere."""
    _tamper(path, "UPDATE calls SET settled_micros = 1 WHERE seq = 4")
    _rewrite_from(path, 4)

    assert verify(path).ok
    assert ("The audit was rewritten: row 6 is not the one that the ledger knows.",) == (
        verify(path, {"the ledger": last}).problems
    )


def test_a_cut_tail_is_found_by_an_anchor(path: Path, last: Anchor) -> None:
    """Rows that are missing at the end leave a chain that is whole, and too short."""
    _tamper(path, "DELETE FROM calls WHERE seq > 4", "DELETE FROM admin WHERE seq > 4")

    assert verify(path).ok
    assert ("The tail was cut off: the ledger knows of 6 rows, and the audit ends with row 4.",) == (
        verify(path, {"the ledger": last}).problems
    )


def test_an_older_anchor_stands(path: Path, last: Anchor) -> None:
    """Rows that came later do not disturb it; the hash of any row will do."""
    db = open_readonly(path)
    older = next(Anchor(3, str(row[-1])) for row in read_rows(db) if row[1] == 3)
    db.close()

    assert verify(path, {"me": older, "nobody": Anchor(0, GENESIS)}).ok
    assert not verify(path, {"me": Anchor(3, last.hash)}).ok


@pytest.mark.parametrize("trigger", [part.name for part in parts() if part.kind == "trigger"])
def test_a_dropped_trigger_is_found(path: Path, last: Anchor, trigger: str) -> None:
    """Each one is missed."""
    db = sqlite3.connect(path)
    db.execute(f"DROP TRIGGER {trigger}")
    db.close()

    assert (f"The trigger {trigger} is missing.",) == verify(path).problems


@pytest.mark.parametrize(
    ("statements", "problem"),
    [
        (
            [
                "DROP TRIGGER calls_no_delete",
                "CREATE TRIGGER calls_no_delete BEFORE DELETE ON calls BEGIN SELECT 1; END",
            ],
            "The trigger calls_no_delete was altered.",
        ),
        (
            ["CREATE TRIGGER quiet BEFORE INSERT ON calls BEGIN SELECT RAISE(IGNORE); END"],
            "The trigger quiet on calls is not one of ours.",
        ),
        (["DROP VIEW blocked", "CREATE VIEW blocked AS SELECT 1"], "The view blocked was altered."),
        (["DROP INDEX calls_at"], "The index calls_at is missing."),
        (["ALTER TABLE admin ADD COLUMN more TEXT"], "The table admin was altered."),
    ],
)
def test_other_changes_of_the_schema_are_found(path: Path, last: Anchor, statements: list[str], problem: str) -> None:
    """Altered triggers, views and tables, and triggers that do not belong."""
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.close()

    assert (problem,) == verify(path).problems


def _drop_table(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("DROP TABLE admin")
    db.close()


def _invalid_text(path: Path) -> None:
    _tamper(path, "UPDATE calls SET label = CAST(x'ff' AS TEXT) WHERE seq = 2")


def _overwrite(path: Path) -> None:
    db = sqlite3.connect(path)
    (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'calls'").fetchone()
    (size,) = db.execute("PRAGMA page_size").fetchone()
    db.close()
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : page * size] = b"\xff" * size
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_drop_table, _invalid_text, _overwrite])
def test_damage_is_reported_not_raised(path: Path, last: Anchor, damage: Callable[[Path], None]) -> None:
    """A file that cannot be read to its end is a finding."""
    damage(path)

    assert "cannot be read to its end" in verify(path).problems[-1]


def test_a_file_that_is_no_database_is_an_error(path: Path) -> None:
    """It cannot even be opened."""
    path.write_bytes(b"\xff" * 8192)

    with pytest.raises(AuditFileError, match="cannot be read"):
        verify(path)


def test_no_file_is_no_finding(path: Path) -> None:
    """There is nothing to verify, which is not the same as a whole audit."""
    with pytest.raises(AuditFileError, match="no audit"):
        verify(path)


def test_other_tables_beside_ours_do_not_matter(path: Path, last: Anchor) -> None:
    """People may keep notes of their own in the file."""
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE notes (text)")
    db.close()

    assert verify(path).ok


@pytest.mark.parametrize(
    "statement", [None, "UPDATE calls SET label = 'x' WHERE seq = 9", "DELETE FROM calls WHERE seq = 6"]
)
def test_several_processes_find_what_one_does(
    path: Path, statement: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long file is followed in stretches, whose ends have to meet."""
    store = Store(path)
    store.open()
    last = store.append([call(number, label='\u0000\u001f"\\/ü\u2028\U0001f600') for number in range(12)])
    store.close()
    if statement:
        _tamper(path, statement)
    alone = verify(path, {"the ledger": last})

    monkeypatch.setattr(stretch, "_ROWS_FOR_A_PROCESS", 4)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    together = verify(path, {"the ledger": last})

    assert alone == together
    assert (statement is None) == together.ok


def test_the_quick_way_agrees_on_odd_text(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite writes the canonical text as the chain has it, whatever the text: the slow way is not needed."""
    store = Store(path)
    store.open()
    text = "".join(map(chr, [*range(0x100), 0x2028, 0xFFFF, 0x1F600]))
    last = store.append([call(1, label=text), admin(2, detail=text), call(3, label="")])
    store.close()

    monkeypatch.setattr(stretch, "walk", lambda *_: pytest.fail("the slow way was taken"))
    report = verify(path, {"the ledger": last})

    assert ((), last) == (report.problems, report.last)
