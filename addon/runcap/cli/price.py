"""`runcap price`: what a call would cost and why, and what would be forwarded. Nothing is reserved or sent."""

import asyncio
import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runcap.cli._options import config_option, json_option
from runcap.config import Config
from runcap.hosts import KNOWN_VENDORS

if TYPE_CHECKING:
    from runcap.explain import Explanation
    from runcap.lookups import Asking
    from runcap.vendors.base import Lookup, Quote, Vendor

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@click.command()
@click.option(
    "--vendor",
    "vendor_name",
    metavar="V",
    type=click.Choice(list(KNOWN_VENDORS)),
    required=True,
    help=f"Whose call it is ({', '.join(KNOWN_VENDORS)}).",
)
@click.option("--method", metavar="M", type=click.Choice(_METHODS), default="POST", show_default=True)
@click.option("--path", metavar="P", required=True, help="As it would be called, such as /v1/refunds.")
@click.option("--data", metavar="D", default="", help="The body: a form, or JSON where the vendor takes that.")
@click.option(
    "-H",
    "--header",
    "headers",
    metavar="'N: V'",
    multiple=True,
    help="A header, such as 'Stripe-Account: acct_…'. Repeatable.",
)
@click.option(
    "--lookup",
    is_flag=True,
    help="Ask the vendor, with the real secret, for what the price depends on. It is only read.",
)
@json_option
@config_option
def price(
    *,
    vendor_name: str,
    method: str,
    path: str,
    data: str,
    headers: tuple[str, ...],
    lookup: bool,
    as_json: bool,
    config_path: Path | None,
) -> None:
    """Explain what a call costs: operation, parameters, quote, rate, and what would be forwarded.

    Exits with 1 if it would be refused. Caps and policies are those of a run, and are not asked.
    """  # fmt: skip
    from runcap.config import load
    from runcap.decision import Refused
    from runcap.explain import message_for
    from runcap.parts import make_vendors

    config = load(config_path)
    vendor = next(found for found in make_vendors(config).values() if found.name == vendor_name)
    message = message_for(vendor, method, path, data, tuple(_header(text) for text in headers))
    try:
        explained, made = asyncio.run(_explained(config, vendor, message, lookup=lookup))
    except Refused as refused:
        _refused(str(refused), {"code": str(refused.deny.code), "message": str(refused)}, as_json=as_json)
    fields = _fields(config, vendor, explained, made)
    if as_json:
        click.echo(json.dumps(fields, indent=2))
    else:
        _show(fields)
    if explained.refused_by_default is not None:
        click.echo(f"Refused: {explained.refused_by_default}", err=True)
        raise click.exceptions.Exit(1)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.UsageError(f"--header is {text!r}: write it like 'Stripe-Account: acct_1OaPXq2eZvKYlo2C'")
    return name.strip(), value.strip()


def _refused(sentence: str, fields: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"refused": fields}, indent=2))
    click.echo(f"Refused: {sentence}", err=True)
    raise click.exceptions.Exit(1)


async def _explained(
    config: Config, vendor: "Vendor", message: Any, *, lookup: bool
) -> tuple["Explanation", list[dict[str, Any]]]:
    """The explanation, and the lookups that were made for it."""
    from runcap.explain import explain

    if not lookup:
        return await explain(vendor, message, None), []
    from runcap.lookups import Lookups
    from runcap.parts import make_forwarder
    from runcap.secretstore import SecretStore

    secret = SecretStore(config).get(vendor.name)
    async with make_forwarder(config) as forwarder:
        lookups = Lookups(forwarder)
        asking: Asking = lookups.begin(vendor.name, vendor.lookup_headers(secret.reveal()))
        explained = await explain(vendor, message, lambda wanted: lookups.look_up(asking, wanted))
    return explained, asking.made


