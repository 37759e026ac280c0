"""The audit rows of what was refused, kept from becoming a weapon: whoever has no key cannot fill the audit.

A refused call of a known run always gets its row. One that nobody can be charged with (an unknown key, bytes that are
no request) gets its row too, up to so many a minute of its kind in one worker; beyond, such refusals are counted, and
the minute ends with one row for all of them, with their number as ``repeated`` in its extra fields. A worker that is
killed takes the count of its last minute with it.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any, Protocol

from runcap.decision import Code, Deny, Refused

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 60.0
KEYS_PER_WINDOW = 20
"""Rows for unknown keys: an agent with a wrong key shows in the first few."""
OTHERS_PER_WINDOW = 600
"""Rows for each other kind."""


class Recorder(Protocol):
    """What is asked of the ledger (`runcap.ledger.ledger.Ledger`)."""

    async def record(
        self, row: dict[str, Any], deny: Deny, digest: str | None, *, strangers: bool = True
    ) -> tuple[str, str] | None:
        """Write the row, with `strangers` false only if a run has that key; returns its id and label."""


@dataclass(slots=True)
class _Window:
    """One kind of refusal in the minute that runs."""

    limit: int
    ends: float = 0.0
    written: int = 0
    held_back: int = 0
    row: asyncio.Task[None] | None = None
    """Writes the row for those that were held back, when the minute is over."""


class Refusals:
    """Writes the rows of one worker."""

    def __init__(self, ledger: Recorder, *, window_seconds: float = WINDOW_SECONDS) -> None:
        self._ledger = ledger
        self._window_seconds = window_seconds
        self._windows: dict[Code, _Window] = {}

    async def write(self, row: dict[str, Any], deny: Deny, digest: str | None) -> tuple[str, str] | None:
        """Write a refusal's row, or count it.

        Returns:
            run_id and label of the run whose key it was, or None.

        Raises:
            Refused: the row could not be written.
        """
        window = self._window(deny.code)
        if window.written < window.limit:
            window.written += 1  # before the ledger is asked: many may come at once
            known = await self._ledger.record(row, deny, digest)
            if known is not None:
                window.written -= 1
            return known
        known = None if digest is None else await self._ledger.record(row, deny, digest, strangers=False)
        if known is None:
            self._hold_back(deny, window)
        return known

    async def flush(self) -> None:
        """Write what is counted so far."""
        for code, window in self._windows.items():
            if window.row is not None:
                window.row.cancel()
                window.row = None
            await self._write_held_back(code, window)

    def _window(self, code: Code) -> _Window:
        window = self._windows.get(code)
        if window is None:
            limit = KEYS_PER_WINDOW if code is Code.KEY_UNKNOWN else OTHERS_PER_WINDOW
            window = self._windows[code] = _Window(limit)
        now = time.monotonic()
        if now >= window.ends:
            window.ends = now + self._window_seconds
            window.written = 0
        return window

    def _hold_back(self, deny: Deny, window: _Window) -> None:
        window.held_back += 1
        if window.row is None:
            logger.warning("too many refusals (%s) of nobody's calls: they are audited together", deny.code)
            window.row = asyncio.create_task(self._write_later(deny.code, window))

    async def _write_later(self, code: Code, window: _Window) -> None:
        await asyncio.sleep(window.ends - time.monotonic())
        window.row = None
        await self._write_held_back(code, window)

    async def _write_held_back(self, code: Code, window: _Window) -> None:
        count, window.held_back = window.held_back, 0
        if not count:
            return
        deny = Deny(code, "Refused together with others.")
        row = {"vendor": None, "method": "", "path": "", "status": deny.status, "repeated": count}
        try:
            await self._ledger.record(row, deny, None)
        except Refused as unavailable:
            window.held_back += count
            logger.warning("%d refusals (%s) could not be audited yet: %s", count, code, unavailable)
