"""What happens when things die or stop answering: nothing is free, nothing is counted twice, nothing stays broken."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.agents_running import Race, Racers
from tests.e2e.client import Caller
from tests.e2e.harness import IssuedRun, RuncapUp
from tests.e2e.waiting import wait_until
from tests.fakes import FakeVendors, Fault

_DOLLAR = 1_000_000
_CALLS = 48


@pytest.fixture(scope="module")
def frail(tmp_path_factory: pytest.TempPathFactory, session_fakes: FakeVendors) -> Iterator[RuncapUp]:
    """A `runcap up` that gives a vendor two seconds only, so that what was left open is swept soon."""
    with RuncapUp(tmp_path_factory.mktemp("frail"), session_fakes, vendor_timeout_seconds=2) as running:
        yield running


def _kill_a_worker(up: RuncapUp) -> None:
    os.kill(up.processes.workers()[0], signal.SIGKILL)


def _kill_the_ledger(up: RuncapUp) -> None:
    os.kill(up.processes.ledger(), signal.SIGKILL)


def _kill_the_supervisor(up: RuncapUp) -> None:
    up.kill()


@pytest.mark.timeout(180)
def test_kill_9_makes_no_call_free_and_none_double(frail: RuncapUp, fakes: FakeVendors) -> None:
    """A worker, the ledger and the supervisor are killed under load, in turn.

    No counter is ever lower than what the vendor saw. Once the sweeper has been by, each call that the vendor saw is
    in the audit exactly once, and the hash chain is whole.
    """
    start = fakes.journal.mark()
    races: list[Race] = []
    runs: list[IssuedRun] = []
    kills: tuple[Callable[[RuncapUp], None], ...] = (_kill_a_worker, _kill_the_ledger, _kill_the_supervisor)
    for kill in kills:
        mark = fakes.journal.mark()
        run = frail.issue(f"kill-{kill.__name__}", daily_usd="1000")
        races.append(_race_and_kill(frail, run, fakes, kill))
        runs.append(run)
        if kill is _kill_the_supervisor:
            frail.start()
        _wait_for_service(frail)
        assert frail.spent_micros(run) >= fakes.journal.moved(mark) * 10_000

    entries = [entry for entry in fakes.journal.entries(start) if entry.path == "/v1/payment_intents"]
    seen = Counter(entry.request_id for entry in entries)
    rows = _rows_once_swept(frail, runs, len(seen))
    known = Counter(row["vendor_request_id"] for row in rows if row["vendor_request_id"])
    assert {1} == set(known.values())
    assert set(known) <= set(seen)
    assert set(races[0].request_ids) <= set(seen)  # a killed worker may have answered what it had not ended yet
    assert {request_id for race in races[1:] for request_id in race.request_ids} <= set(known)
    for run in runs:
        mine = [row for row in rows if row["run_id"] == run.run_id]
        assert frail.spent_micros(run) == sum(row["settled_micros"] or 0 for row in mine)
    unknown = [row for row in rows if row["outcome"] == "unknown"]
    assert {_DOLLAR} >= {row["settled_micros"] for row in unknown}
    assert len(seen) <= len(known) + len(unknown)
    code, printed = frail.cli("audit", "verify")
    assert code == 0, printed
    code, printed = frail.cli("ledger", "check")
    assert code == 0, printed


def test_a_stopped_ledger_refuses_and_recovers(up: RuncapUp, fakes: FakeVendors) -> None:
    """While the ledger does not answer, calls are refused with 503 and not forwarded; then it goes on by itself."""
    run = up.issue("stopped", daily_usd="1000")
    with Caller(up, run) as caller:
        assert 200 == caller.charge(100).status
        mark = fakes.journal.mark()
        ledger = up.processes.ledger()
        os.kill(ledger, signal.SIGSTOP)
        try:
            refused = caller.charge(100)
            assert (503, "ledger_unavailable") == (refused.status, refused.json["code"])
            assert "ledger_unavailable" == refused.json["error"]["code"]
        finally:
            os.kill(ledger, signal.SIGCONT)
        assert [] == fakes.journal.entries(mark)
    _wait_for_service(up)
    with Caller(up, run) as caller:
        assert 200 == caller.charge(100).status


def test_a_vendor_that_hangs_counts_as_spent(frail: RuncapUp, fakes: FakeVendors) -> None:
    """No answer within the time: 504, and the amount stays counted, since it may have been charged."""
    mark = fakes.journal.mark()
    run = frail.issue("hang", daily_usd="10")
    fakes.fault(Fault("stripe", ending="hang"))
    with Caller(frail, run) as caller:
        reply = caller.charge(900)
        assert (504, "upstream_unknown") == (reply.status, reply.json["code"])
        assert "cap_exhausted" == caller.charge(900).code
    [row, _] = frail.calls(run, 2)
    assert ("allowed", "unknown", 9 * _DOLLAR) == (row["decision"], row["outcome"], row["settled_micros"])
    assert (900, 9 * _DOLLAR) == (fakes.journal.moved(mark), frail.spent_micros(run))


@pytest.mark.parametrize(
    ("fault", "status", "outcome"),
    [
        (Fault("stripe", ending="error_500"), 500, "unknown"),
        (Fault("stripe", ending="cut"), 504, "unknown"),
        (Fault("stripe", ending="truncate"), 504, "unknown"),
        (Fault("stripe", early_hints=True), 200, "settled"),
        (Fault("stripe", trailers=True), 200, "settled"),
        (Fault("stripe", redirect="https://attacker.example/"), 302, "unknown"),
    ],
    ids=["500", "cut", "truncated", "103", "trailers", "302"],
)
def test_every_odd_answer_has_an_outcome(
    up: RuncapUp, fakes: FakeVendors, fault: Fault, status: int, outcome: str
) -> None:
    """Whatever the vendor does after a call was sent, it is counted, told to the agent, and audited once."""
    run = up.issue("odd", daily_usd="10")
    fakes.fault(fault)
    with Caller(up, run) as caller:
        assert status == caller.charge(100).status
        assert 200 == caller.charge(100).status
    odd, _ = sorted(up.calls(run, 2), key=lambda row: row["status"] == 200 and row["outcome"] == "settled")
    assert (outcome, _DOLLAR) == (odd["outcome"], odd["settled_micros"])
    assert 2 * _DOLLAR == up.spent_micros(run)


def test_a_declined_charge_and_a_bad_request_give_back(up: RuncapUp, fakes: FakeVendors) -> None:
    """A 400 never executed and gives its amount back; a declined intent stays counted until it is cancelled."""
    run = up.issue("declined", daily_usd="10")
    with Caller(up, run) as caller:
        assert 400 == caller.charge(100, payment_method="").status
        assert 0 == up.spent_micros(run)
        declined = caller.charge(100, payment_method="pm_card_chargeDeclined")
        assert 402 == declined.status
        assert _DOLLAR == up.spent_micros(run)
        intent_id = declined.json["error"]["payment_intent"]["id"]
        assert 200 == caller.post(f"/v1/payment_intents/{intent_id}/cancel").status
        assert 0 == up.spent_micros(run)


def _race_and_kill(up: RuncapUp, run: IssuedRun, fakes: FakeVendors, kill: Callable[[RuncapUp], None]) -> Race:
    """Calls of a dollar, eight side by side, and the kill when a few are through and a few under way."""
    mark = fakes.journal.mark()
    fakes.fault(Fault("stripe", path="/v1/payment_intents", delay_seconds=0.1, times=10_000))
    try:
        with Racers([up.agent_env(run)], cents=100, calls=_CALLS, side_by_side=8) as racers:
            racers.go()
            wait_until("a few calls", lambda: len(fakes.journal.entries(mark)) >= 12)
            kill(up)
            return racers.finish()
    finally:
        fakes.clear_faults()


def _wait_for_service(up: RuncapUp) -> None:
    """Until both workers answer again: a free call, on several connections in a row."""
    run = up.issue("probe", daily_usd="1")

    def answers() -> bool:
        try:
            with Caller(up, run) as caller:
                return caller.get("/v1/balance").status == 200
        except OSError:
            return False

    wait_until("runcap to answer again", lambda: all(answers() for _ in range(6)))


def _rows_once_swept(up: RuncapUp, runs: list[IssuedRun], seen: int) -> list[dict[str, Any]]:
    """The forwarded calls' audit rows, once there are as many as the vendor saw and none is open any more."""
    names = ", ".join("?" for _ in runs)
    sql = f"select * from calls where decision = 'allowed' and run_id in ({names})"  # noqa: S608 (question marks)

    def look() -> list[dict[str, Any]] | None:
        rows = up.audit(sql, *(run.run_id for run in runs))
        spent = sum(up.spent_micros(run) for run in runs)
        settled = sum(row["settled_micros"] or 0 for row in rows)
        time.sleep(0.5)
        return rows if len(rows) >= seen and spent == settled else None

    rows = wait_until("the sweeper to end what was left open", look, seconds=60)
    assert rows is not None
    return rows
