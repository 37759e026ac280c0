"""The auditor's process on a real ledger: ready, drain, kill -9."""

import asyncio
import itertools
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import runcap
from runcap.audit.chain import Anchor
from runcap.audit.process import main
from runcap.audit.store import Store
from runcap.audit.verify import verify
from runcap.decision import Code, Deny, Refused
from runcap.ledger.embedded import EmbeddedLedger
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Ask, Caps, End, Run
from runcap.vendors.base import Ending

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(runcap.__file__).parent.parent)}
MALFORMED = Deny(Code.MALFORMED, "It cannot be read.")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedLedger]:
    with EmbeddedLedger(tmp_path) as embedded:
        yield embedded


@pytest.fixture
async def ledger(server: EmbeddedLedger) -> AsyncIterator[Ledger]:
    ledger = Ledger.connect(server.url)
    await ledger.initialise("epoch", "test")
    yield ledger
    await ledger.close()


@asynccontextmanager
async def _process(path: Path, url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A running auditor that says it is ready; killed at the end if it is not gone by then."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "runcap.audit.auditor", "--audit", str(path), "--ledger-url", url,
        "--namespace", "default", "--watch-stdin",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        env=ENVIRONMENT,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert b"auditor ready\n" == await process.stdout.readline()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        process.stdin.close()


async def _record(ledger: Ledger, number: int) -> None:
    row = {"vendor": "stripe", "method": "POST", "path": f"/{number}", "cost_micros": number}
    await ledger.record(row, MALFORMED, None)


def _numbers(path: Path) -> list[int]:
    db = sqlite3.connect(path)
    found = [row[0] for row in db.execute("SELECT cost_micros FROM calls ORDER BY seq")]
    db.close()
    return found


async def test_rows_of_the_real_ledger(path: Path, server: EmbeddedLedger, ledger: Ledger) -> None:
    """What the scripts write can be read; the ledger has the anchor, and its stream is empty."""
    await _record(ledger, 1)
    async with _process(path, server.url) as process:
        process.send_signal(signal.SIGTERM)
        assert 0 == await process.wait()

    db = sqlite3.connect(path)
    assert [("stripe", "POST", "/1", "refused", "malformed", None, None)] == db.execute(
        "SELECT vendor, method, path, decision, code, outcome, extra FROM calls"
    ).fetchall()
    assert [("ledger_initialised",)] == db.execute("SELECT action FROM admin").fetchall()
    db.close()
    known = await ledger.anchor()
    assert known is not None
    assert verify(path, {"the ledger": Anchor(known.seq, known.hash)}).ok
    assert 2 == known.seq
    assert 0 == await ledger.audit_backlog()


async def test_calls_of_the_real_ledger(path: Path, server: EmbeddedLedger, ledger: Ledger) -> None:
    """An allowed call, a free one and a blocked one, with all that decision and end knew."""
    run = Run("01JDRUN", "billing-nightly", "d" * 64, Caps(day=10_000_000), ("stripe",))
    await ledger.issue(run, "ann@host")
    for number, micros in enumerate((4_000_000, 0, 7_000_000)):
        operation = "POST /v1/refunds"
        row = {"vendor": "stripe", "operation": operation, "cost_micros": micros, "currency": None}
        ask = Ask(f"r{number}", run.key_digest, "stripe", operation, micros, 60_000, row)
        try:
            await ledger.reserve(ask)
        except Refused:
            continue
        await ledger.finish(End(f"r{number}", Ending.SETTLED, row={"status": 200, "duration_ms": 12}))
    async with _process(path, server.url) as process:
        process.send_signal(signal.SIGTERM)
        assert 0 == await process.wait()

    db = sqlite3.connect(path)
    day = ("run", "01JDRUN", "day")
    assert [
        ("allowed", None, "settled", 200, 4_000_000, 4_000_000, 4_000_000, 10_000_000, *day),
        ("allowed", None, "settled", 200, 0, 0, 4_000_000, 10_000_000, *day),
        ("blocked", "cap_exhausted", None, 429, 7_000_000, None, 4_000_000, 10_000_000, *day),
    ] == db.execute(
        "SELECT decision, code, outcome, status, cost_micros, settled_micros, spent_micros, cap_micros, cap_level,"
        " cap_selector, cap_window FROM calls"
    ).fetchall()
    extras = [('{"reservation":"r0"}',), ('{"reservation":"r1"}',), (None,)]
    assert extras == db.execute("SELECT extra FROM calls ORDER BY seq").fetchall()
    assert [(4.0, 3, 1)] == db.execute("SELECT spent_usd, calls, blocked FROM run_spend").fetchall()
    db.close()


async def test_the_end_of_stdin_drains(path: Path, server: EmbeddedLedger, ledger: Ledger) -> None:
    """When whoever started it is gone, it writes what there is, and ends."""
    async with _process(path, server.url) as process:
        for number in range(50):
            await _record(ledger, number)
        assert process.stdin is not None
        process.stdin.close()
        assert 0 == await process.wait()

    assert list(range(50)) == _numbers(path)


async def test_kill_loses_no_row_and_writes_none_twice(path: Path, server: EmbeddedLedger, ledger: Ledger) -> None:
    """kill -9 in the middle of its work, again and again, while calls go on."""
    numbers = itertools.count()
    acknowledged: list[int] = []

    async def calls() -> None:
        while True:
            number = next(numbers)
            await _record(ledger, number)
            acknowledged.append(number)

    calling = asyncio.create_task(calls())
    for delay in (0.0, 0.03, 0.11, 0.07):
        async with _process(path, server.url) as process:
            await asyncio.sleep(delay)
            process.kill()
            assert -signal.SIGKILL == await process.wait()
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    async with _process(path, server.url) as process:
        process.send_signal(signal.SIGTERM)
        assert 0 == await process.wait()

    written = _numbers(path)
    assert acknowledged == written[: len(acknowledged)]
    assert sorted(set(written)) == written
    assert len(written) - len(acknowledged) in (0, 1)  # the last call may have been cancelled before its answer came
    known = await ledger.anchor()
    assert known is not None
    assert verify(path, {"the ledger": Anchor(known.seq, known.hash)}).ok


async def test_it_refuses_a_file_that_was_cut(path: Path, server: EmbeddedLedger, ledger: Ledger) -> None:
    """Exit code 1, and nothing is appended."""
    store = Store(path)
    store.open()
    store.close()
    await ledger.set_anchor(7, "a" * 64, "1-0")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "runcap.audit.auditor", "--audit", str(path), "--ledger-url", server.url,
        "--namespace", "default",
        stderr=asyncio.subprocess.PIPE, env=ENVIRONMENT,
    )  # fmt: skip
    _, log = await process.communicate()

    assert 1 == process.returncode
    assert b"ends with row 0, and the ledger knows of 7 rows" in log
    assert [] == _numbers(path)


@pytest.mark.parametrize("option", ["--ledger-url=", "--config=/nowhere/runcap.toml"])
def test_without_a_ledger_it_is_used_wrongly(path: Path, option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2: the embedded ledger's address is known to who started it, and a file that is named must exist."""
    monkeypatch.delenv("RUNCAP_LEDGER_URL", raising=False)
    with pytest.raises(SystemExit, match="2"):
        main(["--audit", str(path), option])
