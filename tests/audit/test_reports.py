"""The views give the right dollars, in our own reports and in other people's tools."""

import json
import sqlite3
import subprocess
import sys
from calendar import monthrange
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runcap.audit import reports
from runcap.audit.reports import Reader
from runcap.audit.store import Store
from tests.audit.stream import FIRST_MS, admin, blocked, call

DAY_MS = 86_400_000


@pytest.fixture
def filled(path: Path) -> Path:
    """Calls of three runs in two fleets, to two vendors, on two days."""
    store = Store(path)
    store.open()
    twilio = {"vendor": "twilio", "operation": "POST /Messages", "cost_micros": 8_300}
    hourly: dict[str, Any] = {"run_id": "01JDHOUR", "label": "billing-hourly"}
    next_day: dict[str, Any] = {"at_ms": str(FIRST_MS + DAY_MS)}
    store.append(
        [
            admin(1),
            call(2),
            call(3, settled_micros="20000001"),
            call(4, outcome="released", settled_micros="0"),
            call(5, outcome="unknown"),
            call(6, settled_micros="-5000000", row={"cost_micros": 0}),
            blocked(7),
            call(8, row=twilio, settled_micros="8300", **hourly),
            call(9, row=twilio, settled_micros="8300", **hourly, **next_day),
            call(10, run_id="01JDSUP", label="support", settled_micros="1", row={"cost_micros": 1}),
            call(11, run_id="", label="", decision="refused", code="key_missing", outcome="", settled_micros=""),
        ]
    )
    store.close()
    return path


def test_a_price_that_came_later_counts_on_the_day_of_the_call(path: Path) -> None:
    """It is no call of its own, and moves neither first nor last of a run's calls."""
    detail = {"vendor": "twilio", "resource": "SM1", "day": "2026-11-24", "micros": -700}
    later = {"detail": json.dumps(detail), "at_ms": str(FIRST_MS + DAY_MS)}
    store = Store(path)
    store.open()
    store.append([call(1, row={"vendor": "twilio"}, settled_micros="9000"), admin(2, "adjusted", **later)])
    store.close()
    with Reader(path) as reader:
        [run], [day], [fleet] = reader.report("run"), reader.report("day"), reader.report("fleet")
    assert [("0.0083", 1)] * 3 == [(row["spent_usd"], row["calls"]) for row in (run, day, fleet)]
    assert ("2026-11-24", "twilio") == (day["day"], day["vendor"])
    assert "2026-11-24T10:00:00.001Z" == run["first_at"] == run["last_at"]


def test_spend_by_run(filled: Path) -> None:
    """Settled and unknown calls count, released ones do not, a cancel gives back; exact to the micro."""
    with Reader(filled) as reader:
        rows = {row["run_id"]: row for row in reader.report("run")}

    assert {"01JDRUN", "01JDHOUR", "01JDSUP"} == rows.keys()
    assert {
        "run_id": "01JDRUN", "label": "billing-nightly", "calls": 6, "blocked": 1, "refused": 0,
        "spent_usd": "55.000001", "first_at": "2026-11-24T10:00:00.002Z", "last_at": "2026-11-24T10:00:00.007Z",
    } == rows["01JDRUN"]  # fmt: skip
    assert ["0.0166", "0.000001"] == [rows["01JDHOUR"]["spent_usd"], rows["01JDSUP"]["spent_usd"]]


def test_spend_by_label_prefix(filled: Path) -> None:
    """A prefix means just what it says, without wildcards; the latest run comes first."""
    with Reader(filled) as reader:
        assert ["01JDHOUR", "01JDRUN"] == [row["run_id"] for row in reader.report("run", label="billing-")]
        assert ["01JDHOUR"] == [row["run_id"] for row in reader.report("run", label="billing-", limit=1)]
        assert [] == reader.report("run", label="billing%")
        assert 3 == len(reader.report("run", label=""))


@pytest.mark.parametrize("calls", [1, 7, 200_000])
@pytest.mark.parametrize("limit", [1, 2, 3, 4])
@pytest.mark.parametrize("label", [None, "billing-", "none"])
def test_the_latest_runs_are_the_first_of_all(
    filled: Path, monkeypatch: pytest.MonkeyPatch, calls: int, limit: int, label: str | None
) -> None:
    """The shorter way to a few runs leads to the very rows of the longer one, however far it looks."""
    monkeypatch.setattr(reports, "_LATEST_CALLS", calls)
    with Reader(filled) as reader:
        assert reader.report("run", label=label)[:limit] == reader.report("run", label=label, limit=limit)


def test_runs_that_end_at_the_same_moment_are_latest_by_id(path: Path) -> None:
    """A limit cuts between them as if there were none."""
    store = Store(path)
    store.open()
    same: dict[str, Any] = {"at_ms": str(FIRST_MS)}
    store.append([call(number, run_id=f"01JD{number}", **same) for number in (3, 1, 5, 2, 4)])
    store.close()
    with Reader(path) as reader:
        assert ["01JD5", "01JD4"] == [row["run_id"] for row in reader.report("run", limit=2)]


