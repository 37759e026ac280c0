"""The auditor: moves what the ledger's stream holds into the audit file, exactly once and in the stream's order.

One round is: read a batch, append it in one transaction, tell the ledger the new last row (its anchor), trim the
stream. A crash between any two of these repeats the round at most, and rows that are there already are skipped, so
nothing is lost and nothing stands twice. If ledger or file cannot be used, the rows wait in the stream (which the
ledger bounds: past its limit it refuses calls) and the round is tried again.

Before each round it looks whether the ledger is still the one that it knows. If not (its server was started again,
another took over, an older state was put back), it compares ledger and audit anew, and either vouches for the ledger,
or has it refuse all calls until it has been rebuilt, which it does itself where it has been told how.

It is also the sweeper: reservations past their deadline are ended as unknown, once a second.
"""

import asyncio
import logging
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import NoReturn

from runcap.audit.chain import Anchor
from runcap.audit.files import BEGUN, ROTATION
from runcap.audit.lease import Lease
from runcap.audit.lock import exclusive, lock_path
from runcap.audit.ports import AuditLedger
from runcap.audit.schema import AuditFileError
from runcap.audit.store import Store
from runcap.decision import Refused
from runcap.failpoints import failpoint
from runcap.ledger.restoring import LedgerState
from runcap.ledger.standing import Standing, compare, looking_at

logger = logging.getLogger(__name__)

_START = "0-0"
_BATCH = 1000
_BLOCK_MS = 250
"""How long a read waits for the next entry, and so how long the auditor takes to see that it shall stop."""
_GATHER_SECONDS = 0.05
"""Pause after a round that found little: one commit for what comes meanwhile, instead of one for each call."""
_SWEEP_SECONDS = 1.0
_SWEEP_LIMIT = 100
_STANDBY_SECONDS = 0.5
"""Between looks whether another host's auditor has gone."""
_LOOK_SECONDS = 0.1
"""Between looks at a ledger that must not be worked for yet."""
_BACKOFF_SECONDS = (0.1, 5.0)
"""First and longest pause before another try."""
_DRAIN_TRIES = 20


