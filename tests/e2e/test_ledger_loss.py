"""The ledger is lost, whole or in part, under a running `runcap up` or between two of them: nothing becomes free."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from runcap.ledger.embedded import EmbeddedLedger
from runcap.ledger.ledger import Ledger
from tests.e2e.client import Caller, Reply
from tests.e2e.harness import IssuedRun, RuncapUp
from tests.e2e.waiting import wait_until
from tests.fakes import FakeVendors

_DOLLAR = 1_000_000


def charge(up: RuncapUp, run: IssuedRun, cents: int) -> Reply:
    """One charge on a connection of its own."""
    with Caller(up, run) as caller:
        return caller.charge(cents)


def flush(url: str) -> None:
    """FLUSHALL."""

    async def work() -> None:
        ledger = Ledger.connect(url)
        await ledger._client.command("FLUSHALL")
        await ledger.close()

    asyncio.run(work())


def wait_until_it_takes_calls(up: RuncapUp, run: IssuedRun) -> None:
    """A free call is answered again."""

    def answers() -> bool:
        with Caller(up, run) as caller:
            return caller.get("/v1/balance").status == 200

    wait_until("calls to be taken again", answers, seconds=20)


def wait_until_audited(up: RuncapUp, run: IssuedRun, rows: int) -> None:
    """The run has so many rows, and the ledger's anchor is behind them."""
    up.calls(run, rows)
    code, printed = up.cli("audit", "verify")
    assert code == 0, printed


def is_sound(up: RuncapUp) -> None:
    """Ledger and audit agree, and the audit is whole."""
    for command in (("ledger", "check"), ("audit", "verify")):
        code, printed = up.cli(*command)
        assert code == 0, printed


def test_an_emptied_ledger_refuses_the_next_call_and_heals_itself(up: RuncapUp, fakes: FakeVendors) -> None:
    """The very next call is refused and not forwarded; then all is as before: spend, caps, keys, revocations."""
    run, revoked = up.issue("emptied", daily_usd="10"), up.issue("emptied", daily_usd="10")
    assert 200 == charge(up, run, 700).status
    assert 0 == up.cli("keys", "revoke", revoked.run_id)[0]
    wait_until_audited(up, run, 1)
    mark = fakes.journal.mark()

    with Caller(up, run) as caller:
        assert 200 == caller.get("/v1/balance").status
        os.kill(auditor := _auditor(up), signal.SIGSTOP)
        try:
            flush(EmbeddedLedger(up.home).url)
            refused = caller.charge(100)
        finally:
            os.kill(auditor, signal.SIGCONT)
    assert (503, "ledger_untrusted") == (refused.status, refused.code)
    assert [] == [entry for entry in fakes.journal.entries(mark) if entry.path == "/v1/payment_intents"]

    wait_until_it_takes_calls(up, run)
    assert 7 * _DOLLAR == up.spent_micros(run)
    assert "cap_exhausted" == charge(up, run, 400).code
    assert 200 == charge(up, run, 300).status
    assert "key_revoked" == charge(up, revoked, 1).code
    is_sound(up)


def test_a_power_cut_that_took_the_ledgers_last_writes(tmp_path: Path, fakes: FakeVendors) -> None:
    """Found at the next start, and rebuilt before the first call (tests/ledger/test_opening.py has other losses)."""
    with RuncapUp(tmp_path, fakes, workers=1) as up:
        run = up.issue("cut", daily_usd="10")
        file, kept = _appended(up)
        assert 200 == charge(up, run, 700).status
        wait_until_audited(up, run, 1)
        up.stop()
        os.truncate(file, kept)

        up.start()

        assert "rebuilt from" in up.log()
        assert 7 * _DOLLAR == up.spent_micros(run)
        assert "cap_exhausted" == charge(up, run, 400).code
        assert 200 == charge(up, run, 300).status
        is_sound(up)


def test_a_server_that_came_back_older_takes_no_call_before_it_is_compared(up: RuncapUp, fakes: FakeVendors) -> None:
    """Killed under a running proxy, its file cut, started again: no call gets through on what it has forgotten."""
    run = up.issue("killed", daily_usd="10")
    file, kept = _appended(up)
    assert 200 == charge(up, run, 900).status
    wait_until_audited(up, run, 1)
    mark = fakes.journal.mark()
    replies: list[Reply] = []

    os.kill(up.processes.ledger(), signal.SIGKILL)
    os.truncate(file, kept)
    while not replies or replies[-1].status == 503:
        replies.append(charge(up, run, 200))

    assert {"ledger_unavailable", "ledger_untrusted", "cap_exhausted"} >= {reply.code for reply in replies}
    assert "cap_exhausted" == replies[-1].code
    assert 0 == fakes.journal.moved(mark)
    assert 9 * _DOLLAR == up.spent_micros(run)
    is_sound(up)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedLedger]:
    """A server that is not runcap's own."""
    with EmbeddedLedger(tmp_path_factory.mktemp("shared")) as server:
        yield server


def test_a_ledger_elsewhere_waits_for_its_operator(tmp_path: Path, fakes: FakeVendors, shared: EmbeddedLedger) -> None:
    """It refuses until `runcap ledger rebuild`, whether runcap runs or not, however it was lost."""
    up = RuncapUp(tmp_path, fakes, workers=1)
    text = up.config_file.read_text("utf-8")
    up.config_file.write_text(text.replace("[ledger]\n", f'[ledger]\nurl = "{shared.url}"\n'), encoding="utf-8")
    with up:
        run = up.issue("elsewhere", daily_usd="10")
        assert 200 == charge(up, run, 700).status
        up.calls(run, 1)
        flush(shared.url)
        assert "ledger_untrusted" == charge(up, run, 100).code
        code, printed = up.cli("ledger", "check")
        assert (1, True) == (code, "`runcap ledger rebuild`" in printed)

        assert 0 == up.cli("ledger", "rebuild")[0]

        assert "cap_exhausted" == charge(up, run, 400).code
        assert 200 == charge(up, run, 300).status
        is_sound(up)
        up.stop()
        flush(shared.url)
        assert 1 == up.cli("ledger", "check")[0]
        assert 0 == up.cli("ledger", "rebuild")[0]
        is_sound(up)


def _appended(up: RuncapUp) -> tuple[Path, int]:
    """The file that the ledger's server appends to, and how much it has in it."""
    [file] = (up.home / "ledger" / "appendonlydir").glob("*.incr.aof")
    return file, file.stat().st_size


def _auditor(up: RuncapUp) -> int:
    [pid] = up.processes.alive("runcap.audit.auditor")
    return pid
