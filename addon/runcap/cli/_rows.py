"""How rows are shown: a table for people, JSON and CSV for scripts."""

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click


def show(rows: Sequence[dict[str, Any]], *, as_json: bool, as_csv: bool = False, title: str = "") -> None:
    """Print rows as a JSON array, as CSV, or as a table for people."""
    if as_json:
        click.echo(json.dumps(list(rows), indent=2))
    elif as_csv:
        write_csv(rows)
    elif not rows:
        click.echo("nothing in the audit yet")
    else:
        console().print(table(rows, title))


def write_csv(rows: Iterable[dict[str, Any]], *, exact: bool = False) -> None:
    """Print rows as CSV with a line of names, one by one; nothing without rows.

    Args:
        rows: all with the same names.
        exact: quote all text and nothing else, so that null, text and numbers can be told apart.
    """
    writer: csv.DictWriter[str] | None = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(
                sys.stdout, list(row), lineterminator="\n", quoting=csv.QUOTE_STRINGS if exact else csv.QUOTE_MINIMAL
            )
            writer.writeheader()
        writer.writerow(row)


def console() -> Any:
    """A console that does not squeeze what goes to a file or a pipe."""
    from rich.console import Console

    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=220)


def table(rows: Sequence[dict[str, Any]], title: str = "") -> Any:
    """A table for people: amounts and counts to the right."""
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title or None, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for name in rows[0]:
        right = name.endswith("_usd") or isinstance(rows[0][name], int)
        made.add_column(name.removesuffix("_usd") + (" $" if name.endswith("_usd") else ""),
                        justify="right" if right else "left", overflow="fold")  # fmt: skip
    for row in rows:
        # Text, not markup: labels are free text, and paths come from the agent.
        made.add_row(*(Text(plain(value)) for value in row.values()))
    return made


def plain(value: Any) -> str:
    """A value as text that cannot steer a terminal."""
    text = "" if value is None else str(value)
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
