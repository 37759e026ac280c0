"""`runcap keys`: vault keys, each of exactly one run."""

import asyncio
import json
from pathlib import Path
from typing import Any

import click

from runcap.cli._options import caps_of, config_option, json_option, run_options
from runcap.hosts import KNOWN_VENDORS
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import WINDOWS, Caps, Run, Spend
from runcap.ledger.policy import NO_POLICY, Policy


@click.group()
def keys() -> None:
    """Issue, list, show and revoke runs' vault keys."""


@keys.command()
@run_options
@click.option("--no-cap", is_flag=True, help="Issue it without a cap of its own: only fleet and vendor caps hold.")
@json_option
@config_option
def issue(
    *,
    label: str,
    daily_usd: int | None,
    monthly_usd: int | None,
    total_usd: int | None,
    ttl_ms: int,
    vendors: tuple[str, ...],
    policy: Policy,
    no_cap: bool,
    as_json: bool,
    config_path: Path | None,
) -> None:
    """Issue the vault key of one run. It is shown this once; the ledger keeps only its SHA-256."""
    from runcap.cli._context import ask_ledger
    from runcap.cli._output import caps_fields, usd, utc

    given = (daily_usd, monthly_usd, total_usd)
    caps = Caps() if no_cap and given == (None, None, None) else caps_of(*given)
    vault_key, run = new_run(label, caps, vendors=vendors, policy=policy)
    run = ask_ledger(config_path, lambda ledger: issue_run(ledger, run, ttl_ms))
    fields = {
        "vault_key": vault_key,
        "run_id": run.run_id,
        "label": run.label,
        "caps": caps_fields(run.caps),
        "expires_at": utc(run.expires_at_ms),
    }
    if as_json:
        click.echo(json.dumps(fields, indent=2))
        return
    limits = [
        f"${usd(cap)} {per}"
        for cap, per in ((caps.day, "a day"), (caps.month, "a month"), (caps.total, "in total"))
        if cap is not None
    ]
    click.echo(f"vault key  {vault_key}")
    click.echo(f"run        {run.run_id}  {run.label}")
    click.echo(f"caps       {', '.join(limits) or 'none of its own'}")
    click.echo(f"expires    {fields['expires_at']}")


@keys.command("list")
@click.option("--label", "prefix", metavar="PREFIX", default="", help="Only runs whose label starts so.")
@click.option("-n", "--limit", type=click.IntRange(1, 100_000), default=1000, show_default=True)
@json_option
@config_option
def list_(*, prefix: str, limit: int, as_json: bool, config_path: Path | None) -> None:
    """List the runs that have been issued."""
    from runcap.cli._context import ask_ledger
    from runcap.cli._output import caps_fields, listing, utc

    async def ask(ledger: Ledger) -> tuple[list[Run], int]:
        return await ledger.list_runs(prefix, limit), await ledger.clock_ms()

    runs, now_ms = ask_ledger(config_path, ask)
    rows: list[dict[str, Any]] = []
    for run in runs:
        row: dict[str, Any] = {"run_id": run.run_id, "label": run.label, "state": state(run, now_ms)}
        row["vendors"] = list(run.vendors) if as_json else ", ".join(run.vendors)
        row |= {"caps": caps_fields(run.caps)} if as_json else caps_fields(run.caps)
        row |= {"created_at": utc(run.created_at_ms), "expires_at": utc(run.expires_at_ms)}
        rows.append(row)
    listing(rows, as_json=as_json, empty="No runs have been issued.")


@keys.command()
@click.argument("run_id", metavar="RUN")
@json_option
@config_option
def show(*, run_id: str, as_json: bool, config_path: Path | None) -> None:
    """Show what a run may do, and what it has spent."""
    from runcap.cli._context import ask_ledger
    from runcap.cli._output import caps_fields, listing, spend_fields, utc

    async def ask(ledger: Ledger) -> tuple[Run, dict[Any, Spend], int]:
        run = await ledger.get_run(run_id)
        if run is None:
            raise LookupError(f"there is no run {run_id}")
        spend, now_ms = await asyncio.gather(ledger.spend("run", run_id), ledger.clock_ms())
        return run, spend, now_ms

    run, spend, now_ms = ask_ledger(config_path, ask)
    caps = dict(zip(WINDOWS, (run.caps.day, run.caps.month, run.caps.total), strict=True))
    windows = {window: spend_fields(spend[window], caps[window]) for window in WINDOWS}
    fields = {
        "run_id": run.run_id,
        "label": run.label,
        "state": state(run, now_ms),
        "vendors": list(run.vendors),
        "only": list(run.policy.only),
        "allow": list(run.policy.allow),
        "policy": run.policy.fields(),
        "caps": caps_fields(run.caps),
        "created_at": utc(run.created_at_ms),
        "expires_at": utc(run.expires_at_ms),
        "revoked_at": utc(run.revoked_at_ms),
        "spend": windows,
    }
    if as_json:
        click.echo(json.dumps(fields, indent=2))
        return
    restricting = {name: rule for name, rule in run.policy.fields().items() if rule != NO_POLICY.fields()[name]}
    for name, value in {**fields, **restricting}.items():
        if name not in ("caps", "spend", "policy") and value not in (None, []):
            click.echo(f"{name:<16}{', '.join(value) if isinstance(value, list) else value}")
    listing([{"window": window, **row} for window, row in windows.items()], as_json=False, empty="")


@keys.command()
@click.argument("run_id", metavar="RUN")
@json_option
@config_option
def revoke(*, run_id: str, as_json: bool, config_path: Path | None) -> None:
    """Revoke a run's key: the very next call with it is refused. Calls under way are still counted."""
    from runcap.cli._context import actor, ask_ledger
    from runcap.cli._output import utc

    async def ask(ledger: Ledger) -> Run:
        run = await ledger.revoke(run_id, actor())
        if run is None:
            raise LookupError(f"there is no run {run_id}")
        return run

    run = ask_ledger(config_path, ask)
    fields = {"run_id": run.run_id, "label": run.label, "revoked_at": utc(run.revoked_at_ms)}
    click.echo(json.dumps(fields, indent=2) if as_json else f"revoked {run.run_id}  {run.label}")


def new_run(label: str, caps: Caps, *, vendors: tuple[str, ...], policy: Policy = NO_POLICY) -> tuple[str, Run]:
    """A new vault key and its run, not issued yet. No vendors named means all.

    Raises:
        click.BadParameter: the label is not acceptable.
    """
    from runcap.runs import check_label, key_digest, new_run_id, new_vault_key

    try:
        check_label(label)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--label") from error
    vault_key = new_vault_key()
    return vault_key, Run(
        run_id=new_run_id(),
        label=label,
        key_digest=key_digest(vault_key),
        caps=caps,
        # A vendor named twice is one; the order is always the same.
        vendors=tuple(name for name in KNOWN_VENDORS if not vendors or name in vendors),
        policy=policy,
    )


async def issue_run(ledger: Ledger, run: Run, ttl_ms: int) -> Run:
    """Issue a run that expires `ttl_ms` from now by the ledger's clock."""
    from runcap.cli._context import actor

    return await ledger.issue(run, actor(), ttl_ms=ttl_ms)


def state(run: Run, now_ms: int) -> str:
    """What the next call of the run would meet: ``revoked``, ``expired``, ``frozen`` or ``active``."""
    if run.revoked_at_ms is not None:
        return "revoked"
    if run.expires_at_ms is not None and run.expires_at_ms <= now_ms:
        return "expired"
    return "frozen" if run.frozen else "active"