def test_a_price_that_came_later_is_in_the_latest_runs_and_in_its_day(path: Path) -> None:
    """Also where it came on another day than the call."""
    detail = {"vendor": "twilio", "resource": "SM1", "day": "2026-11-24", "micros": -700}
    later = {"detail": json.dumps(detail), "at_ms": str(FIRST_MS + DAY_MS)}
    row = {"vendor": "twilio"}
    store = Store(path)
    store.open()
    store.append(
        [call(1, row=row, settled_micros="9000"), call(2, run_id="01JDX", label="x"), admin(3, "adjusted", **later)]
    )
    store.close()
    with Reader(path) as reader:
        [_, run] = reader.report("run", limit=2)
        assert ("01JDRUN", "0.0083", 1) == (run["run_id"], run["spent_usd"], run["calls"])
        assert reader.report("run", limit=2) == reader.report("run")
        assert [row for row in reader.report("day") if row["day"] == "2026-11-24"] == reader.day("2026-11-24")
        assert [] == reader.day("2026-11-25")


def test_spend_by_fleet(filled: Path) -> None:
    """A fleet is the label up to its last dash, or a label without one."""
    with Reader(filled) as reader:
        rows = reader.report("fleet")

    assert [("billing-", 2, 2, 8, "55.016601"), ("support", 1, 1, 1, "0.000001")] == [
        (row["fleet"], row["labels"], row["runs"], row["calls"], row["spent_usd"]) for row in rows
    ]


def test_spend_by_vendor_and_day(filled: Path) -> None:
    """Days are UTC; refused calls without a key are counted as calls, and cost nothing."""
    with Reader(filled) as reader:
        days, vendors = reader.report("day"), reader.report("vendor")
        assert days[1:] == reader.day("2026-11-24")

    assert [
        ("2026-11-25", "twilio", 1, 0, 0, "0.0083"),
        ("2026-11-24", "stripe", 8, 1, 1, "55.000002"),
        ("2026-11-24", "twilio", 1, 0, 0, "0.0083"),
    ] == [tuple(row.values()) for row in days]
    assert [("stripe", "55.000002"), ("twilio", "0.0166")] == [(row["vendor"], row["spent_usd"]) for row in vendors]


def test_what_was_blocked(filled: Path) -> None:
    """Who, for what, and by which cap."""
    with Reader(filled) as reader:
        (row,) = reader.report("blocked")

    assert {
        "at": "2026-11-24T10:00:00.007Z", "run_id": "01JDRUN", "label": "billing-nightly", "vendor": "stripe",
        "operation": "POST /v1/charges", "code": "cap_exhausted", "requested_usd": "20.00", "spent_usd": "490.00",
        "cap_usd": "500.00", "cap_level": "run", "cap_selector": "01JDRUN", "cap_window": "day",
    } == row  # fmt: skip


def test_forecast_goes_on_at_the_same_pace(store: Store) -> None:
    """This month's spend over the time that has passed, times the month; last month's does not count."""
    now = datetime.now(UTC)
    store.append([call(1, at_ms=str(int(now.timestamp() * 1000))), call(2, at_ms="1700000000000")])
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    days = monthrange(now.year, now.month)[1]

    with Reader(store.path) as reader:
        (row,) = reader.report("forecast")

    expected = 20 * days / max(1.0, (now - start).total_seconds() / 86_400)
    assert (f"{now:%Y-%m}", "stripe", "20.00") == (row["month"], row["vendor"], row["spent_usd"])
    assert pytest.approx(expected, abs=0.02) == float(row["forecast_usd"])


def test_views_in_the_file_cannot_mislead_our_reports(filled: Path) -> None:
    """Reports are made by this version's own views, whatever stands in the file."""
    db = sqlite3.connect(filled)
    db.execute("DROP VIEW run_spend")
    db.execute("CREATE VIEW run_spend AS SELECT 'none' AS run_id")
    db.execute("DROP VIEW counted_calls")
    db.close()

    with Reader(filled) as reader:
        assert 3 == len(reader.report("run"))


@pytest.mark.parametrize(
    ("view", "columns"),
    [
        ("run_spend", {"run_id", "label", "calls", "blocked", "spent_usd", "first_at", "last_at"}),
        ("fleet_spend", {"fleet", "runs", "calls", "blocked", "spent_usd"}),
        ("vendor_daily", {"day", "vendor", "calls", "spent_usd", "blocked"}),
        (
            "blocked",
            {
                "at", "run_id", "label", "vendor", "operation", "code", "requested_usd", "spent_usd", "cap_usd",
                "cap_level", "cap_selector", "cap_window",
            },
        ),
    ],
)  # fmt: skip
def test_sqlite_utils_reads_the_views(filled: Path, view: str, columns: set[str]) -> None:
    """The file's own views have these columns in the tool that people use for it."""
    command = [sys.executable, "-m", "sqlite_utils", "rows", str(filled), view]
    rows = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert columns <= rows[0].keys()
    assert {row["run_id"]: row["spent_usd"] for row in rows if view == "run_spend"}.items() <= {
        "01JDRUN": 55.000001, "01JDHOUR": 0.0166, "01JDSUP": 0.000001,
    }.items()  # fmt: skip


def test_rows_are_named(filled: Path) -> None:
    """Both tables in order, each row saying which it is from."""
    with Reader(filled) as reader:
        assert 11 == reader.last_seq()
        assert [("calls", 10), ("calls", 11)] == [(row["table"], row["seq"]) for row in reader.rows(9)]
        assert "key_issued" == next(reader.rows())["action"]
