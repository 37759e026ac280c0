"""Prices that come later: when they are asked for, what is settled, and what a new start does not do twice."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from runcap.audit.reconciler import ACTOR, Reconciler
from runcap.audit.store import Store
from runcap.decision import Code, refuse
from runcap.ledger.adjustments import Adjustment
from tests.audit.stream import FIRST_MS, Entry, admin, call

SEND = "POST /Messages.json"
NOW = FIRST_MS / 1000
QUESTIONS = (60, 300, 86_400)


class Later:
    """A vendor with one operation whose price comes later."""

    name = "twilio"

    def path(self, operation: str, resource: str) -> str | None:
        return f"/{resource}" if operation == SEND and resource.startswith("SM") else None

    def read(self, operation: str, found: Mapping[str, Any]) -> tuple[int | None, str]:
        assert SEND == operation
        return found.get("micros"), f"it is {found.get('micros')}"

    def next_question_seconds(self, asked: int) -> int | None:
        return QUESTIONS[asked] if asked < len(QUESTIONS) else None


class Stage:
    """A reconciler with its neighbours."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[str] = []
        self.known: dict[str, int | None] = {}
        self.adjusted: list[Adjustment] = []
        self.away = 0
        self.reconciler = self.anew()

    def anew(self) -> Reconciler:
        """As after a new start."""
        self.reconciler = Reconciler(self, self.path, Later(), self.ask, per_minute=60_000)
        return self.reconciler

    async def ask(self, path: str) -> dict[str, Any] | None:
        self.asked.append(path)
        return {"micros": self.known[path]} if path in self.known else None

    async def adjust(self, adjustment: Adjustment, actor: str) -> bool:
        assert ACTOR == actor
        if self.away:
            self.away -= 1
            raise refuse(Code.LEDGER_UNAVAILABLE, "away")
        self.adjusted.append(adjustment)
        return True

    def write(self, *entries: Entry) -> None:
        store = Store(self.path)
        store.open()
        store.append(list(entries))
        store.close()

    async def at(self, seconds: float) -> list[str]:
        """What is asked if it looks so long after the first call."""
        del self.asked[:]
        await self.reconciler.step(NOW + seconds)
        return list(self.asked)


def message(number: int, resource: str = "SM1", **flat: str) -> Entry:
    """The entry of a message; number 0 is of `NOW`."""
    row = {"vendor": "twilio", "operation": SEND, "cost_micros": 9_000, "currency": None}
    end = {"status": 201, "vendor_request_id": resource}
    return call(number, row=row, end=end, **{"settled_micros": "9000", **flat})


@pytest.fixture
def stage(path: Path) -> Stage:
    return Stage(path)


async def test_a_price_is_asked_for_until_it_is_known(stage: Stage) -> None:
    """A minute after the call, then less and less often; the difference is settled on the day of the call."""
    stage.write(message(0))
    assert [] == await stage.at(59)
    assert ["/SM1"] == await stage.at(61)
    assert [] == await stage.at(299)
    stage.known["/SM1"] = None
    assert ["/SM1"] == await stage.at(301)
    stage.known["/SM1"] = 8_300
    assert [] == await stage.at(86_399)
    assert ["/SM1"] == await stage.at(86_401)
    assert [Adjustment("01JDRUN", "twilio", "SM1", "2026-11-24", -700, "it is 8300")] == stage.adjusted
    assert [] == await stage.at(200_000)


async def test_a_price_that_never_comes_is_given_up(stage: Stage) -> None:
    """After the last question the call stays at its quote."""
    stage.write(message(0))
    assert [1, 1, 1, 0] == [len(await stage.at(seconds)) for seconds in (61, 301, 86_401, 300_000)]
    assert [] == stage.adjusted


async def test_a_price_as_quoted_needs_no_row(stage: Stage) -> None:
    """There is no difference to settle, and nothing more to ask."""
    stage.write(message(0))
    stage.known["/SM1"] = 9_000
    assert ["/SM1"] == await stage.at(61)
    assert [] == await stage.at(86_401)
    assert [] == stage.adjusted


async def test_new_rows_are_found(stage: Stage) -> None:
    """While it runs, whether there was an audit at its start or not."""
    assert [] == await stage.at(0)
    stage.write(message(0))
    assert ["/SM1"] == await stage.at(61)
    stage.write(message(1, "SM2"))
    assert ["/SM2"] == await stage.at(62)


async def test_only_what_can_have_a_price_later_is_asked_for(stage: Stage) -> None:
    """Not what was blocked, released, unknown or turned down, nor another vendor's, nor what made nothing."""
    stage.write(
        message(0, outcome="released", settled_micros="0"),
        message(1, outcome="unknown"),
        message(2, "RQ1"),
        message(3, decision="blocked", code="cap_exhausted", outcome="", settled_micros=""),
        call(4),
        call(5, row={"vendor": "twilio", "operation": SEND}, end={"status": 400, "vendor_request_id": "SM9"}),
        admin(6),
    )
    assert [] == await stage.at(61)


async def test_a_new_start_goes_on_from_the_audit(stage: Stage) -> None:
    """What has its `adjusted` row is done; questions whose time passed meanwhile are one now; the old is left alone."""
    stage.write(
        message(0),
        message(1, "SM2"),
        admin(2, "adjusted", detail='{"vendor": "twilio", "resource": "SM1", "day": "2026-11-24", "micros": -700}'),
        admin(3, "adjusted", detail='{"vendor": "other", "resource": "SM2", "day": "2026-11-24", "micros": -700}'),
    )
    stage.anew()
    assert ["/SM2"] == await stage.at(400)
    assert [] == await stage.at(401)
    stage.anew()
    assert ["/SM2"] == await stage.at(100_000)
    stage.anew()
    assert [] == await stage.at(86_400 * 3)


async def test_a_ledger_that_is_away_is_asked_again(stage: Stage) -> None:
    """A minute later, with the vendor's word of then."""
    stage.write(message(0))
    stage.known["/SM1"], stage.away = 8_300, 1
    await stage.at(61)
    assert [] == stage.adjusted
    assert [] == await stage.at(100)
    stage.known["/SM1"] = 8_299
    assert ["/SM1"] == await stage.at(122)
    assert [-701] == [adjustment.micros for adjustment in stage.adjusted]


async def test_questions_are_bounded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many before the audit is looked at again, with a pause after each."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("runcap.audit.reconciler.asyncio.sleep", sleep)
    stage.write(*(message(number, f"SM{number}") for number in range(70)))
    assert 60 == len(await stage.at(61))
    assert [0.001] * 60 == pauses
    assert 10 == len(await stage.at(61))


async def test_an_audit_that_cannot_be_read_is_waited_for(stage: Stage) -> None:
    """What is written there meanwhile is asked for later."""
    stage.path.write_bytes(b"no database at all, but long enough to be looked at" * 20)
    assert [] == await stage.at(61)
    stage.path.unlink()
    stage.write(message(0))
    assert ["/SM1"] == await stage.at(61)
