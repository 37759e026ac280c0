"""Rows of refusals: a run's always, nobody's up to a number."""

import asyncio
from typing import Any

import pytest

from runcap.decision import Code, Deny, refuse
from runcap.refusals import KEYS_PER_WINDOW, OTHERS_PER_WINDOW, Refusals

UNKNOWN = Deny(Code.KEY_UNKNOWN, "unknown")
MALFORMED = Deny(Code.MALFORMED, "malformed")
RUN = ("01RUN", "billing")


class FakeLedger:
    """Knows one key; remembers the rows that it wrote."""

    def __init__(self) -> None:
        self.rows: list[tuple[Code, dict[str, Any]]] = []
        self.away = False

    async def record(
        self, row: dict[str, Any], deny: Deny, digest: str | None, *, strangers: bool = True
    ) -> tuple[str, str] | None:
        await asyncio.sleep(0)
        if self.away:
            raise refuse(Code.LEDGER_UNAVAILABLE, "away")
        known = RUN if digest == "known" else None
        if strangers or known:
            self.rows.append((deny.code, row))
        return known


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


async def flood(refusals: Refusals, deny: Deny, count: int, digest: str | None = None) -> None:
    await asyncio.gather(*(refusals.write({"n": number}, deny, digest) for number in range(count)))


async def test_unknown_keys_beyond_the_limit_are_one_row(ledger: FakeLedger) -> None:
    """Twenty rows, then one that tells the number of the others."""
    refusals = Refusals(ledger)
    await flood(refusals, UNKNOWN, 500, "digest")
    assert KEYS_PER_WINDOW == len(ledger.rows)
    await refusals.flush()
    expected = {"vendor": None, "method": "", "path": "", "status": 401, "repeated": 500 - KEYS_PER_WINDOW}
    assert (Code.KEY_UNKNOWN, expected) == ledger.rows[-1]
    await refusals.flush()
    assert KEYS_PER_WINDOW + 1 == len(ledger.rows)


async def test_a_known_run_gets_every_row(ledger: FakeLedger) -> None:
    """However many they are, and however many of nobody's there have been before."""
    refusals = Refusals(ledger)
    await flood(refusals, MALFORMED, OTHERS_PER_WINDOW + 5)
    ledger.rows.clear()
    assert [RUN] * 700 == [await refusals.write({}, MALFORMED, "known") for _ in range(700)]
    assert 700 == len(ledger.rows)


async def test_each_code_has_a_number_of_its_own(ledger: FakeLedger) -> None:
    """A flood of bad keys hides no other refusals."""
    refusals = Refusals(ledger)
    await flood(refusals, UNKNOWN, KEYS_PER_WINDOW + 1)
    await refusals.write({}, MALFORMED, None)
    assert Code.MALFORMED is ledger.rows[-1][0]
    await refusals.flush()


async def test_a_minute_ends_with_its_row(ledger: FakeLedger) -> None:
    """Without anybody asking; the next minute has its own number."""
    refusals = Refusals(ledger, window_seconds=0.05)
    await flood(refusals, UNKNOWN, KEYS_PER_WINDOW + 3)
    await asyncio.sleep(0.1)
    assert 3 == ledger.rows[-1][1]["repeated"]
    await flood(refusals, UNKNOWN, 2)
    assert KEYS_PER_WINDOW + 3 == len(ledger.rows)


async def test_a_count_survives_a_ledger_that_is_away(ledger: FakeLedger) -> None:
    """It is written when the ledger is back."""
    refusals = Refusals(ledger)
    await flood(refusals, UNKNOWN, KEYS_PER_WINDOW + 4)
    ledger.away = True
    await refusals.flush()
    ledger.away = False
    await refusals.flush()
    assert 4 == ledger.rows[-1][1]["repeated"]
