"""Two calls at once under one idempotency key: the second waits for the first, and then repeats it.

An SDK whose connection was cut tries again while its first request may still be on its way. Refused, it would report a
failure of what has perhaps succeeded, and its user would do it once more under another key. So the second waits until
the first has ended; then it is a retry like any other: it counts nothing, and the vendor answers it from memory.
"""

import asyncio
import time
from contextlib import suppress
from typing import Protocol

from msgspec.structs import replace

from runcap.ledger.model import Ask, Held, UnderWay

_FIRST_PAUSE_SECONDS = 0.005
"""Short, since the end of a first call that has been answered may be just on its way."""
_LONGEST_PAUSE_SECONDS = 0.5


class Holder(Protocol):
    """What is asked of the ledger (`runcap.ledger.ledger.Ledger`)."""

    async def reserve(self, ask: Ask) -> Held:
        """Hold the quote; `UnderWay` if the ask waits for a first call and that has not ended."""


async def hold(ledger: Holder, ask: Ask, longest_seconds: float) -> tuple[Held, float]:
    """Hold a quote, behind a first call under the same idempotency key if there is one under way.

    Args:
        ledger: reserves.
        ask: what is to be held; it says whether it waits.
        longest_seconds: how long to wait for the first call: as long as it may take.

    Returns:
        The reservation, and how many seconds were spent waiting.

    Raises:
        Refused: as the ledger does; ``idempotency_in_progress`` if the first call has not ended in time.
    """
    try:
        return await ledger.reserve(ask), 0.0
    except UnderWay:
        began, pause = time.monotonic(), _FIRST_PAUSE_SECONDS
    while True:
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        if time.monotonic() - began > longest_seconds:
            ask = replace(ask, waits=False)
        with suppress(UnderWay):
            return await ledger.reserve(ask), time.monotonic() - began
