"""A rebuild from many rows comes to what SQLite itself sums up."""

import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from runcap.audit.store import Store
from runcap.ledger.checking import check_against_audit
from runcap.ledger.ledger import Ledger
from runcap.ledger.rebuild import rebuild
from tests.ledger.support import ACTOR, DAY_MS, field, spent, today_of

_ROWS = 20_000
_RUNS = 40


def entries(now_ms: int) -> Iterator[tuple[str, dict[str, str]]]:
    """As the ledger's stream had them: runs, a fleet's cap, then calls of the last three days, of many objects."""
    dice, start_ms = random.Random(1), now_ms - 3 * DAY_MS  # noqa: S311 (the same rows each time)
    for number in range(_RUNS):
        run = {
            "run_id": f"RUN{number}", "label": f"billing-{number % 7}", "key_digest": f"{number:064x}",
            "caps": {"day": 10**12, "month": None, "total": None}, "vendors": ["stripe"], "created_at_ms": start_ms,
        }  # fmt: skip
        detail = json.dumps({"actor": ACTOR, "run": run})
        yield f"{start_ms}-{number}", _admin(start_ms, "key_issued", detail) | {"run_id": f"RUN{number}"}
    caps = {"actor": ACTOR, "level": "fleet", "selector": "billing-3", "caps": {"day": 9, "month": None, "total": None}}
    yield f"{start_ms}-{_RUNS}", _admin(start_ms, "cap_set", json.dumps(caps))
    for number in range(_ROWS - _RUNS - 1):
        at_ms = start_ms + 1 + number * (3 * DAY_MS // _ROWS)
        micros = dice.randrange(1, 5_000_000)
        outcome = dice.choice(("settled", "settled", "settled", "unknown", "released"))
        counted = 0 if outcome == "released" else micros
        fields = {
            "kind": "call", "at_ms": str(at_ms), "run_id": f"RUN{number % _RUNS}",
            "label": f"billing-{number % _RUNS % 7}", "decision": "allowed", "outcome": outcome,
            "settled_micros": str(counted), "row": json.dumps({"vendor": "stripe", "cost_micros": micros}), "end": "{}",
            "reservation": f"{number:032x}",
        }  # fmt: skip
        if counted and dice.random() < 0.5:
            fields |= {"object": f"pi_{number}", "object_micros": str(counted)}
        yield f"{at_ms}-0", fields


def _admin(at_ms: int, action: str, detail: str) -> dict[str, str]:
    return {"kind": "admin", "at_ms": str(at_ms), "action": action, "detail": detail}


async def test_counters_are_what_sqlite_sums_up(blank: Ledger, tmp_path: Path) -> None:
    """Of each run, a fleet and the vendor, in all windows; and the check finds nothing to say."""
    path, today = tmp_path / "audit.db", await today_of(blank)
    store = Store(path)
    store.open()
    store.append(list(entries(await blank.clock_ms())))
    store.close()

    rebuilt = await rebuild(blank, path, ACTOR)

    assert (_ROWS, _RUNS, ()) == (rebuilt.rows, rebuilt.runs, rebuilt.remarks)
    sums = "SELECT {} FROM calls WHERE at LIKE ? || '%' GROUP BY 1"
    with closing(sqlite3.connect(path)) as db:
        for period, name in ((today, f"day:{today}"), (today[:7], f"month:{today[:7]}"), ("", "total")):
            for run_id, micros in db.execute(sums.format("run_id, sum(settled_micros)"), (period,)):
                assert micros == await field(blank, f"run:{run_id}", f"{name}:spent")
            fleets = dict(db.execute(sums.format("label, sum(settled_micros)"), (period,)))
            assert fleets["billing-3"] == await field(blank, "fleet:billing-3", f"{name}:spent")
            assert sum(fleets.values()) == await field(blank, "vendor:stripe", f"{name}:spent")
    assert (0, fleets["billing-3"]) == await spent(blank, "fleet", "billing-3")
    assert () == (await check_against_audit(blank, path)).differences
