"""What `runcap exec` says when its command has ended: what the run has spent, was refused, and has left."""

import asyncio
import sqlite3
import time
from pathlib import Path

from runcap.audit.reading import open_readonly
from runcap.audit.schema import AuditFileError
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import WINDOWS, Run, Spend, Window
from runcap.money import usd_from_micros

_AUDIT_SECONDS = 3.0
"""How long the auditor gets to write the run's last rows; it takes some milliseconds if it is there at all."""

_PER: dict[Window, str] = {"day": "a day", "month": "a month", "total": "in total"}


async def ending_line(ledger: Ledger, run: Run, audit: Path) -> str:
    """One line about a run whose key has just been revoked.

    Raises:
        Refused: the ledger cannot be asked.
    """
    spend = await ledger.spend("run", run.run_id)
    parts = [f"spent {_spent(spend['total'])}"]
    refused = await asyncio.to_thread(_refused, audit, run.run_id)
    if refused is None:
        parts.append("what was refused is not known here")
    else:
        parts.append(f"{refused or 'no'} call{'' if refused == 1 else 's'} refused")
    left = [_left(window, cap, spend[window]) for window, cap in _caps(run).items() if cap is not None]
    return f"runcap: run {run.run_id} ({run.label}) {', '.join([*parts, *left])}"


def _spent(total: Spend) -> str:
    held = f", of which {usd_from_micros(total.held_micros)} still held" if total.held_micros else ""
    return f"${usd_from_micros(total.spent_micros + total.held_micros)}{held}"


def _caps(run: Run) -> dict[Window, int | None]:
    return dict(zip(WINDOWS, (run.caps.day, run.caps.month, run.caps.total), strict=True))


def _left(window: Window, cap_micros: int, spend: Spend) -> str:
    left = max(0, cap_micros - spend.spent_micros - spend.held_micros)
    return f"${usd_from_micros(left)} left of ${usd_from_micros(cap_micros)} {_PER[window]}"


def _refused(audit: Path, run_id: str) -> int | None:
    """How many calls of the run were refused; None if the audit is not here, or is not written just now.

    Rows stand in the order of the ledger's stream: once the revocation is in the audit, all calls before it are too.
    """
    deadline = time.monotonic() + _AUDIT_SECONDS
    try:
        database = open_readonly(audit)
    except AuditFileError:
        return None
    try:
        revoked = "SELECT count(*) FROM admin WHERE run_id = ? AND action = 'key_revoked'"
        while not database.execute(revoked, (run_id,)).fetchone()[0]:
            if time.monotonic() > deadline:
                return None
            time.sleep(0.02)
        refused = "SELECT count(*) FROM calls WHERE run_id = ? AND decision <> 'allowed'"
        return int(database.execute(refused, (run_id,)).fetchone()[0])
    except sqlite3.Error:
        return None
    finally:
        database.close()
