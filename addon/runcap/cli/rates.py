"""`runcap rates`: what calls are priced by, and how an operator brings prices of their own."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runcap.cli._options import config_option, json_option
from runcap.hosts import KNOWN_VENDORS

if TYPE_CHECKING:
    from runcap.config import Config
    from runcap.rates.folder import Change

_IMPORTS = ("twilio-sms", "twilio-voice", "twilio-channels", "fx")
_vendor = click.option("--vendor", metavar="V", type=click.Choice(list(KNOWN_VENDORS)), help="Only this one.")


def _country(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    if text is not None and not (len(text) == 2 and text.isascii() and text.isalpha()):
        raise click.BadParameter(f"{text!r} is no country: write its two letters, such as US.")
    return None if text is None else text.upper()


_country_option = click.option(
    "--country", metavar="CC", callback=_country, help="Only this country, such as US, with the prices of all prefixes."
)


@click.group()
def rates() -> None:
    """Show, import and sync prices and exchange rates."""


@rates.command()
@_vendor
@_country_option
@click.option(
    "--operations", is_flag=True, help="List all operations instead: free, priced by what, or refused and why."
)
@click.option("--history", is_flag=True, help="List the changes instead: who, when, from what.")
@json_option
@config_option
def show(
    *,
    vendor: str | None,
    country: str | None,
    operations: bool,
    history: bool,
    as_json: bool,
    config_path: Path | None,
) -> None:
    """Show the prices in force, with their source and date, and the exchange rates with their age."""
    import json

    from runcap.cli._output import listing
    from runcap.config import load
    from runcap.rates.folder import RatesFolder

    if operations + history + (country is not None) > 1:
        raise click.UsageError("--operations, --history and --country exclude each other")
    if operations:
        listing(_operations(vendor), as_json=as_json, empty="")
        return
    config = load(config_path)
    if history:
        rows = RatesFolder(config.home).history()
        if not as_json:
            rows = [{**row, "counts": _counts(row["counts"])} for row in rows]
        listing(rows, as_json=as_json, empty="Nothing has been imported yet.")
        return
    prices = _prices(config, vendor, country)
    exchange = _exchange(config) if vendor in (None, "stripe", "twilio") and country is None else []
    if as_json:
        click.echo(json.dumps({"prices": prices, "exchange_rates": exchange}, indent=2))
        return
    if prices:
        listing(prices, as_json=False, empty="")
    elif country is not None:
        click.echo(f"There is no price for {country}: calls and messages to it are refused.")
    if vendor == "stripe":
        click.echo("Stripe's amounts stand in the calls, or are looked up; other currencies are converted:")
    if exchange:
        click.echo()
        listing(exchange, as_json=False, empty="")


@rates.command("import")
@click.argument("what", type=click.Choice(list(_IMPORTS)))
@click.argument("file", type=click.Path(path_type=Path))
@config_option
def import_(*, what: str, file: Path, config_path: Path | None) -> None:
    """Put the prices of FILE in force, in place of those of the same kind.

    twilio-sms and twilio-voice are Twilio's own lists in CSV. twilio-channels is a CSV of
    "Channel,ISO,Price / message", such as whatsapp,US,0.0300. fx is JSON: {"date": "2026-11-02",
    "usd_per_unit": {"EUR": "1.0712"}}.
    """
    from runcap.config import load
    from runcap.rates import importing
    from runcap.rates.folder import RatesFolder

    config = load(config_path)
    try:
        if what == "fx":
            change = importing.read_fx(file)
        else:
            change = importing.read_twilio(RatesFolder(config.home), what, file, _today())
    except OSError as error:
        raise click.ClickException(f"{file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise click.ClickException(f"{error}.") from error
    _apply(config, config_path, change)
    if what == "fx":
        if config.fx.rates_file is not None:
            click.echo(f"They are not in use: fx.rates_file is {config.fx.rates_file}.", err=True)
        click.echo("A proxy that is running takes them when it is started anew.")


@rates.command()
@click.argument("vendor", type=click.Choice(["twilio"]))
@click.option("--country", "countries", metavar="CC", multiple=True, help="Only this one. Repeatable; default all.")
@config_option
def sync(*, vendor: str, countries: tuple[str, ...], config_path: Path | None) -> None:
    """Put in force what the account itself pays, by VENDOR's Pricing API; some 700 questions for all countries."""
    import asyncio

    from runcap.config import load
    from runcap.rates import importing
    from runcap.rates.folder import RatesFolder
    from runcap.rates.inforce import exchange_rates
    from runcap.rates.twilio_api import HOST, SyncError
    from runcap.secretstore import SecretStore
    from runcap.upstream.pool import Route
    from runcap.vendors.twilio import Twilio

    config = load(config_path)
    twilio = config.vendors[vendor]
    if not twilio.account_sid:
        raise click.ClickException("There is no account to ask for: set vendors.twilio.account_sid in runcap.toml.")
    assert twilio.pricing_upstream is not None
    secret = SecretStore(config).get(vendor).reveal()
    reading = importing.read_account(
        RatesFolder(config.home),
        Route(HOST, twilio.pricing_upstream.host, twilio.pricing_upstream.port, twilio.upstream_ca),
        Twilio(twilio.account_sid).lookup_headers(secret),
        exchange_rates(config),
        today=_today(),
        only=frozenset(country.upper() for country in countries) or None,
    )
    try:
        change = asyncio.run(reading)
    except SyncError as error:
        raise click.ClickException(f"{error}. The prices in force are the old ones.") from error
    _apply(config, config_path, change)


