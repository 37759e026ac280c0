"""`runcap top`: the audit as it grows: today by vendor, the latest runs, the latest blocked calls."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from runcap.cli._audit_file import audit_options, audit_path, open_reader
from runcap.cli._rows import console, table

_RUNS = 15
_BLOCKED = 5
_BLOCKED_COLUMNS = ("at", "label", "operation", "code", "requested_usd", "spent_usd", "cap_usd", "cap_level")


@click.command()
@click.option("--once", is_flag=True, help="Show it once, and end.")
@click.option("--interval", type=click.FloatRange(0.2), default=1.0, show_default=True, help="Seconds.")
@click.option("--json", "as_json", is_flag=True, help="Implies --once.")
@audit_options
def top(*, once: bool, interval: float, as_json: bool, config_path: Path | None, db: Path | None) -> None:
    """Watch spend live, until interrupted."""
    with open_reader(audit_path(config_path, db)) as reader:
        if as_json:
            click.echo(json.dumps(_snapshot(reader), indent=2))
        elif once:
            console().print(_screen(_snapshot(reader)))
        else:
            _watch(reader, interval)


def _watch(reader: Any, interval: float) -> None:
    from rich.live import Live

    with Live(_screen(_snapshot(reader)), console=console(), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            live.update(_screen(_snapshot(reader)), refresh=True)


def _snapshot(reader: Any) -> dict[str, list[dict[str, Any]]]:
    return {
        "today": reader.day(f"{datetime.now(UTC):%Y-%m-%d}"),
        "runs": reader.report("run", limit=_RUNS),
        "blocked": reader.report("blocked", limit=_BLOCKED),
    }


def _screen(found: dict[str, list[dict[str, Any]]]) -> Any:
    from rich.console import Group
    from rich.text import Text

    shown = {
        "Today (UTC) by vendor": found["today"],
        "Latest runs": found["runs"],
        "Latest blocked calls": [{name: row[name] for name in _BLOCKED_COLUMNS} for row in found["blocked"]],
    }
    return Group(*(table(rows, title) if rows else Text(f"{title}: none") for title, rows in shown.items()))