class Auditor:
    """The one that writes an audit file; a second one for the same file waits until the first has gone."""

    def __init__(
        self,
        ledger: AuditLedger,
        store: Store,
        *,
        batch: int = _BATCH,
        rebuild: Callable[[], Awaitable[object]] | None = None,
        unasked: bool = False,
    ) -> None:
        """Take the parts; `run` does the rest.

        Args:
            ledger: whose stream.
            store: the file, not open yet.
            batch: the most entries in one transaction.
            rebuild: makes a lost ledger whole from this very audit; None: nobody here can.
            unasked: rebuild as soon as it is needed, not only if an operator asks for it.
        """
        self._ledger = ledger
        self._store = store
        self._batch = batch
        self._rebuild = rebuild
        self._unasked = unasked
        self._after = _START
        self._lease = Lease(ledger, lock_path(store.path))
        store.may_commit = self._lease.lasts
        self._announced: Anchor | None = None
        """The row behind which the next file begins, once the stream says so."""
        self._known: tuple[str, str, str] | None = None
        """Epoch, server and anchor's hash of the ledger that was last found to hold all that the audit knows."""
        # One thread for all work on the file: SQLite never blocks the loop, and a close waits for a write under way.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._stopping = asyncio.Event()
        self._healthy: dict[str, bool] = {}
        self.ready = asyncio.Event()
        """Set once the file's lock is held and file and ledger agree on where the audit ends."""

    def stop(self) -> None:
        """Let `run` write what the stream holds, and return."""
        self._stopping.set()

    async def run(self) -> None:
        """Audit until `stop`, then drain.

        Raises:
            AuditFileError: the file is not the one that the ledger knows, or was replaced meanwhile.
            Refused, sqlite3.Error: at the end, the stream could not be emptied; what is left stays in it.
        """
        async with exclusive(lock_path(self._store.path), self._stopping) as held:
            if not held:
                return
            try:
                if await self._opened():
                    await self._work()
                    await self.drain()
            finally:
                await self._in_thread(self._store.close)
                self._thread.shutdown(wait=False)
                with suppress(Refused):
                    await self._lease.give_back()

    async def drain(self) -> None:
        """Write until the stream is empty. The file must be open, as it is while `run` runs."""
        for tries_left in reversed(range(_DRAIN_TRIES)):
            try:
                while await self._look() and await self._round(block_ms=0):
                    pass
            except (Refused, sqlite3.Error, OSError):
                if not tries_left:
                    raise
                await asyncio.sleep(_BACKOFF_SECONDS[0])
            else:
                return

    async def _opened(self) -> bool:
        """Open the file and compare it with the ledger, trying until that works; False: told to stop."""
        pause = _BACKOFF_SECONDS[0]
        while not self._stopping.is_set():
            try:
                if not await self._lease.hold():
                    await self._pause(_STANDBY_SECONDS)
                    continue
                await self._check_missing()
                await self._in_thread(self._store.open)
                await self._look()
            except (Refused, sqlite3.Error, OSError) as error:
                pause = await self._failed("audit", error, pause)
            else:
                self._works("audit")
                return True
        return False

    async def _check_missing(self) -> None:
        """Make no new file in the place of one that is gone: what its log still holds would be thrown away."""
        if self._store.path.exists():
            return
        state = await self._ledger.state()
        if (known := state.anchor_seq) and not self._is_anothers(state):
            raise AuditFileError(
                f"There is no {self._store.path}, and the ledger knows of {known} rows. Put the file back, together "
                f"with {self._store.path.name}-wal if there is one, then start again."
            )

    async def _look(self) -> bool:
        """Look whether the ledger may be worked for, comparing it with the audit if it is not the known one.

        Raises:
            AuditFileError: the file is not the one that the ledger has seen grow.
        """
        if not await self._lease.hold():
            self._known = None
            return False
        state = await self._ledger.state()
        if state.vouched and not state.rebuilding and _identity(state) == self._known:
            return True
        standing, state = await compare(self._ledger, looking_at(self._store.path))
        if standing is Standing.FOREIGN:
            tail = await self._in_thread(self._store.tail)
            if not self._is_anothers(state):
                self._explain_foreign(state, tail)
            standing = self._take_over(state, tail)
        if standing is Standing.LOST and await self._ledger.distrust(state):
            logger.error("the ledger lacks what the audit knows; it refuses all calls until it has been rebuilt")
        if standing is Standing.CURRENT and (state.vouched or await self._ledger.vouch(state)):
            self._known, self._after = _identity(state), _START
            self.ready.set()
            return True
        if self._rebuild is not None and self._shall_rebuild(standing, state):
            await self._try_rebuild(self._rebuild)
        return False

    async def _try_rebuild(self, rebuild: Callable[[], Awaitable[object]]) -> None:
        try:
            await rebuild()
        except RuntimeError as error:
            self._unasked = False  # what is wrong is for people to see; they ask again
            logger.error("the ledger could not be rebuilt: %s", error)

    def _shall_rebuild(self, standing: Standing, state: LedgerState) -> bool:
        return standing in (Standing.LOST, Standing.REBUILDING) and (self._unasked or state.rebuilding == "asked")

    def _is_anothers(self, state: LedgerState) -> bool:
        """Whether the audit went on in the file of another host, which does not write it any more."""
        return state.anchored_by not in ("", self._lease.holder)

    def _take_over(self, state: LedgerState, tail: Anchor) -> Standing:
        """Go on behind the other's last row in a file of our own, unless the ledger is older than what we have."""
        assert state.anchor_seq is not None
        if state.anchor_seq < tail.seq or not state.vouched:
            # Not vouched for: only who has the other's file can compare it with what the ledger holds.
            return Standing.LOST if state.anchor_seq < tail.seq else Standing.FOREIGN
        self._store.next_after = Anchor(state.anchor_seq, state.anchor_hash)
        logger.warning("another host's auditor has gone: the audit goes on in %s", self._store.path)
        return Standing.CURRENT

    def _explain_foreign(self, state: LedgerState, tail: Anchor) -> NoReturn:
        if state.anchor_seq is not None and state.anchor_seq > tail.seq:
            raise AuditFileError(
                f"{self._store.path} ends with row {tail.seq}, and the ledger knows of {state.anchor_seq} rows: the "
                "file was cut, or replaced by an older one. Put the right file back, then start again."
            )
        raise AuditFileError(
            f"Row {state.anchor_seq} of {self._store.path} is not the one that the ledger knows: the file was "
            "rewritten, or belongs to another ledger. Put the right file back, then start again."
        )

    async def _work(self) -> None:
        sweeper = asyncio.create_task(self._sweep_always())
        pause = _BACKOFF_SECONDS[0]
        try:
            while not self._stopping.is_set():
                try:
                    if await self._look():
                        count = await self._round(block_ms=_BLOCK_MS)
                    else:
                        count = 0
                        await self._pause(_LOOK_SECONDS)
                except (Refused, sqlite3.Error, OSError) as error:
                    pause = await self._failed("audit", error, pause)
                else:
                    self._works("audit")
                    pause = _BACKOFF_SECONDS[0]
                    if 0 < count < self._batch:
                        await asyncio.sleep(_GATHER_SECONDS)
        finally:
            sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await sweeper

    async def _round(self, *, block_ms: int) -> int:
        """Move one batch; returns how many entries it had."""
        after, self._after = (
            self._after,
            _START,
        )  # whatever goes wrong below, the next round looks from the start
        if self._store.next_after not in (None, self._announced):
            # In the stream before the file is begun, so that no file is ever without it for long.
            await self._ledger.note(BEGUN, {"after": str(self._store.next_after)}, "auditor")
            self._announced = self._store.next_after
        entries = _up_to_rotation(await self._ledger.read_audit(after, self._batch, block_ms))
        if entries:
            failpoint("audit_after_read")
            tail: Anchor = await self._in_thread(self._store.append, entries)
            failpoint("audit_after_commit")
            through = entries[-1][0]
            epoch, server, anchor_hash = self._known or ("", "", "")
            if not await self._ledger.set_anchor(tail.seq, tail.hash, through, anchor_hash, self._lease.holder):
                self._known = None  # an older ledger was put in its place: the next look finds out
                return 0
            self._known = epoch, server, tail.hash
            failpoint("audit_after_anchor")
            await self._ledger.trim_audit(through)
            failpoint("audit_after_trim")
            self._after = through
        return len(entries)

    async def _sweep_always(self) -> None:
        while True:
            try:
                while await self._ledger.sweep(_SWEEP_LIMIT):
                    pass
            except (Refused, OSError) as error:
                await self._failed("sweeper", error, 0)
            else:
                self._works("sweeper")
            await asyncio.sleep(_SWEEP_SECONDS)

    async def _in_thread[**P, T](self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(function, *args, **kwargs))

    async def _failed(self, what: str, error: Exception, pause: float) -> float:
        """Log a change of state once, wait, and return the next pause in seconds."""
        if self._healthy.get(what, True):
            logger.error("the %s stands still: %s; what happens meanwhile waits in the ledger", what, error)
        self._healthy[what] = False
        await self._pause(pause)
        return min(pause * 2, _BACKOFF_SECONDS[1])

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _works(self, what: str) -> None:
        if not self._healthy.get(what, True):
            logger.warning("the %s works again", what)
        self._healthy[what] = True


def _up_to_rotation(entries: list[tuple[str, dict[str, str]]]) -> list[tuple[str, dict[str, str]]]:
    """The entry by which an operator asks for the next file is the last one of its file."""
    asks = (number for number, (_, fields) in enumerate(entries, 1) if fields.get("action") == ROTATION)
    return entries[: next(asks, None)]


def _identity(state: LedgerState) -> tuple[str, str, str]:
    return state.epoch, state.server, state.anchor_hash


if __name__ == "__main__":
    from runcap.audit.process import main

    sys.exit(main())
