"""The reconciler: asks vendors for prices that come later, and settles the difference in the ledger.

Twilio answers a message or a call before it knows what it costs, so these settle at their quote, which is the most
they can cost. The audit's rows say what was made; each is asked for, a few times over two days, until the vendor has a
price, and the difference goes to the very buckets where the call was counted (scripts/adjust.lua), with an admin row
``adjusted``.

It keeps no state of its own. What is still open follows from the audit: rows younger than the last question that have
no ``adjusted`` row. The ledger adjusts each resource once, whoever asks, so that a crash between two steps, or two of
these on one audit, cost a GET and nothing else.
"""

import asyncio
import heapq
import json
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from runcap.audit.reading import open_readonly
from runcap.audit.schema import AuditFileError
from runcap.decision import Refused
from runcap.ledger.adjustments import Adjustment

logger = logging.getLogger(__name__)

ACTOR = "reconciler"
PER_MINUTE = 60
"""Questions: far fewer than what Twilio answers with 429 for (twilio.com/docs/api/errors/20429)."""
_POLL_SECONDS = 5.0
_RETRY_SECONDS = 60
"""Until the ledger is asked again after it could not be reached."""
_PENDING_LIMIT = 100_000
"""Rows in memory at most; those behind them wait in the audit."""
_BATCH = 1_000
_QUESTIONS_AT_ONCE = 60
"""Before the audit is looked at again."""

type Ask = Callable[[str], Awaitable[dict[str, Any] | None]]
"""GETs a path with the vendor's real secret: the JSON object, or None if there was none."""


class LateVendor(Protocol):
    """A vendor whose prices come later (`runcap.vendors.twilio.late.LatePrices`)."""

    name: str

    def path(self, operation: str, resource: str) -> str | None:
        """Where to ask for what a call has made; None: never."""

    def read(self, operation: str, found: Mapping[str, Any]) -> tuple[int | None, str]:
        """What it cost in micros, or None for not known yet; and what the vendor said, for people."""

    def next_question_seconds(self, asked: int) -> int | None:
        """How long after the call to ask if it was asked `asked` times; None: never again."""


class AdjustingLedger(Protocol):
    """What the reconciler asks of the ledger (`runcap.ledger.ledger.Ledger`)."""

    async def adjust(self, adjustment: Adjustment, actor: str) -> bool:
        """Move what was spent; raises `Refused` if that cannot be done now."""


@dataclass(frozen=True, slots=True, order=True)
class _Open:
    """A call whose price is not known yet. In order of when to ask."""

    due: float
    """Seconds since 1970."""
    seq: int
    asked: int
    """How often, the question that is due included."""
    called: float
    run_id: str
    operation: str
    resource: str
    path: str
    day: str
    settled_micros: int


