"""`runcap ledger`: look whether the ledger is sound."""

import json
from pathlib import Path

import click

from runcap.cli._context import ask_ledger
from runcap.cli._options import config_option, json_option
from runcap.ledger.ledger import Ledger


@click.group()
def ledger() -> None:
    """Check or rebuild the ledger."""


@ledger.command()
@config_option
@json_option
def check(config_path: Path | None, as_json: bool) -> None:
    """Compare what is held with the open reservations; exit code 1 if anything differs."""

    async def ask(opened: Ledger) -> list[str]:
        return await opened.check()

    differences = ask_ledger(config_path, ask)
    if as_json:
        click.echo(json.dumps({"ok": not differences, "differences": differences}, indent=2))
    elif differences:
        for difference in differences:
            click.echo(difference)
    else:
        click.echo("The ledger is sound: what is held is what the open reservations hold.")
    if differences:
        raise click.exceptions.Exit(1)
