"""The auditor: each entry of the stream becomes one row, whatever fails in between."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from runcap.audit import auditor as auditor_module
from runcap.audit import lock
from runcap.audit.auditor import Auditor
from runcap.audit.reading import open_readonly, read_rows
from runcap.audit.schema import AuditFileError
from runcap.audit.store import Store
from runcap.audit.verify import verify
from tests.audit.stream import FIRST_MS, Entry, FakeLedger, admin, call


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry and look at once."""
    monkeypatch.setattr(auditor_module, "_BACKOFF_SECONDS", (0.005, 0.01))
    monkeypatch.setattr(lock, "_LOCK_POLL_SECONDS", 0.005)
    monkeypatch.setattr(auditor_module, "_SWEEP_SECONDS", 0.005)
    monkeypatch.setattr(auditor_module, "_GATHER_SECONDS", 0)
    monkeypatch.setattr(auditor_module, "_LOOK_SECONDS", 0.005)


class SlowFakeLedger(FakeLedger):
    """Waits a little where the real one waits for an entry."""

    async def read_audit(self, after_id: str, count: int, block_ms: int = 0) -> list[Entry]:
        entries = await super().read_audit(after_id, count, block_ms)
        if not entries:
            await asyncio.sleep(0.001)
        return entries


@asynccontextmanager
async def _running(ledger: FakeLedger, path: Path, batch: int = 1000) -> AsyncIterator[Auditor]:
    auditor = Auditor(ledger, Store(path), batch=batch)
    task = asyncio.create_task(auditor.run())
    try:
        yield auditor
    finally:
        auditor.stop()
        await task


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (a fake on a list has no event to wait for)
            await asyncio.sleep(0.002)


def _stream_ids(path: Path) -> list[object]:
    db = open_readonly(path)
    try:
        return [row[-4] for row in read_rows(db)]
    finally:
        db.close()


async def test_entries_become_rows_and_leave_the_stream(path: Path) -> None:
    """In the stream's order, over several batches; the ledger knows the last row."""
    entries = [admin(1), *(call(number) for number in range(2, 26))]
    ledger = SlowFakeLedger(entries)

    async with _running(ledger, path, batch=10) as auditor:
        await auditor.ready.wait()
        await _until(lambda: not ledger.entries)
        ledger.entries += [call(30)]
        await _until(lambda: not ledger.entries)

    assert [entry[0] for entry in [*entries, call(30)]] == _stream_ids(path)
    last = verify(path).last
    assert (26, last.hash, call(30)[0]) == ledger.anchored


async def test_stop_drains_the_stream(path: Path) -> None:
    """What is in the stream when the auditor is told to stop is written first."""
    ledger = SlowFakeLedger()
    async with _running(ledger, path, batch=3) as auditor:
        await auditor.ready.wait()
        ledger.entries += [call(number) for number in range(10)]
        auditor.stop()

    assert 10 == len(_stream_ids(path))
    assert 0 == await ledger.audit_backlog()


@pytest.mark.parametrize("method", ["read_audit", "set_anchor", "trim_audit", "state", "vouch"])
async def test_a_ledger_that_fails_once_costs_no_row(path: Path, method: str) -> None:
    """Each step may fail; the round is done again, and no row stands twice."""
    entries = [call(number) for number in range(10)]
    ledger = SlowFakeLedger(entries)
    ledger.fails_once = {method}

    async with _running(ledger, path, batch=4):
        await _until(lambda: not ledger.entries)

    assert [entry[0] for entry in entries] == _stream_ids(path)
    assert verify(path).ok


async def test_a_second_ledger_with_a_slower_clock_loses_no_row(path: Path) -> None:
    """A stream that begins again with smaller ids is read from its own start."""
    ledger = SlowFakeLedger([call(100)])
    async with _running(ledger, path):
        await _until(lambda: not ledger.entries)
        ledger.entries.append(call(50))
        await _until(lambda: not ledger.entries)

    assert [call(100)[0], call(50)[0]] == _stream_ids(path)


