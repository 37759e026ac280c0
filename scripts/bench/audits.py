"""What the auditor can take, and how long reports over a large audit take.

The large file is made by the auditor's own `read_entry`, `link` and schema: row for row what it would have written,
but in one transaction and with triggers and indices put in place at the end. `runcap audit verify` walks it
afterwards, which is measured, and proves that it is a true one.
"""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from runcap.audit.auditor import Auditor
from runcap.audit.chain import CALL_COLUMNS, COLUMNS, EMPTY, Row, Value, link
from runcap.audit.entries import read_entry
from runcap.audit.reports import REPORTS, Reader
from runcap.audit.schema import parts, schema_problems
from runcap.audit.store import Store
from runcap.audit.verify import verify
from runcap.runs import new_run_id
from scripts.bench.bulk import ROW, Filler, issue
from scripts.bench.figures import record
from scripts.bench.ledgers import embedded, opened

_RUNS_EACH, _LABELS, _DAYS = 100, 40, 90
"""A run makes a hundred calls; there are forty kinds of run; the file holds ninety days."""
_KINDS = {"blocked": (50, 1), "refused": (97, 2), "released": (31, 3)}
"""Every so many calls, and which of them; all others are settled."""
_AT, _SPENT, _STREAM_ID = (CALL_COLUMNS[1:].index(name) for name in ("at", "spent_micros", "stream_id"))
_AT_ONCE = 50_000


async def auditor_rate(folder: Path, rows: int) -> dict[str, Any]:
    """Rows a second that the auditor moves from a full stream into its file.

    Args:
        folder: for ledger and file.
        rows: how many wait.
    """
    with embedded(folder) as url:
        async with opened(url) as ledger:
            digest = await issue(ledger)
            filler = Filler(url)
            await filler.calls(digest, rows)
            filler.close()
            auditor = Auditor(ledger, Store(folder / "audit.db"))
            running = asyncio.create_task(auditor.run())
            await auditor.ready.wait()
            began, backlog = time.perf_counter(), await ledger.audit_backlog()
            while await ledger.audit_backlog():  # noqa: ASYNC110 (there is no event for an empty stream)
                await asyncio.sleep(0.01)
            rate = backlog / (time.perf_counter() - began)
            auditor.stop()
            await running
    return {"auditor": record(rate)}


def large_audit(path: Path, rows: int) -> None:
    """Make an audit of that many calls, the last of them made just now."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=OFF")
        db.execute("PRAGMA synchronous=OFF")
        later = [part for part in parts() if part.kind != "table"]
        for part in parts():
            if part.kind == "table":
                db.execute(part.sql)
        marks = ",".join("?" * len(COLUMNS["calls"]))
        insert = f"INSERT INTO calls VALUES ({marks})"  # noqa: S608 (our own names)
        db.execute("BEGIN")
        made = _rows(rows)
        while some := [row[1:] for row in islice(made, _AT_ONCE)]:
            db.executemany(insert, some)
        db.execute("COMMIT")
        for part in later:
            db.execute(part.sql)
        db.execute("PRAGMA user_version=1")
        db.execute("PRAGMA journal_mode=WAL")
        assert not schema_problems(db)


def _rows(count: int) -> Iterator[Row]:
    """The chain's rows, from entries such as the ledger's scripts write; one of each kind is read for each run."""
    began, step = datetime.now(UTC) - timedelta(days=_DAYS), timedelta(days=_DAYS) / count
    last = EMPTY
    read: dict[str, tuple[Value, ...]] = {}
    for number in range(count):
        if number % _RUNS_EACH == 0:
            label = f"fleet{number // _RUNS_EACH % 7}-kind{number // _RUNS_EACH % _LABELS}"
            read = _one_of_each(new_run_id(), label)
        values = list(read[_kind(number)])
        at = f"{(began + step * (number + 1)).isoformat(timespec='milliseconds')[:23]}Z"
        values[_AT], values[_STREAM_ID] = at, f"1-{number}"
        values[_SPENT] = (number % _RUNS_EACH + 1) * 1_250_000
        made, last = link("calls", values, last)
        yield made


def _kind(number: int) -> str:
    for kind, (every, rest) in _KINDS.items():
        if number % every == rest:
            return kind
    return "settled"


def _one_of_each(run_id: str, label: str) -> dict[str, tuple[Value, ...]]:
    """What `read_entry` makes of a call of each kind."""
    row = ROW | {"cost_micros": 1_250_000, "amount_minor": 125}
    sent = {"status": 200, "vendor_request_id": "req_0123456789abcd", "duration_ms": 210, "overhead_us": 380}
    hit = {"cap_micros": "10000000", "cap_level": "run", "cap_selector": run_id, "cap_window": "day"}
    allowed = {"decision": "allowed", "settled_micros": "1250000", "end": json.dumps(sent)}
    ends = {
        "blocked": hit | {"decision": "blocked", "code": "cap_exhausted"},
        "refused": {"decision": "refused", "code": "malformed"},
        "released": allowed | {"outcome": "released"},
        "settled": allowed | {"outcome": "settled"},
    }
    common = {"kind": "call", "at_ms": "0", "run_id": run_id, "label": label, "row": json.dumps(row)}
    return {kind: read_entry("0-0", common | end)[1] for kind, end in ends.items()}


def reports(path: Path) -> dict[str, float]:
    """Seconds of each report, of what `runcap top` asks for once a second, and of a verification."""
    found: dict[str, float] = {}

    def timed(name: str, work: Callable[[], object]) -> None:
        began = time.perf_counter()
        work()
        found[name] = time.perf_counter() - began

    with Reader(path) as reader:
        for by in REPORTS:
            timed(f"report --by {by}", lambda by=by: reader.report(by))  # type: ignore[misc]  # bound here
        timed("top: today by vendor", lambda: reader.day(f"{datetime.now(UTC):%Y-%m-%d}"))
        timed("top: the latest 15 runs", lambda: reader.report("run", limit=15))
        timed("top: the latest 5 blocked calls", lambda: reader.report("blocked", limit=5))
        timed("report --by run --label PREFIX -n 20", lambda: reader.report("run", label="fleet3-", limit=20))
        timed("audit tail", lambda: list(reader.rows(reader.last_seq() - 20)))
    began = time.perf_counter()
    report = verify(path)
    found["audit verify"] = time.perf_counter() - began
    if not report.ok:
        raise RuntimeError(" ".join(report.problems))
    return found
