"""`runcap report`: spend by run, fleet, vendor or day, a forecast for the month, and what was blocked."""

from pathlib import Path

import click

from runcap.audit.reports import REPORTS, By
from runcap.cli._audit_file import audit_options, audit_path, open_reader
from runcap.cli._rows import show


@click.command()
@click.option("--by", type=click.Choice(REPORTS), default="run", show_default=True)
@click.option("--label", metavar="PREFIX", help="Only runs whose label starts so; by run and blocked.")
@click.option("-n", "--limit", type=click.IntRange(1), help="Only the first rows.")
@click.option("--json", "as_json", is_flag=True)
@click.option("--csv", "as_csv", is_flag=True)
@audit_options
def report(
    *,
    by: By,
    label: str | None,
    limit: int | None,
    as_json: bool,
    as_csv: bool,
    config_path: Path | None,
    db: Path | None,
) -> None:
    """Report what was spent, from the audit.

    The forecast is linear: this month's spend so far, at the same pace to its end.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    if label is not None and by not in ("run", "blocked"):
        raise click.UsageError("--label goes with --by run and --by blocked")
    with open_reader(audit_path(config_path, db)) as reader:
        show(reader.report(by, label=label, limit=limit), as_json=as_json, as_csv=as_csv)
