"""What `runcap exec` says when its command has ended: what the run has spent, was refused, and has left."""

import asyncio
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runcap.audit.reading import open_readonly
from runcap.audit.schema import AuditFileError
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import WINDOWS, Run, Spend, Window
from runcap.money import usd_from_micros

_AUDIT_SECONDS = 3.0
"""How long the auditor gets to write the run's last rows; it takes some milliseconds if it is there at all."""

_PER: dict[Window, str] = {"day": "a day", "month": "a month", "total": "in total"}
_COUNT = "SELECT count(*), count(*) FILTER (WHERE decision <> 'allowed') FROM calls WHERE run_id = ?"


@dataclass(frozen=True, slots=True)
class Ended:
    """A run whose key has been revoked."""

    run: Run
    spend: dict[Window, Spend]
    calls: int | None
    """How many it has made; None if the audit is not here, or is not written just now."""
    refused: int | None
    """How many of them were refused."""

    @property
    def line(self) -> str:
        """For people."""
        parts = [f"spent {_spent(self.spend['total'])}"]
        if self.refused is None:
            parts.append("what was refused is not known here")
        else:
            parts.append(f"{self.refused or 'no'} call{'' if self.refused == 1 else 's'} refused")
        left = [
            f"${usd_from_micros(_left(cap, self.spend[window]))} left of ${usd_from_micros(cap)} {_PER[window]}"
            for window, cap in _caps(self.run)
        ]
        return f"runcap: run {self.run.run_id} ({self.run.label}) {', '.join([*parts, *left])}"

    @property
    def fields(self) -> dict[str, Any]:
        """For programs: amounts are dollars in text, and what is spent counts what is held too."""
        total = self.spend["total"]
        return {
            "run_id": self.run.run_id,
            "label": self.run.label,
            "spent_usd": usd_from_micros(_counted(total)),
            "held_usd": usd_from_micros(total.held_micros),
            "calls": self.calls,
            "refused": self.refused,
            "caps": [
                {
                    "window": window,
                    "spent_usd": usd_from_micros(_counted(self.spend[window])),
                    "cap_usd": usd_from_micros(cap),
                    "remaining_usd": usd_from_micros(_left(cap, self.spend[window])),
                }
                for window, cap in _caps(self.run)
            ],
        }


async def read_ended(ledger: Ledger, run: Run, audit: Path) -> Ended:
    """Ask the ledger and the audit about a run whose key has just been revoked.

    Raises:
        Refused: the ledger cannot be asked.
    """
    spend = await ledger.spend("run", run.run_id)
    calls, refused = await asyncio.to_thread(_counts, audit, run.run_id)
    return Ended(run, spend, calls, refused)


def _spent(total: Spend) -> str:
    held = f", of which {usd_from_micros(total.held_micros)} still held" if total.held_micros else ""
    return f"${usd_from_micros(_counted(total))}{held}"


def _counted(spend: Spend) -> int:
    return spend.spent_micros + spend.held_micros


def _left(cap_micros: int, spend: Spend) -> int:
    return max(0, cap_micros - _counted(spend))


def _caps(run: Run) -> list[tuple[Window, int]]:
    """The caps that it has."""
    caps = zip(WINDOWS, (run.caps.day, run.caps.month, run.caps.total), strict=True)
    return [(window, cap) for window, cap in caps if cap is not None]


def _counts(audit: Path, run_id: str) -> tuple[int, int] | tuple[None, None]:
    """How many calls the run has made, and how many of them were refused.

    Rows stand in the order of the ledger's stream: once the revocation is in the audit, all calls before it are too.
    """
    deadline = time.monotonic() + _AUDIT_SECONDS
    try:
        database = open_readonly(audit)
    except AuditFileError:
        return None, None
    try:
        revoked = "SELECT count(*) FROM admin WHERE run_id = ? AND action = 'key_revoked'"
        while not database.execute(revoked, (run_id,)).fetchone()[0]:
            if time.monotonic() > deadline:
                return None, None
            time.sleep(0.02)
        calls, refused = database.execute(_COUNT, (run_id,)).fetchone()
        return int(calls), int(refused)
    except sqlite3.Error:
        return None, None
    finally:
        database.close()
