"""`runcap runs`: what each run has spent."""

from pathlib import Path

import click

from runcap.cli._audit_file import audit_options, audit_path, open_reader
from runcap.cli._rows import show


@click.command()
@click.option("--label", metavar="PREFIX", help="Only runs whose label starts so.")
@click.option("-n", "--limit", type=click.IntRange(1), help="Only the latest.")
@click.option("--json", "as_json", is_flag=True)
@audit_options
def runs(*, label: str | None, limit: int | None, as_json: bool, config_path: Path | None, db: Path | None) -> None:
    """Show what each run has spent, the latest first."""
    with open_reader(audit_path(config_path, db)) as reader:
        show(reader.report("run", label=label, limit=limit), as_json=as_json)
