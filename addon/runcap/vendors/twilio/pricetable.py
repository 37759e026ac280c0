"""The file that Twilio's prices are in: ``data/twilio_prices.json``, and ``rates/twilio.json`` below the home folder.

It holds ``sources`` (what and from where, with a date, and a margin in percent that is added on reading),
``countries``, ``channels`` and ``fees``. An amount is ``{"usd": "0.0083", "source": "us-list"}``; where thousands of
prefixes share a price they stand in one ``voice_prefixes`` row with their ``prefixes``. Amounts are decimal strings
of USD in the file and integer micro-USD here.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from runcap.money import ceil_div, micros_from_usd

_PREFIX = re.compile(r"[1-9][0-9]{0,14}", re.ASCII)
_REGION = re.compile(r"[A-Z]{2}|\*", re.ASCII)
_NAMED_AMOUNTS = ("sms", "sms_carrier_fee", "mms", "mms_carrier_fee", "voice_minute")
_KEYS = frozenset({*_NAMED_AMOUNTS, "voice_minute_by_prefix", "voice_prefixes", "number_month"})


class Fee(StrEnum):
    """What costs the same in every country."""

    CONFERENCE_MINUTE = "conference_minute"
    """Each participant's minute in a conference, beside the call's own."""
    PAYMENT = "payment"
    """Each payment taken on a call, or card stored, beside the charge."""
    MACHINE_DETECTION = "machine_detection"
    """Each call that is asked whether a machine has answered."""
    FAILED_MESSAGE = "failed_message"
    """Each message that Twilio could not send."""


@dataclass(frozen=True, slots=True)
class CountryPrice:
    """The most that Twilio charges for one country, in micro-USD; None: not known."""

    sms: int | None = None
    """Each segment."""
    sms_carrier_fee: int = 0
    """Each segment, on top."""
    mms: int | None = None
    """Each message. None also where Twilio has no MMS and sends a link in its place."""
    mms_carrier_fee: int = 0
    voice_minute: int | None = None
    """Of a number that none of the country's prefixes matches."""
    voice_minute_by_prefix: Mapping[str, int] = field(default_factory=dict)
    """Digits that a number begins with, country code included."""
    number_month: Mapping[str, int] = field(default_factory=dict)
    """By kind: ``local``, ``mobile``, ``toll_free``, ``national``."""


def countries(table: Mapping[str, Any]) -> dict[str, CountryPrice]:
    """Read the countries of a table.

    Raises:
        ValueError: naming the entry, for anything that is not in the file's form.
    """
    sources = table.get("sources", {})
    return {region: _country(region, row, sources) for region, row in _objects("countries", table["countries"])}


def channels(table: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Read the prices of channels: by channel, then by country or ``*``; raises what `countries` does."""
    sources = table.get("sources", {})
    return {
        channel: {_region(channel, region): _micros(f"{channel}.{region}", entry, sources) for region, entry in row}
        for channel, row in (
            (name, _objects(name, rows)) for name, rows in _objects("channels", table.get("channels", {}))
        )
    }


def fees(table: Mapping[str, Any]) -> dict[str, int]:
    """Read the fees of a table, by `Fee`; raises what `countries` does."""
    sources = table.get("sources", {})
    known = set(Fee)
    read = dict(_objects("fees", table.get("fees", {})))
    if not set(read) <= known:
        raise ValueError(f"Twilio prices: fees can be {sorted(known)}, not {sorted(read)}")
    return {name: _micros(f"fees.{name}", entry, sources) for name, entry in read.items()}


def _country(region: str, row: Any, sources: Mapping[str, Any]) -> CountryPrice:
    if not isinstance(row, Mapping) or _REGION.fullmatch(region) is None:
        raise ValueError(f"Twilio prices, {region}: a country is two capital letters with an object of prices")
    unknown = set(row) - _KEYS
    if unknown:
        raise ValueError(f"Twilio prices, {region}: {sorted(unknown)} is not a price that runcap knows")
    amounts = {name: _micros(f"{region}.{name}", row[name], sources) for name in _NAMED_AMOUNTS if name in row}
    by_prefix = {
        prefix: _micros(f"{region}.{prefix}", entry, sources)
        for prefix, entry in _objects(region, row.get("voice_minute_by_prefix", {}))
    }
    for entry in row.get("voice_prefixes", ()):
        micros = _micros(f"{region}.voice_prefixes", entry, sources)
        for prefix in entry.get("prefixes", ()):
            by_prefix[prefix] = max(micros, by_prefix.get(prefix, 0))
    for prefix in by_prefix:
        if not isinstance(prefix, str) or _PREFIX.fullmatch(prefix) is None:
            raise ValueError(f"Twilio prices, {region}: {prefix!r} is no prefix of a telephone number")
    numbers = {
        kind: _micros(f"{region}.number_month.{kind}", entry, sources)
        for kind, entry in _objects(region, row.get("number_month", {}))
    }
    return CountryPrice(**amounts, voice_minute_by_prefix=by_prefix, number_month=numbers)


def _objects(where: str, found: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(found, Mapping):
        raise ValueError(f"Twilio prices: {where} must be an object")  # noqa: TRY004 (of a file)
    yield from found.items()


def _region(channel: str, region: str) -> str:
    if _REGION.fullmatch(region) is None:
        raise ValueError(f"Twilio prices, {channel}: {region!r} is neither a country nor *")
    return region


def _micros(where: str, entry: Any, sources: Mapping[str, Any]) -> int:
    """One price with its source's margin, rounded up."""
    try:
        micros = micros_from_usd(entry["usd"])
        margin_percent = sources[entry["source"]]["margin_percent"]
    except (KeyError, TypeError, ValueError) as e:
        raise ValueError(f"Twilio prices, {where}: a price needs a plain decimal `usd` and a known `source`") from e
    if type(margin_percent) is not int or margin_percent < 0:
        raise ValueError(f"Twilio prices, {where}: margin_percent must be a whole number, not negative")
    return ceil_div(micros * (100 + margin_percent), 100)
