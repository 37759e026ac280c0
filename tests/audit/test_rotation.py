"""One file is closed and the next begins: one chain through both, whatever dies meanwhile."""

import asyncio
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from runcap.audit import rotation
from runcap.audit.auditor import Auditor
from runcap.audit.chain import Anchor
from runcap.audit.files import BEGUN, ROTATION, closed_files
from runcap.audit.reading import open_readonly
from runcap.audit.reports import Reader
from runcap.audit.store import Store
from runcap.audit.verify import verify, verify_all
from tests.audit.stream import FakeLedger, admin, call
from tests.audit.test_verify import _tamper

ASKED = admin(3, ROTATION)


def _begun(number: int, after: Anchor) -> tuple[str, dict[str, str]]:
    return admin(number, BEGUN, detail=json.dumps({"after": str(after)}))


@pytest.fixture
def closed(path: Path) -> Path:
    """An audit of two files, of three rows each; the closed one."""
    with closing(Store(path)) as store:
        store.open()
        end = store.append([call(1), call(2), ASKED])
        store.append([_begun(4, end), call(5), call(6)])
    [closed] = closed_files(path)
    return closed


async def test_the_auditor_rotates_when_asked(path: Path) -> None:
    """The row that asks is the old file's last; the next file says where it begins; the ledger's anchor is in it."""
    ledger = FakeLedger([call(1), call(2), ASKED, call(4), call(5)])
    auditor = Auditor(ledger, Store(path))
    running = asyncio.create_task(auditor.run())
    while ledger.entries or not closed_files(path):  # noqa: ASYNC110 (another task's doing, in another thread)
        await asyncio.sleep(0.01)
    auditor.stop()
    await running

    [closed] = closed_files(path)
    assert "audit-1-3.db" == closed.name
    assert ledger.anchored is not None
    report = verify_all(path, {"the ledger": Anchor(*ledger.anchored[:2])})
    assert (report.problems, 6) == ((), report.last.seq)
    assert 3 == verify(path).after.seq


def test_both_files_are_whole(path: Path, closed: Path) -> None:
    """Each is verified alone, both together, and what is read are the rows of both, in order."""
    assert (verify(closed).last, ()) == (verify(path).after, verify(path).problems)
    assert verify_all(path).ok
    assert 0 == verify_all(path).after.seq
    with Reader(path) as reader:
        assert [1, 2, 3, 4, 5, 6] == [row["seq"] for row in reader.rows()]
        assert [4] == [row["calls"] for row in reader.report("run")]
    assert 0o400 == closed.stat().st_mode & 0o777


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("DELETE FROM admin WHERE seq = 4", "Deleted: rows 1 to 4 missing before row 5"),
        ("DELETE FROM calls WHERE seq = 6", "ends with row 5"),
        ("UPDATE calls SET cost_micros = 1 WHERE seq = 5", "Changed: row 5"),
    ],
)
def test_the_next_file_cannot_be_cut(path: Path, closed: Path, statement: str, problem: str) -> None:
    """Neither at its beginning nor at its end, nor changed."""
    last = verify(path).last
    _tamper(path, statement)
    assert problem in " ".join(verify_all(path, {"the ledger": last}).problems)


def test_a_closed_file_cannot_be_cut(path: Path, closed: Path) -> None:
    """The next file's first row knows how it ended."""
    closed.chmod(0o600)
    _tamper(closed, "DELETE FROM admin WHERE seq = 3")
    [problem] = verify_all(path).problems
    assert "the file before it ends with row 2:" in problem


def test_anchors_of_closed_rows(path: Path, closed: Path) -> None:
    """An anchor that was kept before the file was closed is compared with the file that has its row."""
    kept = verify(closed).last
    assert verify_all(path, {"ours": kept}).ok
    assert not verify_all(path, {"ours": Anchor(3, "0" * 64)}).ok
    closed.rename(closed.with_name("elsewhere"))
    report = verify_all(path)
    assert (report.ok, report.after) == (True, kept)


def test_a_file_that_somebody_reads_stays_open(path: Path) -> None:
    """It cannot be closed while its log is in use: rows go on in it, and none is lost."""
    with closing(Store(path)) as store:
        store.open()
        end = store.append([call(1), ASKED])
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM calls").fetchone()
            assert 4 == store.append([_begun(4, end), call(5)]).seq
    assert [] == closed_files(path)
    assert verify_all(path).ok


def test_an_entry_of_the_old_file_is_none_of_the_next(path: Path) -> None:
    """What was committed, but not trimmed from the stream, is no row again after a rotation."""
    with closing(Store(path)) as store:
        store.open()
        end = store.append([call(1), ASKED])
        assert end == store.append([ASKED])
        store.append([_begun(4, end), call(5)])
    assert 4 == verify_all(path).last.seq
    assert 1 == len(closed_files(path))


@pytest.mark.parametrize("step", ["written", "linked"])
def test_a_crash_in_the_midst(path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the next file has its place the old one goes on; afterwards the next; never both, never none."""
    dies = {"written": "link", "linked": "replace"}[step]

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with closing(Store(path)) as store:
        store.open()
        end = store.append([call(1), call(2), ASKED])
        with monkeypatch.context() as patch:
            patch.setattr(os, dies, die)
            if dies == "replace":
                patch.setattr(rotation, "finish", lambda _: None)
            with pytest.raises(KeyboardInterrupt):
                store.append([_begun(4, end), call(5)])
    with closing(Store(path)) as store:
        store.open()
        store.append([_begun(4, end), call(5)])
        store.append([call(6)])

    [closed] = closed_files(path)
    assert "audit-1-3.db" == closed.name
    report = verify_all(path)
    assert ((), 6) == (report.problems, report.last.seq)
    with closing(open_readonly(path)) as db:
        ids = "SELECT stream_id FROM calls UNION ALL SELECT stream_id FROM admin"
        assert [(6, 6)] == db.execute(f"SELECT count(*), count(DISTINCT stream_id) FROM ({ids})").fetchall()  # noqa: S608
