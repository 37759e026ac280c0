"""What people read of the audit: the views' rows with exact dollars, and the last rows themselves.

The views of views.sql are made anew, as temporary ones, for each reading: a file that an older version wrote, or
that somebody has put other views into, tells the same story.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self, get_args

from runcap.audit.chain import COLUMNS, Row
from runcap.audit.reading import open_readonly, read_rows
from runcap.audit.schema import parts
from runcap.money import usd_from_micros

By = Literal["run", "fleet", "vendor", "day", "forecast", "blocked"]
REPORTS: tuple[By, ...] = get_args(By)

_QUERIES: dict[By, str] = {
    "run": """
        SELECT run_id, label, calls, blocked, refused, spent_micros, first_at, last_at
        FROM run_spend
        WHERE (:label IS NULL OR substr(label, 1, length(:label)) = :label)
        ORDER BY last_at DESC, run_id DESC
    """,
    "fleet": """
        SELECT fleet, labels, runs, calls, blocked, refused, spent_micros, first_at, last_at
        FROM fleet_spend ORDER BY spent_micros DESC, fleet
    """,
    "vendor": """
        SELECT vendor, sum(calls) AS calls, sum(blocked) AS blocked, sum(refused) AS refused,
            sum(spent_micros) AS spent_micros, min(day) AS first_day, max(day) AS last_day
        FROM vendor_daily GROUP BY vendor ORDER BY vendor
    """,
    "day": """
        SELECT day, vendor, calls, blocked, refused, spent_micros
        FROM vendor_daily ORDER BY day DESC, vendor
    """,
    "forecast": """
        SELECT month, vendor, spent_micros, forecast_micros FROM month_forecast ORDER BY vendor
    """,
    "blocked": """
        SELECT at, run_id, label, vendor, operation, code, requested_micros, spent_micros, cap_micros, cap_level,
            cap_selector, cap_window
        FROM blocked
        WHERE (:label IS NULL OR substr(label, 1, length(:label)) = :label)
        ORDER BY seq DESC
    """,
}

_DAY = """
    SELECT :day AS day, vendor, sum(calls) AS calls, sum(blocked) AS blocked, sum(refused) AS refused,
        sum(counted_micros) AS spent_micros
    FROM (
        SELECT vendor, 1 AS calls, decision = 'blocked' AS blocked, decision = 'refused' AS refused, counted_micros
        FROM counted_calls WHERE at >= :day AND at < :day || 'U'
        UNION ALL
        SELECT vendor, 0, 0, 0, counted_micros FROM adjustments WHERE day = :day
    )
    WHERE vendor IS NOT NULL GROUP BY vendor ORDER BY vendor
"""
"""One day of `vendor_daily` by the index on `at`, which goes on with a T behind the day."""

_LATEST = """
    SELECT run_id, at FROM calls
    WHERE run_id IS NOT NULL AND (:label IS NULL OR substr(label, 1, length(:label)) = :label)
    ORDER BY at DESC LIMIT :calls
"""
_LATEST_CALLS = 200_000
"""In how many calls the latest runs are looked for, before all runs are summed up instead."""

_SOME_RUNS = """
    SELECT run_id, max(label) AS label, sum(calls) AS calls, sum(blocked) AS blocked, sum(refused) AS refused,
        sum(counted_micros) AS spent_micros, min(at) AS first_at, max(at) AS last_at
    FROM (
        SELECT run_id, label, at, 1 AS calls, decision = 'blocked' AS blocked, decision = 'refused' AS refused,
            counted_micros
        FROM counted_calls WHERE run_id IN (SELECT value FROM json_each(:runs))
        UNION ALL
        SELECT run_id, label, NULL, 0, 0, 0, counted_micros
        FROM adjustments WHERE run_id IN (SELECT value FROM json_each(:runs))
    )
    GROUP BY run_id ORDER BY last_at DESC, run_id DESC LIMIT :limit
"""
"""The same as `run`, for a few of them: SQLite does not take a condition on the view to the index below it."""


class Reader:
    """One audit, open for reading; a context manager."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            AuditFileError: there is none, or it cannot be read.
        """
        self._db = open_readonly(path)
        for part in parts():
            if part.kind == "view":
                self._db.execute(part.sql.replace("CREATE VIEW", "CREATE TEMP VIEW", 1))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def report(self, by: By, *, label: str | None = None, limit: int | None = None) -> list[dict[str, Any]]:
        """One report's rows, amounts as exact dollars in text (``"12.50"``).

        Args:
            by: which.
            label: only runs whose label starts so; for ``run`` and ``blocked``.
            limit: the first that many rows.
        """
        if by == "run" and limit is not None and (runs := self._latest_runs(label, limit)):
            return self._rows(_SOME_RUNS, runs=json.dumps(runs), limit=limit)
        return self._rows(f"{_QUERIES[by]} LIMIT :limit", label=label, limit=-1 if limit is None else limit)

    def day(self, day: str) -> list[dict[str, Any]]:
        """The vendors' rows of one day, written as 2026-11-24."""
        return self._rows(_DAY, day=day)

    def _latest_runs(self, label: str | None, limit: int) -> list[str]:
        """At least the last `limit` runs to have made a call, by id; none if the last calls are of fewer runs."""
        last_at: dict[str, str] = {}
        for run_id, at in self._db.execute(_LATEST, {"label": label, "calls": _LATEST_CALLS}):
            if len(last_at) >= limit and at < min(last_at.values()):
                return list(last_at)
            last_at.setdefault(run_id, at)
        return []

    def _rows(self, query: str, **values: object) -> list[dict[str, Any]]:
        cursor = self._db.execute(query, values)
        names = [column[0] for column in cursor.description]
        return [_in_dollars(dict(zip(names, row, strict=True))) for row in cursor]

    def last_seq(self) -> int:
        """The number of the last row; 0 if there is none."""
        query = "SELECT max((SELECT coalesce(max(seq), 0) FROM calls), (SELECT coalesce(max(seq), 0) FROM admin))"
        return int(self._db.execute(query).fetchone()[0])

    def rows(self, after: int = 0) -> Iterator[dict[str, Any]]:
        """The audit's own rows above a seq, both tables in order; ``table`` says which."""
        return (named(row) for row in read_rows(self._db, after))


def named(row: Row) -> dict[str, Any]:
    """A row by column names, its table first."""
    table = str(row[0])
    return {"table": table, **dict(zip(COLUMNS[table], row[1:], strict=True))}


def _in_dollars(row: dict[str, Any]) -> dict[str, Any]:
    """Replace each amount in micros by one in dollars."""
    return {
        name.replace("_micros", "_usd") if name.endswith("_micros") else name: (
            usd_from_micros(value) if name.endswith("_micros") and value is not None else value
        )
        for name, value in row.items()
    }
