"""`runcap audit`: read the audit, prove that it is whole, take it elsewhere."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import click

from runcap.cli._audit_file import audit_options, audit_path, load_config, open_reader
from runcap.cli._rows import plain, write_csv

_FOLLOW_SECONDS = 0.5


@click.group()
def audit() -> None:
    """Read, verify and export the audit."""


@audit.command()
@click.option("-n", "--lines", type=click.IntRange(0), default=20, show_default=True, help="How many rows.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until interrupted.")
@click.option("--json", "as_json", is_flag=True, help="A JSON array; with --follow one object a line.")
@audit_options
def tail(*, lines: int, follow: bool, as_json: bool, config_path: Path | None, db: Path | None) -> None:
    """Show the last rows, calls and acts of administration in their order."""
    with open_reader(audit_path(config_path, db)) as reader:
        seen = max(0, reader.last_seq() - lines)
        rows = list(reader.rows(seen))
        if as_json and not follow:
            click.echo(json.dumps(rows, indent=2))
            return
        while True:
            for row in rows:
                click.echo(json.dumps(row) if as_json else _line(row))
                seen = row["seq"]
            if not follow:
                return
            time.sleep(_FOLLOW_SECONDS)
            rows = list(reader.rows(seen))


@audit.command()
@click.option("--anchor", "print_anchor", is_flag=True, help="Print SEQ:HASH of the last row, to be kept elsewhere.")
@click.option("--against", metavar="SEQ:HASH", multiple=True, help="Compare with an anchor that was kept elsewhere.")
@click.option("--no-ledger", is_flag=True, help="Do not compare with the anchor that the ledger keeps.")
@click.option("--json", "as_json", is_flag=True)
@audit_options
def verify(
    *,
    print_anchor: bool,
    against: tuple[str, ...],
    no_ledger: bool,
    as_json: bool,
    config_path: Path | None,
    db: Path | None,
) -> None:
    """Find any edit, deletion, reordering or cut tail; exits with 1 if there is one.

    Closed files beside the current one are verified too; --db is for one file alone. The end of the audit is compared
    with the anchor that the ledger keeps (unless --db or --no-ledger is given) and with those of --against.
    """
    from runcap.audit.chain import Anchor
    from runcap.audit.schema import AuditFileError
    from runcap.audit.verify import verify as verify_file
    from runcap.audit.verify import verify_all

    path, note = audit_path(config_path, db), None
    anchors: dict[str, Anchor] = {}
    try:
        for text in against:
            anchors[f"the anchor {text[:20]}…"] = Anchor.parse(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if db is None and not no_ledger and path.exists():
        # Before the file is read: the auditor may be writing, and the file is never behind the ledger's anchor.
        note = _add_ledgers_anchor(anchors, config_path)
    try:
        report = (verify_all if db is None else verify_file)(path, anchors)
    except AuditFileError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        found = {"ok": report.ok, "rows": report.last.seq - report.after.seq, "anchor": str(report.last)}
        click.echo(json.dumps({**found, "problems": report.problems, "compared_with": list(anchors), "note": note}))
    else:
        for line in (*report.problems, *([note] if note else [])):
            click.echo(line, err=True)
        if print_anchor and report.ok:
            click.echo(str(report.last))
        elif report.ok:
            compared = f"; its end is as {' and '.join(anchors)} knows it" if anchors else ""
            missing = f"; rows 1 to {report.after.seq} are in closed files elsewhere" if report.after.seq else ""
            click.echo(f"{report.last.seq - report.after.seq} rows, all as they were written{compared}{missing}")
    click.get_current_context().exit(0 if report.ok else 1)


@audit.command()
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option("--table", type=click.Choice(["calls", "admin"]), help="Only one table; CSV is calls unless told.")
@audit_options
def export(*, form: str, table: str | None, config_path: Path | None, db: Path | None) -> None:
    """Write all rows to standard output, oldest first: as they are, with their hashes.

    scripts/verify_export.py, which needs nothing of runcap, verifies what was written. In CSV all text is quoted, and
    nothing else is.
    """
    with open_reader(audit_path(config_path, db)) as reader:
        only = table or ("calls" if form == "csv" else None)
        rows = (row for row in reader.rows() if only in (None, row["table"]))
        if form == "csv":
            write_csv(rows, exact=True)
        else:
            for row in rows:
                click.echo(json.dumps(row))


@audit.command()
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="runcap.toml")
@click.option("--json", "as_json", is_flag=True)
def rotate(*, as_json: bool, config_path: Path | None) -> None:
    """Close the current file and go on in a new one, whose first row is chained to the old one's last.

    No row is deleted: the closed file is named for its first and last row, and can be kept elsewhere. Keep it beside
    the current one for as long as its rows count in a window that is open: `runcap ledger rebuild` needs them.
    """
    from runcap.cli._rotating import close_current_file

    config = load_config(config_path)
    closed = asyncio.run(close_current_file(config))
    click.echo(
        json.dumps({"closed": str(closed), "current": str(config.audit_path)}) if as_json else f"closed {closed}"
    )


def _add_ledgers_anchor(anchors: dict[str, Any], config_path: Path | None) -> str | None:
    """Ask the ledger for its anchor; returns why that was not possible."""
    from runcap.audit.chain import Anchor
    from runcap.decision import Refused

    config = load_config(config_path)

    async def ask() -> Any:
        from runcap.cli._context import open_ledger

        async with open_ledger(config, sound=False) as ledger:
            return await ledger.anchor()

    try:
        known = asyncio.run(ask())
    except (Refused, OSError, RuntimeError, click.ClickException) as error:
        return f"The end of the audit was not compared with the ledger: {error}"
    if known is None:
        return "The end of the audit was not compared with the ledger: it keeps no anchor yet."
    anchors["the ledger"] = Anchor(known.seq, known.hash)
    return None


def _line(row: dict[str, Any]) -> str:
    """One row for people."""
    from runcap.money import usd_from_micros

    start = f"{row['seq']:>7}  {row['at']}  "
    if row["table"] == "admin":
        return start + "  ".join(map(plain, ("admin", row["action"], row["label"] or row["run_id"], row["detail"])))
    cost = "-" if row["cost_micros"] is None else usd_from_micros(row["cost_micros"]) + " $"
    what = row["operation"] or f"{row['method'] or ''} {row['path'] or ''}"
    ending = row["code"] or row["outcome"]
    return start + "  ".join(
        map(plain, (row["decision"], ending, cost, row["label"], row["vendor"], what, row["status"]))
    )