def _fields(config: Config, vendor: "Vendor", explained: "Explanation", made: list[dict[str, Any]]) -> dict[str, Any]:
    from runcap.money import usd_from_micros

    plan, quote = explained.plan, explained.quote
    operation, upstream = plan.operation, plan.upstream
    return {
        "vendor": vendor.name,
        "operation": operation.name,
        "kind": str(operation.kind),
        "direction": plan.direction or None,
        "refused_by_default": explained.refused_by_default,
        "account": plan.account,
        "parameters": {**plan.path_params, **plan.params},
        "lookups": made,
        "would_look_up": None if quote is not None else _question(explained.lookups[-1]),
        "quote_usd": None if quote is None else usd_from_micros(quote.micros),
        "quote_micros": None if quote is None else quote.micros,
        "amount_minor": None if quote is None else quote.amount_minor,
        "currency": None if quote is None else quote.currency,
        "country": None if quote is None else quote.country,
        "object": None if quote is None else quote.object_id,
        "rate": _rate(config, quote),
        "price_list": _price_list(config, vendor.name, quote),
        "forwarded": {
            "method": upstream.method,
            "path": upstream.path,
            "query": upstream.query,
            "headers": dict(upstream.headers),
            "body": upstream.body.decode("latin-1"),
        },
    }


def _question(lookup: "Lookup") -> str:
    from runcap.lookups import as_upstream

    asked = as_upstream(lookup)
    return f"{asked.method} {asked.path}" + (f"?{asked.query}" if asked.query else "")


def _rate(config: Config, quote: "Quote | None") -> dict[str, Any] | None:
    """What the currency was converted at; None if nothing was: it is USD, or a vendor's own list in USD."""
    if quote is None or quote.currency in (None, "USD"):
        return None
    from runcap.rates.inforce import exchange_rates
    from runcap.rates.listing import fx_rows

    today = dt.datetime.now(dt.UTC).date()
    return next((row for row in fx_rows(exchange_rates(config), today) if row["currency"] == quote.currency), None)


def _price_list(config: Config, vendor: str, quote: "Quote | None") -> list[dict[str, Any]]:
    """Where the vendor's list prices are from, and of when; empty where money is moved, not billed."""
    if quote is None or vendor == "stripe" or not quote.micros:
        return []
    from runcap.rates import twilio_table
    from runcap.rates.folder import TWILIO, RatesFolder
    from runcap.rates.listing import resend_rows, twilio_rows

    if vendor == "resend":
        rows = list(resend_rows())
    else:
        rows = list(twilio_rows(RatesFolder(config.home).read(TWILIO) or twilio_table.bundled(), quote.country))
    sources = {(row["source"], row["from"]): None for row in rows}
    return [{"source": source, "from": origin} for source, origin in sources]


def _show(fields: dict[str, Any]) -> None:
    """For people: a line each, and what would be forwarded as it would look."""
    from runcap.cli._rows import plain

    forwarded = fields["forwarded"]
    for name, value in fields.items():
        if name in ("forwarded", "quote_micros", "refused_by_default") or value in (None, [], {}):
            continue
        for line in _lines(value):
            click.echo(f"{name:<14}{plain(line)}")
    query = f"?{forwarded['query']}" if forwarded["query"] else ""
    click.echo(f"{'forwarded':<14}{plain(forwarded['method'])} {plain(forwarded['path'])}{plain(query)}")
    for name, value in forwarded["headers"].items():
        click.echo(f"{'':<14}{plain(name)}: {plain(value)}")
    click.echo(f"{'':<14}(the real secret is put in last)")
    if forwarded["body"]:
        click.echo(f"{'':<14}{plain(forwarded['body'])}")
    if fields["would_look_up"]:
        click.echo("The price depends on what the vendor answers: give --lookup to ask it.", err=True)


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{name}={_flat(each)}" for name, each in value.items()]
    if isinstance(value, list):
        return [", ".join(f"{name} {_flat(each)}" for name, each in row.items()) for row in value]
    return [str(value)]


def _flat(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
