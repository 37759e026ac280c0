"""`runcap ledger`: look whether the ledger is sound, and make a lost one whole."""

import json
from pathlib import Path

import click

from runcap.cli._context import actor, ask_ledger
from runcap.cli._options import config_option, json_option
from runcap.ledger.ledger import Ledger


@click.group()
def ledger() -> None:
    """Check or rebuild the ledger."""


@ledger.command()
@config_option
@json_option
def check(config_path: Path | None, as_json: bool) -> None:
    """Compare all counters, open reservations and the audit; exit code 1 if anything differs.

    Each difference is one sentence. Calls may go on meanwhile.
    """
    from runcap.audit.schema import AuditFileError
    from runcap.config import load
    from runcap.ledger.checking import Checked, check_against_audit

    audit_path = load(config_path).audit_path

    async def ask(opened: Ledger) -> Checked:
        return await check_against_audit(opened, audit_path)

    try:
        found = ask_ledger(config_path, ask, sound=False)
    except AuditFileError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        facts = {"ok": not found.differences, "differences": found.differences, "compared": found.compared}
        click.echo(json.dumps(facts, indent=2))
    else:
        for difference in found.differences:
            click.echo(difference)
        if not found.differences:
            click.echo(
                "The ledger is sound: what is held is what the open reservations hold, and what is spent is what the "
                f"audit says ({found.compared} counters)."
            )
    if found.differences:
        raise click.exceptions.Exit(1)


@ledger.command()
@click.option("--unverified", is_flag=True, help="Go on although the audit's hash chain is broken.")
@config_option
@json_option
def rebuild(config_path: Path | None, as_json: bool, unverified: bool) -> None:
    """Make the ledger anew from the audit, whatever it holds now; calls are refused meanwhile.

    Runs, revocations, caps, freezes, counters, objects and idempotency records come back. Calls whose end the audit
    does not know stay held if the ledger still has them; what it lost before the audit had seen it, nobody can know.
    """
    from runcap.audit.schema import AuditFileError
    from runcap.config import load
    from runcap.ledger.opening import rebuild_on_request
    from runcap.ledger.rebuild import Rebuilt

    audit_path = load(config_path).audit_path

    async def ask(opened: Ledger) -> Rebuilt | None:
        return await rebuild_on_request(opened, audit_path, actor(), unverified=unverified)

    try:
        rebuilt = ask_ledger(config_path, ask, sound=False)
    except (AuditFileError, RuntimeError) as error:
        raise click.ClickException(f"{error}") from error
    if as_json:
        facts = None if rebuilt is None else {"rows": rebuilt.rows, "runs": rebuilt.runs, "open": rebuilt.open_calls}
        click.echo(json.dumps({"ok": True, "rebuilt": facts, "remarks": rebuilt.remarks if rebuilt else []}, indent=2))
    elif rebuilt is None:
        click.echo("The ledger has been rebuilt by the running runcap.")
    else:
        click.echo(f"The ledger has been rebuilt: {rebuilt.runs} runs from {rebuilt.rows} rows of the audit.")
        for remark in rebuilt.remarks:
            click.echo(remark)
