"""kill -9 of a worker, of the auditor and of the ledger at every step of a call: nothing free, nothing lost or double.

Points are armed one at a time (`runcap.failpoints`), so each death is at exactly the step that it is named for.
"""

import http.client
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from runcap.failpoints import VARIABLE
from runcap.ledger.embedded import EmbeddedLedger
from runcap.ledger.server import is_alive
from tests.e2e.client import Caller, Reply
from tests.e2e.harness import IssuedRun, RuncapUp
from tests.e2e.waiting import wait_until
from tests.fakes import FakeVendors

_DOLLAR = 1_000_000

AUDITOR_STEPS = (
    "audit_after_read", "audit_before_commit", "audit_after_commit", "audit_after_anchor", "audit_after_trim",
)  # fmt: skip


class ArmedUp(RuncapUp):
    """A `runcap up` with one worker, whose processes die where they are told, and where a call is swept soon."""

    def __init__(self, folder: Path, fakes: FakeVendors) -> None:
        super().__init__(folder, fakes, workers=1, vendor_timeout_seconds=1)
        self.points = folder / "points"
        self.points.mkdir()
        text = self.config_file.read_text(encoding="utf-8").replace("grace_seconds = 5", "grace_seconds = 2")
        self.config_file.write_text(text, encoding="utf-8")

    def arm(self, point: str) -> None:
        """Let whoever comes by next die there, or with ``.stop`` stand still."""
        (self.points / point).touch()

    def await_fired(self, point: str) -> None:
        """Wait until somebody has come by."""
        wait_until(f"{point} to fire", lambda: not (self.points / point).exists())

    def _environment(self) -> dict[str, str]:
        return {**super()._environment(), VARIABLE: str(self.points)}


@pytest.fixture(scope="module")
def armed(tmp_path_factory: pytest.TempPathFactory, session_fakes: FakeVendors) -> Iterator[ArmedUp]:
    with ArmedUp(tmp_path_factory.mktemp("armed"), session_fakes) as running:
        yield running


def test_a_worker_dies_at_each_step(armed: ArmedUp, fakes: FakeVendors) -> None:
    """Before the reservation nothing counts; from then on the call counts as spent, once, whatever the vendor saw."""
    expected = {
        # step: micros that the vendor moved, micros that count at the end, outcome in the audit
        "before_reserve": (0, 0, None),
        "after_reserve": (0, _DOLLAR, "unknown"),
        "after_send": (_DOLLAR, _DOLLAR, "unknown"),
        "after_finish": (_DOLLAR, _DOLLAR, "settled"),
    }
    runs: dict[str, IssuedRun] = {}
    for step, (moved, counted, _) in expected.items():
        mark = fakes.journal.mark()
        runs[step] = armed.issue(f"worker-{step}", daily_usd="10")
        armed.arm(step)
        _charge(armed, runs[step])
        armed.await_fired(step)
        _await_worker(armed)
        assert (step, moved, counted) == (step, fakes.journal.moved(mark) * 10_000, armed.spent_micros(runs[step]))
    for step, (_, counted, outcome) in expected.items():
        rows = armed.calls(runs[step], 1 if outcome else 0)
        assert (step, [(outcome, counted)] if outcome else []) == (
            step, [(row["outcome"], row["settled_micros"]) for row in rows],
        )  # fmt: skip
        assert (step, counted) == (step, armed.spent_micros(runs[step]))
    _assert_in_order(armed)


def test_the_auditor_dies_at_each_step(armed: ArmedUp, fakes: FakeVendors) -> None:
    """Each call becomes a row exactly once, wherever in its round the auditor is killed."""
    for step in AUDITOR_STEPS:
        run = armed.issue(f"auditor-{step}", daily_usd="10")
        armed.arm(step)
        statuses = [reply.status for reply in (_charge(armed, run), _charge(armed, run)) if reply is not None]
        armed.await_fired(step)
        assert (step, [200, 200]) == (step, statuses)
        rows = armed.calls(run, 2)
        assert (step, [_DOLLAR, _DOLLAR]) == (step, [row["settled_micros"] for row in rows])
    _assert_in_order(armed)


@pytest.mark.parametrize("step", ["before_reserve", "after_reserve", "after_send"])
def test_the_ledger_dies_at_each_step(armed: ArmedUp, fakes: FakeVendors, step: str) -> None:
    """A worker stands still at a step while the ledger is killed and comes back: what was sent counts, once.

    What had not been reserved may be refused, since a ledger that was started again is compared with the audit first.
    """
    mark = fakes.journal.mark()
    run = armed.issue(f"ledger-{step}", daily_usd="10")
    [worker] = armed.processes.workers()
    armed.arm(f"{step}.stop")
    with ThreadPoolExecutor(1) as agent:
        charging = agent.submit(_charge, armed, run)
        armed.await_fired(f"{step}.stop")
        try:
            wait_until("the worker to stand still", lambda: _state(worker) == "T")
            dead = armed.processes.ledger()
            os.kill(dead, signal.SIGKILL)
            wait_until("another ledger", lambda: armed.processes.alive("-server") not in ([], [dead]))
            wait_until("its answer", lambda: is_alive(Path(EmbeddedLedger(armed.home).url.removeprefix("unix://"))))
        finally:
            os.kill(worker, signal.SIGCONT)
        reply = charging.result()
    assert reply is not None
    if step == "before_reserve" and reply.status == 503:
        assert ("ledger_untrusted", 0, 0) == (reply.code, fakes.journal.moved(mark), armed.spent_micros(run))
    else:
        assert 200 == reply.status
        [row] = armed.calls(run, 1)
        assert ("settled", _DOLLAR) == (row["outcome"], row["settled_micros"])
        assert (_DOLLAR, _DOLLAR) == (fakes.journal.moved(mark) * 10_000, armed.spent_micros(run))
    _await_worker(armed)
    _assert_in_order(armed)


def _charge(up: RuncapUp, run: IssuedRun) -> Reply | None:
    """A dollar; None if the connection broke, as it does when the worker dies."""
    with Caller(up, run) as caller, suppress(http.client.HTTPException, OSError):
        return caller.charge(100)
    return None


def _await_worker(up: RuncapUp) -> None:
    """Until there is a worker that answers again."""
    run = up.issue("probe", daily_usd="1")

    def answers() -> bool:
        with Caller(up, run) as caller, suppress(http.client.HTTPException, OSError):
            return caller.get("/v1/balance").status == 200
        return False

    wait_until("a worker that answers", answers)


def _state(pid: int) -> str:
    """One letter, as ps shows it."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]


def _assert_in_order(up: RuncapUp) -> None:
    """The chain is whole up to the ledger's anchor, and what is held adds up."""
    for command in (("audit", "verify"), ("ledger", "check")):
        code, printed = up.cli(*command)
        assert (command, 0) == (command, code), printed
