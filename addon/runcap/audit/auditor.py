"""The auditor: moves what the ledger's stream holds into the audit file, exactly once and in the stream's order.

One round is: read a batch, append it in one transaction, tell the ledger the new last row (its anchor), trim the
stream. A crash between any two of these repeats the round at most, and rows that are there already are skipped, so
nothing is lost and nothing stands twice. If ledger or file cannot be used, the rows wait in the stream (which the
ledger bounds: past its limit it refuses calls) and the round is tried again.

It is also the sweeper: reservations past their deadline are ended as unknown, once a second.
"""

import asyncio
import fcntl
import logging
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Protocol

from runcap.audit.chain import EMPTY, Anchor
from runcap.audit.schema import AuditFileError
from runcap.audit.store import Store
from runcap.decision import Refused

logger = logging.getLogger(__name__)

_START = "0-0"
_BATCH = 1000
_BLOCK_MS = 250
"""How long a read waits for the next entry, and so how long the auditor takes to see that it shall stop."""
_GATHER_SECONDS = 0.02
"""Pause after a round that found little: one commit for what comes meanwhile, instead of one for each call."""
_SWEEP_SECONDS = 1.0
_SWEEP_LIMIT = 100
_LOCK_POLL_SECONDS = 0.2
_BACKOFF_SECONDS = (0.1, 5.0)
"""First and longest pause before another try."""
_DRAIN_TRIES = 20


class LedgerAnchor(Protocol):
    """What the ledger keeps of the last row (`runcap.ledger.ledger.Ledger.anchor`)."""

    @property
    def seq(self) -> int:
        """Number of the row."""

    @property
    def hash(self) -> str:
        """Its hash."""


class AuditLedger(Protocol):
    """What the auditor asks of the ledger (`runcap.ledger.ledger.Ledger`); each raises `Refused` if it fails."""

    async def read_audit(self, after_id: str, count: int, block_ms: int) -> list[tuple[str, dict[str, str]]]:
        """The next entries of the stream."""

    async def trim_audit(self, through_id: str) -> object:
        """Drop the entries up to and with this one."""

    async def set_anchor(self, seq: int, hash: str, stream_id: str) -> object:  # noqa: A002 (the ledger's own name)
        """Remember the last row."""

    async def anchor(self) -> LedgerAnchor | None:
        """The last row that was remembered."""

    async def audit_backlog(self) -> int:
        """How many entries the stream holds."""

    async def sweep(self, limit: int) -> int:
        """End stale reservations; how many there were."""


class Auditor:
    """The one that writes an audit file; a second one for the same file waits until the first has gone."""

    def __init__(self, ledger: AuditLedger, store: Store, *, batch: int = _BATCH) -> None:
        self._ledger = ledger
        self._store = store
        self._batch = batch
        self._after = _START
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
        async with _exclusive(self._store.path.with_name(self._store.path.name + ".lock"), self._stopping) as held:
            if not held:
                return
            try:
                if await self._opened():
                    self.ready.set()
                    await self._work()
                    await self.drain()
            finally:
                await self._in_thread(self._store.close)
                self._thread.shutdown(wait=False)

    async def drain(self) -> None:
        """Write until the stream is empty. The file must be open, as it is while `run` runs."""
        for tries_left in reversed(range(_DRAIN_TRIES)):
            try:
                while await self._round(block_ms=0):
                    pass
            except (Refused, sqlite3.Error, OSError):
                if not tries_left:
                    raise
                await asyncio.sleep(_BACKOFF_SECONDS[0])
            else:
                return

    async def _opened(self) -> bool:
        """Open the file and compare it with the ledger's anchor, trying until it works; False: told to stop."""
        pause = _BACKOFF_SECONDS[0]
        while not self._stopping.is_set():
            try:
                await self._in_thread(self._store.open)
                await self._check_anchor()
            except (Refused, sqlite3.Error, OSError) as error:
                pause = await self._failed("audit", error, pause)
            else:
                self._works("audit")
                return True
        return False

    async def _check_anchor(self) -> None:
        """Refuse to write on a file that is not the one that the ledger has seen grow."""
        known = await self._ledger.anchor()
        if known is None or known.seq == EMPTY.seq:
            return
        tail = await self._in_thread(self._store.tail)
        if known.seq > tail.seq:
            raise AuditFileError(
                f"{self._store.path} ends with row {tail.seq}, and the ledger knows of {known.seq} rows: the file was "
                "cut, or replaced by an older one. Put the right file back, then start again."
            )
        if await self._in_thread(self._store.hash_at, known.seq) != known.hash:
            raise AuditFileError(
                f"Row {known.seq} of {self._store.path} is not the one that the ledger knows: the file was rewritten, "
                "or belongs to another ledger. Put the right file back, then start again."
            )

    async def _work(self) -> None:
        sweeper = asyncio.create_task(self._sweep_always())
        pause = _BACKOFF_SECONDS[0]
        try:
            while not self._stopping.is_set():
                try:
                    count = await self._round(block_ms=_BLOCK_MS)
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
        entries = await self._ledger.read_audit(after, self._batch, block_ms)
        if entries:
            tail: Anchor = await self._in_thread(self._store.append, entries)
            through = entries[-1][0]
            await self._ledger.set_anchor(tail.seq, tail.hash, through)
            await self._ledger.trim_audit(through)
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
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), pause)
        return min(pause * 2, _BACKOFF_SECONDS[1])

    def _works(self, what: str) -> None:
        if not self._healthy.get(what, True):
            logger.warning("the %s works again", what)
        self._healthy[what] = True


@asynccontextmanager
async def _exclusive(path: Path, stopping: asyncio.Event) -> AsyncIterator[bool]:
    """Hold the lock file alone among all processes; False: told to stop before it was free.

    Polled rather than waited for in a thread, which nobody could interrupt. The system drops it if we die.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not stopping.is_set():
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), _LOCK_POLL_SECONDS)
            else:
                yield True
                return
        yield False
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    from runcap.audit.process import main

    sys.exit(main())
