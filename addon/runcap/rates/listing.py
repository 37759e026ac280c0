"""What `runcap rates show` lists: prices with their source and date, exchange rates with their age, operations."""

import datetime as dt
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from runcap.fx import Rates
from runcap.money import ceil_div, usd_from_micros
from runcap.vendors.base import Operation
from runcap.vendors.resend.emails import RECIPIENT_MICROS
from runcap.vendors.twilio import pricetable

type Row = dict[str, Any]

_AMOUNTS = {
    "sms": "an SMS segment",
    "sms_carrier_fee": "carrier fee, each SMS segment",
    "mms": "an MMS",
    "mms_carrier_fee": "carrier fee, each MMS",
    "voice_minute": "a minute of a call, unless a prefix says otherwise",
}
_FEES = {
    "conference_minute": "a participant's minute in a conference",
    "payment": "a payment on a call",
    "machine_detection": "answering machine detection, a call",
    "failed_message": "a message that failed",
}


def twilio_rows(table: Mapping[str, Any], country: str | None = None) -> Iterator[Row]:
    """Twilio's prices as they count, margin included; a row for each prefix only if a country is asked for.

    Raises:
        ValueError: the table is not in its form.
    """
    prices, sources = pricetable.countries(table), table["sources"]
    for region in sorted(table["countries"]):
        if country in (None, region):
            yield from _country_rows(
                region, table["countries"][region], prices[region], sources, full=country is not None
            )
    for channel, by_region in pricetable.channels(table).items():
        for region, micros in by_region.items():
            if country in (None, region) or region == "*":
                entry = table["channels"][channel][region]
                yield _row("twilio", f"a message by {channel}", region, micros, sources[entry["source"]])
    if country is None:
        for fee, micros in pricetable.fees(table).items():
            yield _row("twilio", _FEES[fee], "*", micros, sources[table["fees"][fee]["source"]])


def resend_rows() -> Iterator[Row]:
    """Resend's one price."""
    source = {"what": "Resend's list price beyond a plan's quota", "from": "resend.com/pricing, 2026-11"}
    yield _row("resend", "an email, each recipient", "*", RECIPIENT_MICROS, source)


def fx_rows(rates: Rates, today: dt.date) -> list[Row]:
    """Exchange rates without their margin, rounded up to a micro; they price Stripe's charges and Twilio's payments."""
    return [
        {
            "currency": currency,
            "usd_per_unit": _decimal(rates.usd_per_unit[currency]),
            "date": rates.date.isoformat(),
            "age_days": rates.age_days(today),
            "margin_percent": _permille(rates.margin_permille),
            "source": rates.source,
        }
        for currency in sorted(rates.usd_per_unit)
    ]


def operation_rows(vendor: str, operations: tuple[Operation, ...]) -> Iterator[Row]:
    """Each operation of a vendor with what runcap does about it, and why or by which pricer."""
    for operation in operations:
        yield {
            "vendor": vendor,
            "operation": operation.name,
            "kind": str(operation.kind),
            "pricer": operation.pricer or None,
            "reason": operation.reason or None,
        }


def _country_rows(
    region: str, row: Mapping[str, Any], price: pricetable.CountryPrice, sources: Mapping[str, Any], *, full: bool
) -> Iterator[Row]:
    for name, what in _AMOUNTS.items():
        if name in row:
            yield _row("twilio", what, region, getattr(price, name), sources[row[name]["source"]])
    for kind, entry in row.get("number_month", {}).items():
        what = f"a {kind.replace('_', '-')} number, each month"
        yield _row("twilio", what, region, price.number_month[kind], sources[entry["source"]])
    origins = {prefix: entry["source"] for prefix, entry in row.get("voice_minute_by_prefix", {}).items()}
    for entry in row.get("voice_prefixes", ()):
        origins |= dict.fromkeys(entry["prefixes"], entry["source"])
    by_prefix = price.voice_minute_by_prefix
    if full:
        for prefix in sorted(by_prefix):
            what = f"a minute of a call to +{prefix}"
            yield _row("twilio", what, region, by_prefix[prefix], sources[origins[prefix]])
    elif by_prefix:
        dearest = max(by_prefix, key=lambda prefix: by_prefix[prefix])
        what = f"a minute of a call, the dearest of {len(by_prefix)} prefixes"
        yield _row("twilio", what, region, by_prefix[dearest], sources[origins[dearest]])


def _row(vendor: str, what: str, country: str, micros: int, source: Mapping[str, Any]) -> Row:
    return {
        "vendor": vendor,
        "what": what,
        "country": country,
        "price_usd": usd_from_micros(micros),
        "source": source["what"],
        "from": source["from"],
    }


def _decimal(rate: Fraction) -> str:
    return usd_from_micros(ceil_div(rate.numerator * 1_000_000, rate.denominator))


def _permille(margin: int) -> str:
    whole, tenth = divmod(margin, 10)
    return f"{whole}.{tenth}" if tenth else str(whole)