def _prices(config: "Config", vendor: str | None, country: str | None) -> list[dict[str, object]]:
    from runcap.rates import listing, twilio_table
    from runcap.rates.folder import TWILIO, RatesFolder

    rows: list[dict[str, object]] = []
    if vendor in (None, "twilio"):
        table = RatesFolder(config.home).read(TWILIO) or twilio_table.bundled()
        rows += listing.twilio_rows(table, country)
    if vendor in (None, "resend") and country is None:
        rows += listing.resend_rows()
    return rows


def _exchange(config: "Config") -> list[dict[str, object]]:
    import logging

    from runcap.fx import WARN_AGE_DAYS
    from runcap.rates.inforce import exchange_rates
    from runcap.rates.listing import fx_rows

    # Loading old rates warns in the log; here the person who can do something about it is told what.
    logger = logging.getLogger("runcap.fx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        found = exchange_rates(config)
    finally:
        logger.setLevel(level)
    age = found.age_days(_today())
    if age > WARN_AGE_DAYS:
        click.echo(f"The exchange rates are {age} days old: `runcap rates import fx` brings newer ones.", err=True)
    return fx_rows(found, _today())


def _operations(vendor: str | None) -> list[dict[str, object]]:
    from runcap.rates.listing import operation_rows
    from runcap.vendors.catalogue import known
    from runcap.vendors.stripe.catalogue import catalogue

    rows: list[dict[str, object]] = []
    for name in KNOWN_VENDORS if vendor is None else (vendor,):
        found = catalogue() if name == "stripe" else known(f"{name}_catalogue.json").operations
        rows += operation_rows(name, found.operations)
    return rows


def _apply(config: "Config", config_path: Path | None, change: "Change") -> None:
    """Put a table in force; it has its row in the audit before that, or is not."""
    from runcap.cli._context import actor, ask_ledger
    from runcap.rates.folder import RatesFolder

    folder = RatesFolder(config.home)
    detail = folder.describe(change)
    ask_ledger(config_path, lambda ledger: ledger.note("rates_changed", detail, actor()))
    folder.apply(change, actor())
    click.echo(f"{change.action}: {_counts(change.counts)} in force")
    if change.left_out:
        click.echo(f"Not readable, so refused from now on: {', '.join(change.left_out)}.", err=True)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()
