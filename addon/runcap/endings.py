"""Bringing the ends of calls to the ledger: in the background, until it has them, and waited for where it matters.

A reservation that never ends is swept as spent, so an ending that is lost costs somebody money, never a cap its
meaning. So an ending is tried again while the ledger is away.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable
from typing import Any, Protocol

from runcap.decision import Refused
from runcap.failpoints import failpoint
from runcap.ledger.model import End, Ended, Held
from runcap.vendors.base import Ending, Quote

logger = logging.getLogger(__name__)

_WAIT_SECONDS = 2.0
"""How long an answer waits for its ending to be in the ledger; the ending itself goes on trying after that."""
_MAX_PAUSE_SECONDS = 2.0


class Finisher(Protocol):
    """What is asked of the ledger here (`runcap.ledger.ledger.Ledger`)."""

    def finish(self, end: End, *, patient: bool = False) -> Awaitable[Ended]:
        """End a reservation, once; a patient one may go with others, or just behind the next."""


class Endings:
    """The endings that are on their way to the ledger. One for a worker."""

    def __init__(self, ledger: Finisher, *, give_up_seconds: float) -> None:
        """Take the ledger, and how long to try: until the sweeper will have ended the reservation anyway."""
        self._ledger = ledger
        self._give_up_seconds = give_up_seconds
        self._objects: dict[str, asyncio.Task[Any]] = {}
        self.under_way: set[asyncio.Task[Any]] = set()
        """For who wants to end the process: these are not in the ledger yet."""

    def begin(self, end: End, *, patient: bool = False) -> asyncio.Task[Ended | None]:
        """Bring an ending to the ledger, in the background; a patient one comes there up to two milliseconds later."""
        task = asyncio.create_task(self._finish(end, patient=patient))
        self.under_way.add(task)
        task.add_done_callback(self.under_way.discard)
        if end.object_id is not None:
            self._remember(end.object_id, task)
        return task

    async def settle(self, end: End, quote: Quote, held: Held) -> Ended | None:
        """Bring an ending to the ledger; waited for where it gives money back, which the next call may need.

        Returns:
            What the ledger did; None if that was not waited for, did not come in time, or had come before.
        """
        as_held = end.ending is not Ending.RELEASED and end.micros in (None, quote.micros) and not end.final
        if as_held or (held.held_micros == 0 and not end.final):
            self.begin(end, patient=not held.ends_matter)
            return None
        ended = await self.wait(self.begin(end))
        return None if ended is None or ended.already else ended

    async def wait(self, finishing: asyncio.Task[Ended | None]) -> Ended | None:
        """Wait a moment for an ending to arrive."""
        done, _ = await asyncio.wait({finishing}, timeout=_WAIT_SECONDS)
        return finishing.result() if done else None

    async def of_object(self, object_id: str | None) -> None:
        """Wait for what is being counted for an object, or a call on it would hold that once more.

        A call that comes by another worker does not see it. It holds the amount once more for that moment, and counts
        nothing twice when it ends.
        """
        if object_id is not None and (counting := self._objects.get(object_id)) is not None:
            await self.wait(counting)

    def _remember(self, object_id: str, finishing: asyncio.Task[Any]) -> None:
        self._objects[object_id] = finishing

        def forget(task: asyncio.Task[Any]) -> None:
            if self._objects.get(object_id) is task:
                del self._objects[object_id]

        finishing.add_done_callback(forget)

    async def _finish(self, end: End, *, patient: bool) -> Ended | None:
        pause = 0.05
        until = time.monotonic() + self._give_up_seconds
        while True:
            try:
                ended = await self._ledger.finish(end, patient=patient)
            except Refused as refused:
                if time.monotonic() > until:
                    logger.error("a call's ending did not reach the ledger (%s): it will be swept as spent", refused)
                    return None
            else:
                failpoint("after_finish")
                return ended
            await asyncio.sleep(pause)
            pause = min(pause * 2, _MAX_PAUSE_SECONDS)
