"""How the ends of calls reach the ledger, and who waits for them."""

import asyncio

import pytest
from msgspec.structs import replace

from runcap.decision import Code, refuse
from runcap.endings import Endings
from runcap.ledger.model import End, Ended, Held
from runcap.vendors.base import Ending, Quote

HELD = Held("r1", "run-1", "label", 5, 7, 3)
QUOTE = Quote(5)


class SlowLedger:
    """Finishes when it is let; remembers in which order."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.ended: list[str] = []
        self.patience: list[bool] = []
        self.failures = 0
        self.already = False

    async def finish(self, end: End, *, patient: bool = False) -> Ended:
        """Wait for the gate."""
        self.patience.append(patient)
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise refuse(Code.LEDGER_UNAVAILABLE, "away")
        self.ended.append(end.reservation_id)
        return Ended(0, 7, already=self.already)


@pytest.fixture
def ledger() -> SlowLedger:
    return SlowLedger()


@pytest.fixture
def endings(ledger: SlowLedger) -> Endings:
    return Endings(ledger, give_up_seconds=5)


async def drained(endings: Endings, ledger: SlowLedger) -> None:
    ledger.gate.set()
    while endings.under_way:
        await asyncio.wait(set(endings.under_way))


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(End("r1", Ending.SETTLED), id="at the quote"),
        pytest.param(End("r1", Ending.SETTLED, micros=5, object_id="pi_1"), id="for an object, at the quote"),
        pytest.param(End("r1", Ending.UNKNOWN), id="unknown"),
    ],
)
async def test_nobody_waits_for_what_stays_counted(endings: Endings, ledger: SlowLedger, end: End) -> None:
    """An ending that gives nothing back goes out behind the answer, and arrives."""
    assert await endings.settle(end, QUOTE, HELD) is None
    assert [] == ledger.ended

    await drained(endings, ledger)
    assert ["r1"] == ledger.ended
    assert [True] == ledger.patience


async def test_an_end_that_makes_room_is_not_kept_back(endings: Endings, ledger: SlowLedger) -> None:
    """Where the run's policy bounds how many calls are under way, the next one may come as soon as this is answered."""
    assert await endings.settle(End("r1", Ending.SETTLED), QUOTE, replace(HELD, ends_matter=True)) is None

    await drained(endings, ledger)
    assert [False] == ledger.patience


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(End("r1", Ending.RELEASED), id="released"),
        pytest.param(End("r1", Ending.SETTLED, micros=2), id="less than the quote"),
        pytest.param(End("r1", Ending.SETTLED, micros=0, object_id="pi_1", final=True), id="cancelled"),
    ],
)
async def test_money_that_comes_back_is_there_before_the_answer(endings: Endings, ledger: SlowLedger, end: End) -> None:
    """The next call of the agent may need what this one gives back."""
    ledger.gate.set()

    assert Ended(0, 7) == await endings.settle(end, QUOTE, HELD)
    assert [False] == ledger.patience
    assert ["r1"] == ledger.ended


async def test_a_call_on_an_object_waits_for_what_is_counted_for_it(endings: Endings, ledger: SlowLedger) -> None:
    """Create, then confirm at once: the confirm does not hold the amount a second time."""
    await endings.settle(End("r1", Ending.SETTLED, object_id="pi_1"), QUOTE, HELD)
    waiting = asyncio.create_task(endings.of_object("pi_1"))
    await asyncio.wait_for(endings.of_object("pi_2"), 1)
    await asyncio.wait_for(endings.of_object(None), 1)
    await asyncio.sleep(0)
    assert not waiting.done()

    ledger.gate.set()
    await waiting
    assert ["r1"] == ledger.ended
    await asyncio.wait_for(endings.of_object("pi_1"), 1)


async def test_an_ending_is_tried_until_the_ledger_is_back(endings: Endings, ledger: SlowLedger) -> None:
    """A ledger that is away gets it later, once."""
    ledger.failures = 2
    ledger.gate.set()

    assert Ended(0, 7) == await endings.wait(endings.begin(End("r1", Ending.RELEASED)))
    assert ["r1"] == ledger.ended


async def test_an_ending_that_had_arrived_before_tells_no_figures(endings: Endings, ledger: SlowLedger) -> None:
    """Its first answer was lost; what the second says of amounts is nothing."""
    ledger.already = True
    ledger.gate.set()

    assert await endings.settle(End("r1", Ending.RELEASED), QUOTE, HELD) is None


async def test_an_ending_is_given_up_when_the_sweeper_has_it(caplog: pytest.LogCaptureFixture) -> None:
    """Beyond the reservation's life there is nothing left to end."""
    ledger = SlowLedger()
    ledger.failures = 1000
    ledger.gate.set()
    endings = Endings(ledger, give_up_seconds=0)

    assert await endings.wait(endings.begin(End("r1", Ending.SETTLED))) is None
    assert "swept as spent" in caplog.text
