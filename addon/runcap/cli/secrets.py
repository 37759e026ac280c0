"""`runcap secrets`: the vendors' real secrets, never on a command line and never shown."""

import sys
from pathlib import Path

import click

from runcap.cli._options import config_option, json_option
from runcap.hosts import KNOWN_VENDORS
from runcap.ledger.ledger import Ledger

_vendors = click.Choice(list(KNOWN_VENDORS))


@click.group()
def secrets() -> None:
    """Seal vendors' secrets, and see where each comes from."""


@secrets.command("set")
@click.argument("vendor", type=_vendors)
@config_option
def set_(*, vendor: str, config_path: Path | None) -> None:
    """Store VENDOR's secret encrypted below home. It is read from stdin, or asked for on a terminal."""
    from runcap.cli._context import actor, ask_ledger
    from runcap.config import load
    from runcap.secretstore import SecretStore

    config = load(config_path)
    asked = sys.stdin.isatty()
    value = click.prompt(f"Secret for {vendor}", hide_input=True) if asked else sys.stdin.read(4096)
    store = SecretStore(config)

    async def seal(ledger: Ledger) -> None:
        # With the ledger open: a secret that is changed without a row in the audit would be nobody's doing.
        action = "secret_changed" if vendor in store.sealed_vendors() else "secret_sealed"
        store.seal(vendor, value.strip())
        await ledger.note(action, {"vendor": vendor}, actor())

    ask_ledger(config_path, seal)
    click.echo(f"sealed the secret for {vendor} in {config.home / 'secrets.json'}")
    if store.source(vendor) != "sealed":
        click.echo(
            f"It is not in use: vendors.{vendor}.secret is {store.source(vendor)}. "
            f'Write secret = "sealed" below [vendors.{vendor}] in runcap.toml.',
            err=True,
        )


@secrets.command("list")
@click.argument("vendor", type=_vendors, required=False)
@json_option
@config_option
def list_(*, vendor: str | None, as_json: bool, config_path: Path | None) -> None:
    """Show where each vendor's secret comes from, and whether one is there that can be used."""
    from runcap.cli._output import listing
    from runcap.config import load
    from runcap.secretstore import SecretMissing, SecretStore

    store = SecretStore(load(config_path))
    sealed = store.sealed_vendors()
    rows = []
    for name in (vendor,) if vendor else KNOWN_VENDORS:
        state, problem = "set", None
        try:
            store.get(name)
        except SecretMissing as error:
            state, problem = "missing", str(error)
        except ValueError as error:
            state, problem = "unusable", str(error)
        rows.append(
            {
                "vendor": name,
                "source": store.source(name),
                "state": state,
                "sealed_at": sealed.get(name),
                "problem": problem,
            }
        )
    listing(rows, as_json=as_json, empty="")
