"""Twilio's price lists as it publishes them, in CSV: messages (``SMSPricing.csv``) and outbound calls.

Columns, as seen in public copies and readers of these files (2026-11): for SMS ``ISO``, ``Country`` and
``Price / msg``, a row a network; for calls ``ISO,Country,Description,Price / min,Origination Prefixes,Destination
Prefixes``, several rows for a destination where the price depends on where the call comes from. Of all rows that may
apply the dearest counts. A price that cannot be read takes its whole country out: whatever else stands there, nobody
can tell that it is the dearest.

A third form is runcap's own, for channels that Twilio lists nowhere in one file: ``Channel,ISO,Price / message``, where
an ISO of ``*`` means any country without a row of its own.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from runcap.rates.amounts import price_micros

_ISO = re.compile(r"[A-Z]{2}", re.ASCII)
_PREFIX = re.compile(r"[1-9][0-9]{0,14}", re.ASCII)
_CHANNEL = re.compile(r"[a-z][a-z0-9]{1,30}", re.ASCII)

NOWHERE = "*"
"""The country of prefixes that belong to none, such as a satellite network's: they count for any number they match."""


@dataclass(slots=True)
class Voice:
    """Prices of calls."""

    by_prefix: dict[str, dict[str, int]] = field(default_factory=dict)
    """By country, then by the digits that a number begins with."""
    dearest: dict[str, int] = field(default_factory=dict)
    """By country."""


@dataclass(slots=True)
class Read[T]:
    """What was read, and what was not."""

    prices: T
    left_out: list[str]
    """Countries, or channels, whose prices could not be read."""


def read_sms(text: str) -> Read[dict[str, int]]:
    """The dearest segment of each country.

    Raises:
        ValueError: the columns are not there, or there is no price at all.
    """
    prices: dict[str, int] = {}
    unreadable: set[str] = set()
    for row in _rows(text, "ISO", "Price / msg"):
        region, micros = row["ISO"].upper(), price_micros(row["Price / msg"])
        if _ISO.fullmatch(region) is None:
            continue
        if micros is None:
            unreadable.add(region)
        else:
            prices[region] = max(micros, prices.get(region, 0))
    return _without(prices, unreadable)


def read_voice(text: str) -> Read[Voice]:
    """The dearest minute of each country, and of each prefix in it.

    Raises:
        ValueError: the columns are not there, or there is no price at all.
    """
    voice = Voice()
    unreadable: set[str] = set()
    for row in _rows(text, "ISO", "Price / min", "Destination Prefixes"):
        region, micros = row["ISO"].upper(), price_micros(row["Price / min"])
        if _ISO.fullmatch(region) is None:
            region = NOWHERE
        prefixes = [prefix.strip() for prefix in row["Destination Prefixes"].split(",") if prefix.strip()]
        if micros is None or any(_PREFIX.fullmatch(prefix) is None for prefix in prefixes):
            unreadable.add(region)
            continue
        voice.dearest[region] = max(micros, voice.dearest.get(region, 0))
        add_prefixes(voice, region, prefixes, micros)
    for region in unreadable:
        voice.dearest.pop(region, None)
        voice.by_prefix.pop(region, None)
    if not voice.dearest:
        raise ValueError("there is no price in it")
    return Read(voice, sorted(unreadable))


def add_prefixes(voice: Voice, region: str, prefixes: list[str], micros: int) -> None:
    """Note a price for prefixes; of two for the same prefix the dearer one stays."""
    known = voice.by_prefix.setdefault(region, {})
    for prefix in prefixes:
        known[prefix] = max(micros, known.get(prefix, 0))


def read_channels(text: str) -> Read[dict[str, dict[str, int]]]:
    """The dearest message of each channel, by country or ``*``.

    Raises:
        ValueError: the columns are not there, a channel or a country is none, or there is no price at all.
    """
    prices: dict[str, dict[str, int]] = {}
    for number, row in enumerate(_rows(text, "Channel", "ISO", "Price / message"), start=2):
        channel, region, micros = row["Channel"], row["ISO"].upper(), price_micros(row["Price / message"])
        known = _CHANNEL.fullmatch(channel) is not None and (region == NOWHERE or _ISO.fullmatch(region) is not None)
        if not known or micros is None:
            raise ValueError(f"line {number} is not like whatsapp,US,0.0300 or whatsapp,*,0.1500")
        by_region = prices.setdefault(channel, {})
        by_region[region] = max(micros, by_region.get(region, 0))
    if not prices:
        raise ValueError("there is no price in it")
    return Read(prices, [])


def _without(prices: dict[str, int], unreadable: set[str]) -> Read[dict[str, int]]:
    kept = {region: micros for region, micros in prices.items() if region not in unreadable}
    if not kept:
        raise ValueError("there is no price in it")
    return Read(kept, sorted(unreadable))


def _rows(text: str, *columns: str) -> Iterator[dict[str, str]]:
    """The rows by these columns' names, blanks around them stripped; the file may have others."""
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in columns if header.count(name) != 1]
        if missing:
            raise ValueError(f"its first line must name the column {missing[0]!r} once")
        places = {name: header.index(name) for name in columns}
        for cells in reader:
            if any(cell.strip() for cell in cells):
                if len(cells) < len(header):
                    raise ValueError(f"line {reader.line_num} has {len(cells)} columns, not {len(header)}")
                yield {name: cells[place].strip() for name, place in places.items()}
    except csv.Error as e:
        raise ValueError(f"line {reader.line_num} is no CSV: {e}") from e
