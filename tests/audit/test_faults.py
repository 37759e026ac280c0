"""The audit's disk is full, its file locked, gone or replaced: calls stop in time, and no row is lost.

The ledger is a real one. Its limit for rows that wait is lowered, so that a few calls reach it.
"""

import asyncio
import secrets
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest

from runcap.audit.auditor import Auditor
from runcap.audit.chain import Anchor
from runcap.audit.schema import AuditFileError
from runcap.audit.store import Store
from runcap.audit.verify import verify
from runcap.decision import Code, Refused
from runcap.ledger import keys
from runcap.ledger.embedded import EmbeddedLedger
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Ask, Caps, Run

LIMIT = 5


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedLedger(tmp_path_factory.mktemp("home")) as embedded:
        yield embedded.url


@pytest.fixture
async def ledger(server_url: str) -> AsyncIterator[Ledger]:
    """A ledger with one run, that lets `LIMIT` rows wait for the auditor."""
    ledger = Ledger.connect(server_url, namespace=secrets.token_hex(8))
    await ledger.initialise("epoch", "test")
    await ledger.issue(Run("01JDRUN", "nightly", "d" * 64, Caps(), ("stripe",)), "test")
    await ledger._client.command("HSET", keys.meta(ledger._client.prefix), "audit_limit", LIMIT)
    yield ledger
    await ledger.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if shutil.which("mount") is None or _run("mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(disk)):
        pytest.skip("a small file system cannot be mounted here: that takes Linux and root")
    yield disk
    assert 0 == _run("umount", "-l", str(disk))


@asynccontextmanager
async def _auditing(ledger: Ledger, path: Path) -> AsyncIterator[asyncio.Task[None]]:
    """An auditor at work; what it ended with is the task's."""
    auditor = Auditor(ledger, Store(path))
    running = asyncio.create_task(auditor.run())
    await asyncio.wait({running, ready := asyncio.create_task(auditor.ready.wait())}, return_when="FIRST_COMPLETED")
    ready.cancel()
    try:
        yield running
    finally:
        auditor.stop()
        await asyncio.gather(running, return_exceptions=True)


async def _calls_until_refused(ledger: Ledger) -> Code:
    """Blocked calls, each a row, until the ledger takes no more; why it did not."""
    for _ in range(LIMIT + 1):
        try:
            await ledger.reserve(Ask(secrets.token_hex(16), "d" * 64, "twilio", "POST /x", 1, 60_000, {}))
        except Refused as refused:
            if refused.deny.code is not Code.VENDOR_NOT_ALLOWED:
                return refused.deny.code
    raise AssertionError("no call was refused")


async def _caught_up(ledger: Ledger) -> None:
    while await ledger.audit_backlog():  # noqa: ASYNC110 (another task's doing, in another thread)
        await asyncio.sleep(0.01)


async def _assert_whole(ledger: Ledger, path: Path) -> None:
    """The file ends where the ledger says, its chain is whole, and each call that was decided is a row."""
    await _caught_up(ledger)
    known = await ledger.anchor()
    assert known is not None
    report = verify(path, {"the ledger": Anchor(known.seq, known.hash)})
    assert ((), 2 + LIMIT) == (report.problems, known.seq)


async def test_a_file_that_is_locked(ledger: Ledger, path: Path) -> None:
    """Somebody keeps a write lock: calls go on up to the limit, then none; all rows come once it is free."""
    async with _auditing(ledger, path):
        await _caught_up(ledger)
        with closing(sqlite3.connect(path, isolation_level=None)) as somebody:
            somebody.execute("BEGIN IMMEDIATE")
            assert Code.AUDIT_UNAVAILABLE == await _calls_until_refused(ledger)
        await _assert_whole(ledger, path)
        assert Code.AUDIT_UNAVAILABLE != await _first_answer(ledger)


async def test_a_disk_that_is_full(ledger: Ledger, small_disk: Path) -> None:
    """The same, for a disk without a free byte: a commit that failed has written nothing."""
    path = small_disk / "audit.db"
    async with _auditing(ledger, path):
        await _caught_up(ledger)
        # What is in the log's file already can be overwritten; only a longer one needs the disk.
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        filler = _fill(small_disk)
        assert Code.AUDIT_UNAVAILABLE == await _calls_until_refused(ledger)
        filler.unlink()
        await _assert_whole(ledger, path)


@pytest.mark.parametrize("fault", ["moved", "replaced"])
async def test_a_file_that_is_gone(ledger: Ledger, path: Path, fault: str) -> None:
    """The auditor writes no row to a file that nobody finds, nor to another in its place; all are there when it is."""
    async with _auditing(ledger, path) as running:
        await _caught_up(ledger)
        elsewhere = path.with_name("elsewhere.db")
        _move(path, elsewhere)
        if fault == "replaced":
            _move(_empty_audit(path.with_name("other.db")), path)
        assert Code.AUDIT_UNAVAILABLE == await _calls_until_refused(ledger)
        with pytest.raises(AuditFileError, match=r"was removed while|was replaced by another"):
            await running

    async with _auditing(ledger, path) as running:
        with pytest.raises(AuditFileError, match=r"There is no .*the ledger knows of 2 rows|ends with row 0"):
            await running
    assert LIMIT == await ledger.audit_backlog()

    _move(elsewhere, path)
    async with _auditing(ledger, path):
        await _assert_whole(ledger, path)


async def _first_answer(ledger: Ledger) -> Code:
    with pytest.raises(Refused) as caught:
        await ledger.reserve(Ask(secrets.token_hex(16), "d" * 64, "twilio", "POST /x", 1, 60_000, {}))
    return caught.value.deny.code


def _run(*command: str) -> int:
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode


def _fill(disk: Path) -> Path:
    """A file that takes all the space there is."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


def _empty_audit(path: Path) -> Path:
    with closing(Store(path)) as store:
        store.open()
    return path


def _move(source: Path, target: Path) -> None:
    source.rename(target)
