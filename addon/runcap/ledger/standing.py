"""Does the ledger still hold all that the audit knows? The one comparison by which a lost or older ledger is found.

The ledger keeps the audit's last row as its anchor, set in the same order of writes as everything else it holds. A
row is in the audit before the anchor says so, and its entry is trimmed from the stream after that. So a ledger that
has lost nothing has, behind its anchor's entry, the entries of all later rows. One that was restored from a backup, or
whose last writes are gone, has an older anchor and lacks some of them; an empty one has neither.

What it cannot find is a loss of writes that the audit had not seen yet: nobody else knows of them (docs/ledger-loss.md
says with which setting of the server that can happen).
"""

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from typing import Protocol

from runcap.audit.chain import EMPTY
from runcap.audit.reading import FileEnd, file_end, open_readonly
from runcap.ledger.restoring import LedgerState

_MOST_ROWS_BEHIND = 10_000
"""The auditor sets the anchor behind each batch of at most 1,000 rows; a ledger further back has lost something."""
_TRIES = 5
"""Looks at ledger and file while somebody else moves both."""


class Standing(Enum):
    """What the comparison says."""

    NEW = auto()
    """No ledger yet, and no audit."""
    CURRENT = auto()
    """All that the audit knows is there."""
    LOST = auto()
    """The ledger is empty, or older than the audit."""
    REBUILDING = auto()
    """The same, and it has been told so: it refuses calls until it has been rebuilt."""
    FOREIGN = auto()
    """The audit is not the one that the ledger has seen grow: cut, rewritten, or another's."""


class StandingLedger(Protocol):
    """What is asked of the ledger (`runcap.ledger.ledger.Ledger`)."""

    async def state(self) -> LedgerState:
        """Where the ledger stands."""

    async def read_audit(self, after_id: str, count: int, block_ms: int = 0) -> list[tuple[str, dict[str, str]]]:
        """The next entries of the stream."""


async def compare(ledger: StandingLedger, look: Callable[[int], FileEnd]) -> tuple[Standing, LedgerState]:
    """Compare the ledger with the audit, whoever may be writing to both.

    Args:
        ledger: which.
        look: the audit's end and its rows behind a seq; see `looking_at`. Called in a thread.

    Raises:
        Refused: ``ledger_unavailable``.
        AuditFileError, sqlite3.Error: the audit cannot be read.
    """
    standing, state = Standing.LOST, await ledger.state()
    for _ in range(_TRIES):
        standing = await _compare_once(ledger, look, state)
        before, state = state, await ledger.state()
        if before == state:
            break
    return standing, state


async def _compare_once(ledger: StandingLedger, look: Callable[[int], FileEnd], state: LedgerState) -> Standing:
    seq = state.anchor_seq or 0
    end = await asyncio.to_thread(look, seq)
    if state.anchor_seq is not None and (seq > end.tail.seq or end.hash_at != state.anchor_hash):
        return Standing.FOREIGN
    if state.rebuilding:
        return Standing.REBUILDING
    if not state.epoch:
        return Standing.NEW if end.tail == EMPTY else Standing.LOST
    behind = end.tail.seq - seq
    if not behind:
        return Standing.CURRENT
    if behind > len(end.later_ids):
        return Standing.LOST
    entries = await ledger.read_audit(state.anchor_id, behind)
    return Standing.CURRENT if [entry_id for entry_id, _ in entries] == list(end.later_ids) else Standing.LOST


def looking_at(path: Path) -> Callable[[int], FileEnd]:
    """Look at an audit file that somebody else may be writing; a missing one is an empty one."""

    def look(seq: int) -> FileEnd:
        if not path.exists():
            return FileEnd(EMPTY, EMPTY.hash if seq == 0 else None, ())
        db = open_readonly(path)
        try:
            return file_end(db, seq, _MOST_ROWS_BEHIND)
        finally:
            db.close()

    return look
