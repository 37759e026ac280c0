"""Two auditors with a file each on one ledger: one writes at a time, and who has lost the lease writes nothing."""

import asyncio
import secrets
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from runcap.audit import lease
from runcap.audit.auditor import Auditor
from runcap.audit.chain import Anchor
from runcap.audit.schema import AuditFileError
from runcap.audit.store import Store
from runcap.audit.verify import verify
from runcap.decision import Code, Deny
from runcap.ledger.embedded import EmbeddedLedger
from runcap.ledger.ledger import Ledger

MALFORMED = Deny(Code.MALFORMED, "It cannot be read.")


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedLedger(tmp_path_factory.mktemp("home")) as embedded:
        yield embedded.url


@pytest.fixture
async def ledger(server_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ledger]:
    """A ledger whose lease is short, for the tests' sake."""
    monkeypatch.setattr(lease, "LEASE_MS", 600)
    monkeypatch.setattr(lease, "_MARGIN_SECONDS", 0.2)
    ledger = Ledger.connect(server_url, namespace=secrets.token_hex(8))
    await ledger.initialise("epoch", "test")
    yield ledger
    await ledger.close()


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return tmp_path / "one" / "audit.db"


@pytest.fixture
def two(tmp_path: Path) -> Path:
    return tmp_path / "two" / "audit.db"


class StandingStill(Store):
    """Stops right before a commit, until it is told to go on."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reached, self.go_on = threading.Event(), threading.Event()
        self._lasts = self.may_commit

    def arm(self) -> None:
        """From now on."""
        self._lasts, self.may_commit = self.may_commit, self._stand_still

    def _stand_still(self) -> bool:
        self.reached.set()
        assert self.go_on.wait(20)
        return self._lasts()


@asynccontextmanager
async def _auditing(ledger: Ledger, store: Store) -> AsyncIterator[Auditor]:
    auditor = Auditor(ledger, store)
    running = asyncio.create_task(auditor.run())
    try:
        yield auditor
    finally:
        auditor.stop()
        await running


async def _record(ledger: Ledger, count: int = 1) -> None:
    for _ in range(count):
        await ledger.record({"vendor": "stripe", "method": "POST", "path": "/"}, MALFORMED, None)


async def _caught_up(ledger: Ledger) -> None:
    async with asyncio.timeout(20):
        while await ledger.audit_backlog():  # noqa: ASYNC110 (another task's doing)
            await asyncio.sleep(0.01)


async def test_the_second_waits_and_takes_over(ledger: Ledger, one: Path, two: Path) -> None:
    """It has no file before; then one that begins behind the other's last row, and says so."""
    async with _auditing(ledger, Store(two)) as second:
        await second.ready.wait()
        async with _auditing(ledger, Store(one)) as first:
            await _record(ledger, 3)
            await _caught_up(ledger)
            assert not first.ready.is_set()
            assert [] == _names(one.parent, "*.db")
            second.stop()
            await first.ready.wait()
            await _record(ledger, 2)
            await _caught_up(ledger)
    before, after = verify(two), verify(one)
    assert ((), (), before.last) == (before.problems, after.problems, after.after)
    assert (4, 7) == (before.last.seq, after.last.seq)


async def test_who_has_lost_the_lease_writes_nothing(ledger: Ledger, one: Path, two: Path) -> None:
    """The first stands still right before a commit while the second takes over: its rows are the second's alone."""
    store = StandingStill(one)
    async with _auditing(ledger, store) as first:
        await first.ready.wait()
        await _caught_up(ledger)
        store.arm()
        await _record(ledger, 2)
        assert await asyncio.to_thread(store.reached.wait, 20)
        async with _auditing(ledger, Store(two)) as second:
            await second.ready.wait()
            await _caught_up(ledger)
            store.go_on.set()
            await _record(ledger, 2)
            await _caught_up(ledger)
            first.stop()
            await asyncio.sleep(0)
    before, after = verify(one), verify(two)
    assert ((), (), before.last) == (before.problems, after.problems, after.after)
    assert (1, 6) == (before.last.seq, after.last.seq)
    known = await ledger.anchor()
    assert known is not None
    assert after.last == Anchor(known.seq, known.hash)


async def test_a_file_that_was_cut_is_not_taken_for_anothers(ledger: Ledger, one: Path, two: Path) -> None:
    """The lock file beside it says that the ledger's anchor is of this very host."""
    async with _auditing(ledger, Store(one)) as auditor:
        await auditor.ready.wait()
        await _caught_up(ledger)
    _remove(one)
    with pytest.raises(AuditFileError, match="the ledger knows of 1 rows"):
        await Auditor(ledger, Store(one)).run()


async def test_an_older_ledger_is_not_taken_over(ledger: Ledger, one: Path, two: Path) -> None:
    """Whose file has rows that the ledger has lost must not go on as if another had written them."""
    async with _auditing(ledger, Store(one)) as auditor:
        await auditor.ready.wait()
        await _record(ledger, 3)
        await _caught_up(ledger)
    meta = f"{ledger._client.prefix}meta"
    await ledger._client.command(
        "HSET", meta, "anchor_seq", 2, "anchor_hash", "a" * 64, "anchor_id", "1-0", "auditor_wrote", "b" * 32
    )
    async with _auditing(ledger, Store(one)) as auditor:
        async with asyncio.timeout(20):
            while not (await ledger.state()).rebuilding:  # noqa: ASYNC110 (the auditor's doing)
                await asyncio.sleep(0.01)
        assert not auditor.ready.is_set()
    assert 4 == verify(one).last.seq


def _names(folder: Path, pattern: str) -> list[str]:
    return [path.name for path in folder.glob(pattern)]


def _remove(path: Path) -> None:
    path.unlink()
