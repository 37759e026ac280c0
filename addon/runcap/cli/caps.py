"""`runcap caps`: ceilings that hold for many runs at once."""

import json
from pathlib import Path

import click

from runcap.cli._options import cap_options, caps_of, config_option, json_option, one_level
from runcap.hosts import KNOWN_VENDORS
from runcap.ledger.model import WINDOWS, Window

_fleet = click.option("--fleet", metavar="PREFIX", help="All runs whose label starts so; '' means every run.")
_vendor = click.option("--vendor", metavar="V", type=click.Choice(list(KNOWN_VENDORS)), help="One vendor, all runs.")
_run = click.option("--run", metavar="RUN", help="One run, by its id.")


@click.group()
def caps() -> None:
    """Set, list and remove caps of fleets and vendors."""


@caps.command("set")
@_fleet
@_vendor
@_run
@cap_options
@json_option
@config_option
def set_(
    *,
    fleet: str | None,
    vendor: str | None,
    run: str | None,
    daily_usd: int | None,
    monthly_usd: int | None,
    total_usd: int | None,
    as_json: bool,
    config_path: Path | None,
) -> None:
    """Set caps; a window that is not named stays as it is. What was spent before in the window counts.

    Caps of runcap.toml are set anew whenever `runcap up` starts.
    """
    from runcap.cli._context import actor, ask_ledger
    from runcap.cli._output import caps_fields

    level, selector = one_level(fleet=fleet, vendor=vendor, run=run)
    wanted = caps_of(daily_usd, monthly_usd, total_usd)
    changed = ask_ledger(config_path, lambda ledger: ledger.set_cap(level, selector, wanted, actor()))
    if as_json:
        fields = {"level": level, "selector": selector, "caps": caps_fields(wanted), "changed": changed}
        click.echo(json.dumps(fields, indent=2))
    else:
        amounts = ", ".join(f"{name} {amount}" for name, amount in caps_fields(wanted).items() if amount)
        click.echo(f"{level} {selector!r}: {amounts}{'' if changed else ' (as before)'}")


@caps.command("list")
@json_option
@config_option
def list_(*, as_json: bool, config_path: Path | None) -> None:
    """List the caps of fleets and vendors, with what their windows have counted."""
    from runcap.cli._context import ask_ledger
    from runcap.cli._output import listing, spend_fields

    settings = ask_ledger(config_path, lambda ledger: ledger.list_caps())
    rows = [
        {
            "level": setting.level,
            "selector": setting.selector,
            "window": setting.window,
            **spend_fields(setting.spend, setting.cap_micros),
        }
        for setting in settings
    ]
    listing(rows, as_json=as_json, empty="No fleet or vendor has a cap.")


@caps.command()
@_fleet
@_vendor
@_run
@click.option("--window", type=click.Choice(list(WINDOWS)), help="Only this one; default all.")
@config_option
def remove(
    *, fleet: str | None, vendor: str | None, run: str | None, window: Window | None, config_path: Path | None
) -> None:
    """Remove a cap, or all of a fleet, vendor or run."""
    from runcap.cli._context import actor, ask_ledger

    level, selector = one_level(fleet=fleet, vendor=vendor, run=run)
    changed = ask_ledger(config_path, lambda ledger: ledger.remove_cap(level, selector, window, actor()))
    if not changed:
        raise click.ClickException(f"{level} {selector!r} has no such cap.")
    click.echo(f"{level} {selector!r}: removed")