class Reconciler:
    """Reconciles one vendor's calls of one audit."""

    def __init__(
        self, ledger: AdjustingLedger, audit: Path, vendor: LateVendor, ask: Ask, *, per_minute: int = PER_MINUTE
    ) -> None:
        """Prepare; nothing is read before `run`.

        Args:
            ledger: where differences are settled.
            audit: the SQLite file.
            vendor: which resources to ask for, and what they say.
            ask: makes the GET.
            per_minute: how many questions at the most.
        """
        self._ledger = ledger
        self._audit = audit
        self._vendor = vendor
        self._ask = ask
        self._pause_seconds = 60 / per_minute
        self._open: list[_Open] = []
        self._last_seq: int | None = None
        """The last audit row that has been looked at; None: none yet."""

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            await self.step(time.time())
            await asyncio.sleep(_POLL_SECONDS)

    async def step(self, now: float) -> None:
        """Look for new rows, and ask what is due at `now` (seconds since 1970)."""
        try:
            self._open += await asyncio.to_thread(self._read_new, now)
        except (AuditFileError, sqlite3.Error) as error:
            logger.warning("the audit cannot be read for prices that come later: %s", error)
        heapq.heapify(self._open)
        for _ in range(_QUESTIONS_AT_ONCE):
            if not self._open or self._open[0].due > now:
                return
            call = heapq.heappop(self._open)
            again = await self._question(call, now)
            if again is not None:
                heapq.heappush(self._open, again)
            await asyncio.sleep(self._pause_seconds)

    async def _question(self, call: _Open, now: float) -> _Open | None:
        """Ask for one; returns when to ask again, or None if it is done with."""
        found = await self._ask(call.path)
        actual, said = (None, "") if found is None else self._vendor.read(call.operation, found)
        if actual is None:
            return self._next(call)
        difference = actual - call.settled_micros
        if not difference:
            return None
        adjustment = Adjustment(call.run_id, self._vendor.name, call.resource, call.day, difference, said)
        try:
            await self._ledger.adjust(adjustment, ACTOR)
        except Refused as refused:
            logger.warning("a price could not be settled yet: %s", refused)
            return replace(call, due=now + _RETRY_SECONDS)
        return None

    def _read_new(self, now: float) -> list[_Open]:
        """The audit's calls since the last look that may have a price later."""
        if not self._audit.exists():
            return []
        found: list[_Open] = []
        with closing(open_readonly(self._audit)) as db:
            oldest = _iso(now - _last_question_seconds(self._vendor))
            done: set[str] = set()
            if self._last_seq is None:
                self._last_seq = 0
                done = _adjusted_since(db, self._vendor.name, oldest)
            while len(self._open) + len(found) < _PENDING_LIMIT:
                rows = _calls(db, self._vendor.name, self._last_seq, oldest)
                if not rows:
                    break
                self._last_seq = rows[-1][0]
                calls = (self._from_row(row, now) for row in rows)
                found += [call for call in calls if call is not None and call.resource not in done]
        return found

    def _from_row(self, row: tuple[Any, ...], now: float) -> _Open | None:
        seq, at, run_id, operation, resource, settled_micros = row
        path = self._vendor.path(operation, resource)
        if path is None or run_id is None:
            return None
        called = datetime.fromisoformat(at).timestamp()
        # Questions whose time has passed while nobody asked are one question now.
        missed = 0
        while (after := self._vendor.next_question_seconds(missed)) is not None and called + after <= now:
            missed += 1
        due = now if missed else called + (after or 0)
        return _Open(due, seq, max(1, missed), called, run_id, operation, resource, path, at[:10], settled_micros)

    def _next(self, call: _Open) -> _Open | None:
        after = self._vendor.next_question_seconds(call.asked)
        if after is None:
            logger.info("%s has told no price of %s; it stays at its quote", self._vendor.name, call.resource)
            return None
        return replace(call, due=call.called + after, asked=call.asked + 1)


def _calls(db: sqlite3.Connection, vendor: str, after: int, oldest: str) -> list[tuple[Any, ...]]:
    query = """
        SELECT seq, at, run_id, operation, vendor_request_id, settled_micros FROM calls
        WHERE seq > ? AND vendor = ? AND at >= ? AND decision = 'allowed' AND outcome = 'settled'
            AND status BETWEEN 200 AND 299 AND vendor_request_id IS NOT NULL AND operation IS NOT NULL
        ORDER BY seq LIMIT ?
    """
    return db.execute(query, (after, vendor, oldest, _BATCH)).fetchall()


def _adjusted_since(db: sqlite3.Connection, vendor: str, oldest: str) -> set[str]:
    rows = db.execute("SELECT detail FROM admin WHERE action = 'adjusted' AND at >= ?", (oldest,))
    details = (json.loads(detail) for (detail,) in rows)
    return {detail["resource"] for detail in details if detail["vendor"] == vendor}


def _last_question_seconds(vendor: LateVendor) -> int:
    """Past the last question by a day: a reconciler that was away so long still asks once."""
    asked, last = 0, 0
    while (after := vendor.next_question_seconds(asked)) is not None:
        asked, last = asked + 1, after
    return last + 86_400


def _iso(seconds: float) -> str:
    """As the audit writes it, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