async def test_a_locked_file_makes_rows_wait(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While somebody else holds the writer's lock, rows stay in the stream; it is said once, and so is the end."""
    monkeypatch.setattr("runcap.audit.store.BUSY_TIMEOUT_MS", 5)
    ledger = SlowFakeLedger()
    async with _running(ledger, path) as auditor:
        await auditor.ready.wait()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        ledger.entries = [call(1)]
        await _until(lambda: bool(caplog.records))
        await asyncio.sleep(0.1)
        assert 1 == len(ledger.entries)
        other.execute("ROLLBACK")
        other.close()
        await _until(lambda: not ledger.entries)

    assert [call(1)[0]] == _stream_ids(path)
    assert [logging.ERROR, logging.WARNING] == [record.levelno for record in caplog.records]
    assert "database is locked" in caplog.text


async def test_a_ledger_that_is_down_is_waited_for(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not being reached is a state, not an end."""
    ledger = SlowFakeLedger([call(1)])
    ledger.down = True
    async with _running(ledger, path) as auditor:
        await _until(lambda: bool(caplog.records))
        assert not auditor.ready.is_set()
        ledger.down = False
        await _until(lambda: not ledger.entries)

    assert [call(1)[0]] == _stream_ids(path)


async def test_a_drain_that_cannot_end_says_so(path: Path) -> None:
    """Told to stop while the ledger is down, it gives up after a while, and the rows stay."""
    ledger = SlowFakeLedger()
    auditor = Auditor(ledger, Store(path))
    task = asyncio.create_task(auditor.run())
    await auditor.ready.wait()
    ledger.entries, ledger.down = [call(1)], True
    auditor.stop()

    with pytest.raises(Exception, match="does not answer"):
        await task
    assert [call(1)] == ledger.entries


async def test_unreadable_entries_do_not_stop_it(path: Path) -> None:
    """They become rows too, between the others."""
    ledger = SlowFakeLedger([call(1), (f"{FIRST_MS + 2}-0", {"kind": "\udcff"}), call(3)])

    async with _running(ledger, path):
        await _until(lambda: not ledger.entries)

    db = open_readonly(path)
    assert [("calls", 1), ("admin", 2), ("calls", 3)] == [row[:2] for row in read_rows(db)]
    assert [("unreadable_entry",)] == db.execute("SELECT action FROM admin").fetchall()
    db.close()


async def test_only_one_writes(path: Path) -> None:
    """A second auditor waits for the first one's lock, and takes over when it ends."""
    ledger = SlowFakeLedger()
    async with _running(ledger, path) as first:
        await first.ready.wait()
        async with _running(ledger, path) as second:
            await asyncio.sleep(0.05)
            assert not second.ready.is_set()
            first.stop()
            await second.ready.wait()
            ledger.entries = [call(1)]
            await _until(lambda: not ledger.entries)

    assert [call(1)[0]] == _stream_ids(path)


async def test_one_that_waits_can_be_stopped(path: Path) -> None:
    """Without having touched the file."""
    async with _running(SlowFakeLedger(), path) as first:
        await first.ready.wait()
        async with _running(SlowFakeLedger(), path) as second:
            await asyncio.sleep(0.02)
        assert not second.ready.is_set()


async def test_a_cut_or_rewritten_file_is_not_continued(path: Path) -> None:
    """The ledger's anchor says that this is not the file that it has seen grow."""
    ledger = SlowFakeLedger([call(1), call(2)])
    async with _running(ledger, path):
        await _until(lambda: not ledger.entries)
    ledger.entries = [call(3)]

    with pytest.raises(AuditFileError, match=r"There is no .*, and the ledger knows of 2 rows"):
        await Auditor(ledger, Store(path.with_name("other.db"))).run()
    ledger.anchored = (2, "0" * 64, call(2)[0])
    with pytest.raises(AuditFileError, match="is not the one that the ledger knows"):
        await Auditor(ledger, Store(path)).run()

    assert [call(3)] == ledger.entries
    assert 2 == len(_stream_ids(path))


async def test_a_file_that_vanishes_ends_it(path: Path) -> None:
    """Nothing is written to a file that nobody can find; the row stays in the stream."""
    ledger = SlowFakeLedger([call(1)])
    auditor = Auditor(ledger, Store(path))
    task = asyncio.create_task(auditor.run())
    await _until(lambda: not ledger.entries)
    path.unlink()  # noqa: ASYNC240 (a moment)
    ledger.entries = [call(2)]

    with pytest.raises(AuditFileError, match="removed"):
        await task
    assert [call(2)] == ledger.entries


async def test_stale_reservations_are_swept(path: Path) -> None:
    """All of them, however many, and again later; a ledger that fails is asked again."""
    ledger = SlowFakeLedger()
    ledger.stale = 250
    ledger.fails_once = {"sweep"}
    async with _running(ledger, path):
        await _until(lambda: not ledger.stale)
        ledger.stale = 1
        await _until(lambda: not ledger.stale)

    assert 0 == ledger.stale


async def test_a_restarted_server_is_vouched_for_once_it_was_compared(path: Path) -> None:
    """Its number is another; all that the audit knows is there."""
    ledger = SlowFakeLedger([call(1)])
    async with _running(ledger, path):
        await _until(lambda: not ledger.entries)
        assert "server" == ledger.vouched
        ledger.server = "another"
        await _until(lambda: ledger.vouched == "another")
        ledger.entries.append(call(2))
        await _until(lambda: not ledger.entries)

    assert [call(1)[0], call(2)[0]] == _stream_ids(path)
    assert "" == ledger.rebuilding


@pytest.mark.parametrize("lost", ["epoch", "anchor"])
async def test_a_ledger_that_lost_something_is_stopped_and_its_rows_wait(path: Path, lost: str) -> None:
    """Empty, or an older state of its own: the anchor is not moved, which would hide it, and nothing is trimmed."""
    ledger = SlowFakeLedger([call(1)])
    async with _running(ledger, path):
        await _until(lambda: not ledger.entries)
        older = ledger.anchored
        ledger.entries.append(call(2))
        await _until(lambda: not ledger.entries)
        ledger.anchored, ledger.server = older, "another"
        if lost == "epoch":
            ledger.anchored, ledger.epoch = None, ""
        kept = ledger.anchored
        ledger.entries.append(call(3))
        await _until(lambda: ledger.rebuilding == "1")
        await asyncio.sleep(0.05)

    assert (kept, [call(3)], "server") == (ledger.anchored, ledger.entries, ledger.vouched)
    assert [call(1)[0], call(2)[0]] == _stream_ids(path)


async def test_an_older_state_that_comes_between_two_looks_is_not_covered_up(path: Path) -> None:
    """The anchor is only moved on from the one that is known."""
    ledger = SlowFakeLedger([call(1)])
    async with _running(ledger, path):
        await _until(lambda: not ledger.entries)
        older = ledger.anchored
        ledger.entries.append(call(2))
        await _until(lambda: not ledger.entries)

        class Rewound(SlowFakeLedger):
            async def read_audit(self, after_id: str, count: int, block_ms: int = 0) -> list[Entry]:
                entries = await super().read_audit(after_id, count, block_ms)
                if entries and self.anchored != older and not self.rebuilding:
                    self.anchored = older  # behind the look of this round
                return entries

        ledger.__class__ = Rewound
        ledger.entries.append(call(3))
        await _until(lambda: ledger.rebuilding == "1")

    assert (older, [call(3)]) == (ledger.anchored, ledger.entries)
    assert [call(1)[0], call(2)[0], call(3)[0]] == _stream_ids(path)


@pytest.mark.parametrize(("unasked", "asked"), [(True, "1"), (False, "asked"), (False, "1")])
async def test_who_rebuilds(path: Path, unasked: bool, asked: str) -> None:
    """The auditor of an embedded ledger by itself, any other if an operator asks for it, and again if that failed."""
    ledger = SlowFakeLedger([call(1)])
    rebuilt: list[str] = []

    async def rebuild() -> None:
        rebuilt.append(ledger.rebuilding)
        if len(rebuilt) == 1 and asked == "asked":
            ledger.rebuilding = "1"
            raise RuntimeError("the audit is not whole")
        ledger.rebuilding = ""

    auditor = Auditor(ledger, Store(path), rebuild=rebuild, unasked=unasked)
    task = asyncio.create_task(auditor.run())
    await _until(lambda: not ledger.entries)
    ledger.rebuilding = asked
    if not unasked and asked == "1":
        await asyncio.sleep(0.05)
        assert [] == rebuilt
        ledger.rebuilding = ""
    elif asked == "asked":
        await _until(lambda: rebuilt == ["asked"])
        await asyncio.sleep(0.03)
        assert ["asked"] == rebuilt
        ledger.rebuilding = "asked"
        await _until(lambda: ledger.rebuilding == "")
    await _until(lambda: ledger.rebuilding == "")
    ledger.entries.append(call(2))
    await _until(lambda: not ledger.entries)
    auditor.stop()
    await task
