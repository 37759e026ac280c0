"""Compares a ledger that is in use with the audit: every counter, run, cap and open reservation, in plain English."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from runcap.audit.reading import already_written, open_readonly
from runcap.ledger.auditrows import rows_of_file, rows_of_stream, stream_order
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Caps
from runcap.ledger.rebuild import open_periods
from runcap.ledger.recount import Recount
from runcap.ledger.restoring import Snapshot
from runcap.ledger.standing import Standing, compare, looking_at
from runcap.money import usd_from_micros

_READ_AT_ONCE = 5000

_STANDINGS = {
    Standing.LOST: "The ledger is empty or older than the audit: `runcap ledger rebuild` makes it whole.",
    Standing.REBUILDING: "The ledger takes no calls until it has been rebuilt: `runcap ledger rebuild`.",
    Standing.FOREIGN: "The audit is not the one that the ledger has seen grow: see `runcap audit verify`.",
}


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check has found."""

    differences: tuple[str, ...]
    """One sentence each; empty if ledger and audit agree."""
    compared: int
    """Counters that were compared with the audit."""


async def check_against_audit(ledger: Ledger, path: Path) -> Checked:
    """Compare held amounts with open reservations, and all else with a replay of the audit.

    Rows that wait in the stream count as the audit's, and what happens meanwhile does not matter: the ledger is looked
    at in one moment, and the audit up to that moment's last entry.

    Raises:
        Refused: ``ledger_unavailable``.
        AuditFileError: there is no audit here.
    """
    standing, _ = await compare(ledger, looking_at(path))
    if standing is Standing.NEW:
        return Checked((), 0)
    if standing is not Standing.CURRENT:
        return Checked((_STANDINGS[standing],), 0)
    held = await ledger.check()
    found = await ledger.snapshot()
    waiting = await _waiting(ledger, found.last_id)
    counted = await asyncio.to_thread(_replay, path, waiting, found)
    periods = open_periods(await ledger.clock_ms())
    spent, compared = _spent_differences(found, counted, periods)
    others = (*_run_differences(found, counted), *_rule_differences(found, counted))
    still_open = (
        f"The reservation {number} is open, but the audit has its end." for number in sorted(found.open & counted.ended)
    )
    return Checked((*held, *spent, *others, *still_open, *counted.unreadable), compared)


async def _waiting(ledger: Ledger, last_id: str) -> list[tuple[str, dict[str, str]]]:
    """The entries up to `last_id` that may not be in the file yet."""
    waiting: list[tuple[str, dict[str, str]]] = []
    after = "0-0"
    while entries := await ledger.read_audit(after, _READ_AT_ONCE):
        waiting += [entry for entry in entries if stream_order(entry[0]) <= stream_order(last_id)]
        after = entries[-1][0]
        if stream_order(after) >= stream_order(last_id):
            break
    return waiting


def _replay(path: Path, waiting: list[tuple[str, dict[str, str]]], found: Snapshot) -> Recount:
    """The audit's file first, which by now may have some of what waited, then the rest."""
    counted = Recount(wanted=frozenset(found.open))
    if not path.exists():
        counted.feed(rows_of_stream(waiting))
        return counted
    with closing(open_readonly(path)) as db:
        db.execute("BEGIN")
        written = _written(db, waiting)
        counted.feed(rows_of_file(db, found.last_id))
    counted.feed(rows_of_stream(entry for entry in waiting if entry[0] not in written))
    return counted


def _written(db: sqlite3.Connection, waiting: list[tuple[str, dict[str, str]]]) -> set[str]:
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'calls'").fetchone() is None:
        return set()
    return already_written(db, [stream_id for stream_id, _ in waiting])


def _spent_differences(found: Snapshot, counted: Recount, periods: frozenset[str]) -> tuple[list[str], int]:
    """Only windows that are open: a fleet whose first cap came later knows just a part of those before."""
    differences, compared = [], 0
    for selector in sorted(found.spent.keys() | counted.spent.keys()):
        there, wanted = found.spent.get(selector, {}), counted.total(selector)
        for name in sorted((there.keys() | wanted.keys()) & periods):
            expected, text = wanted.get(name, 0), there.get(name, "0")
            compared += 1
            if text.isdigit() and int(text) != expected:
                differences.append(
                    f"{_who(selector, counted)}, {_when(name)}: the ledger counts {usd_from_micros(int(text))} USD as "
                    f"spent, and the audit {usd_from_micros(expected)} USD."
                )
    return differences, compared


def _run_differences(found: Snapshot, counted: Recount) -> Iterator[str]:
    for run_id in sorted(found.runs.keys() | counted.runs.keys()):
        run, there = counted.runs.get(run_id), found.runs.get(run_id)
        if run is None:
            yield f"The ledger has the run {run_id}, and the audit does not say that it was issued."
        elif there is None:
            yield f"The audit has the run {run_id} ({run.label}), and the ledger does not: its key is refused."
        else:
            digest, caps, revoked = there
            if digest != run.key_digest:
                yield f"Run {run_id} ({run.label}): the ledger has another key than the one that was issued."
            if caps != run.caps:
                yield f"Run {run_id} ({run.label}): its caps are {_caps(caps)}, and by the audit {_caps(run.caps)}."
            if revoked != (run.revoked_at_ms is not None):
                states = ("revoked", "not") if revoked else ("not revoked", "it was")
                yield f"Run {run_id} ({run.label}): its key is {states[0]}, and by the audit {states[1]}."


def _rule_differences(found: Snapshot, counted: Recount) -> Iterator[str]:
    for selector in sorted(found.caps.keys() | counted.caps.keys()):
        there, wanted = found.caps.get(selector, Caps()), counted.caps.get(selector, Caps())
        if there != wanted:
            yield f"{_who(selector, counted)}: the caps are {_caps(there)}, and by the audit {_caps(wanted)}."
    for what in sorted(found.frozen - counted.frozen):
        yield f"{_who(what, counted)}: frozen, and by the audit not."
    for what in sorted(counted.frozen - found.frozen):
        yield f"{_who(what, counted)}: not frozen, and by the audit it is."


def _who(selector: str, counted: Recount) -> str:
    level, _, name = selector.partition(":")
    match level:
        case "run":
            run = counted.runs.get(name)
            return f"Run {name} ({run.label})" if run is not None else f"Run {name}"
        case "fleet":
            return f"Fleet {name!r}"
        case "vendor":
            return f"Vendor {name}"
        case _:
            return "All calls"


def _when(field: str) -> str:
    """``day:2026-11-24:spent`` for people."""
    window, *period = field.removesuffix(":spent").split(":")
    return f"{window} {period[0]}" if period else "in total"


def _caps(caps: Caps) -> str:
    amounts = ((caps.day, "a day"), (caps.month, "a month"), (caps.total, "in total"))
    return ", ".join(f"{usd_from_micros(micros)} USD {window}" for micros, window in amounts if micros is not None) or (
        "none"
    )
