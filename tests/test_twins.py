"""A call waits for a first one under the same idempotency key, as long as that may take."""

import pytest

from runcap import twins
from runcap.decision import Code, Refused, refuse
from runcap.ledger.model import Ask, Held, UnderWay

ASK = Ask("r2", "d" * 64, "stripe", "POST /v1/things", 5, 1_000, {}, idempotency_digest="key", waits=True)


class Busy:
    """A ledger in which the first call ends after so many questions."""

    def __init__(self, questions: int) -> None:
        self.questions = questions
        self.asked: list[Ask] = []

    async def reserve(self, ask: Ask) -> Held:
        """Grant it, once the first call has ended."""
        self.asked.append(ask)
        if len(self.asked) > self.questions:
            return Held(ask.reservation_id, "run-1", "label", 0, 5, 3)
        if ask.waits:
            raise UnderWay
        raise refuse(Code.IDEMPOTENCY_IN_PROGRESS, "It has not ended.")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twins, "_FIRST_PAUSE_SECONDS", 0.001)


async def test_nothing_is_waited_for_without_a_first_call() -> None:
    """One question, no time."""
    ledger = Busy(0)

    held, waited = await twins.hold(ledger, ASK, 10)

    assert ("r2", 0.0, [ASK]) == (held.reservation_id, waited, ledger.asked)


async def test_the_second_call_is_held_when_the_first_has_ended() -> None:
    """With the very same reservation, and the time is told."""
    ledger = Busy(3)

    held, waited = await twins.hold(ledger, ASK, 10)

    assert "r2" == held.reservation_id
    assert [ASK] * 4 == ledger.asked
    assert waited > 0


async def test_a_first_call_that_does_not_end_is_a_refusal_at_last() -> None:
    """The last question waits no more, so that the ledger writes the row of the refusal."""
    ledger = Busy(1_000)

    with pytest.raises(Refused) as refused:
        await twins.hold(ledger, ASK, 0.01)

    assert Code.IDEMPOTENCY_IN_PROGRESS == refused.value.deny.code
    assert [False] == [ask.waits for ask in ledger.asked if not ask.waits]
    assert not ledger.asked[-1].waits
