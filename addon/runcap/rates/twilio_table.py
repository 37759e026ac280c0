"""Putting new prices into Twilio's table: what they replace goes, everything else stays.

The result is a whole table in the form of `runcap.vendors.twilio.pricetable`, checked before it is given out.
"""

from collections.abc import Mapping
from typing import Any

from runcap.money import usd_from_micros
from runcap.rates.twilio_csv import NOWHERE, Voice
from runcap.vendors.catalogue import data
from runcap.vendors.twilio.prices import Prices

type Table = dict[str, Any]


def bundled() -> Table:
    """The table that comes with runcap."""
    return data("twilio_prices.json")


class Draft:
    """A table that is being changed."""

    def __init__(self, base: Mapping[str, Any], source: str, what: str, origin: str) -> None:
        """Begin with a table.

        Args:
            base: the table in force.
            source: the key of the new source among the table's.
            what: what its prices are, for people.
            origin: where they are from, with the date.
        """
        self._countries: dict[str, dict[str, Any]] = {region: dict(row) for region, row in base["countries"].items()}
        self._channels: dict[str, Any] = dict(base.get("channels", {}))
        self._fees: dict[str, Any] = dict(base.get("fees", {}))
        self._sources: dict[str, Any] = dict(base["sources"])
        self._sources[source] = {"what": what, "from": origin, "margin_percent": 0}
        self._source = source

    def sms(self, prices: Mapping[str, int], only: frozenset[str] | None = None) -> None:
        """Replace the prices of segments; carrier fees stay, since no list of Twilio's has them.

        Args:
            prices: micro-USD by country.
            only: the countries that are replaced; None: all, so that one without a new price has none.
        """
        self._drop(("sms",), only)
        for region, micros in prices.items():
            self._row(region)["sms"] = self._entry(micros)

    def voice(self, voice: Voice, only: frozenset[str] | None = None) -> None:
        """Replace the prices of minutes, as `sms` does those of segments."""
        self._drop(("voice_minute", "voice_minute_by_prefix", "voice_prefixes"), only)
        for region, micros in voice.dearest.items():
            if region != NOWHERE:
                self._row(region)["voice_minute"] = self._entry(micros)
        for region, by_prefix in voice.by_prefix.items():
            by_price: dict[int, list[str]] = {}
            for prefix, micros in by_prefix.items():
                by_price.setdefault(micros, []).append(prefix)
            self._row(region)["voice_prefixes"] = [
                {**self._entry(micros), "prefixes": sorted(prefixes)} for micros, prefixes in sorted(by_price.items())
            ]

    def numbers(self, prices: Mapping[str, Mapping[str, int]], only: frozenset[str] | None = None) -> None:
        """Replace the monthly prices of numbers, by country and kind, as `sms` does those of segments."""
        self._drop(("number_month",), only)
        for region, by_kind in prices.items():
            self._row(region)["number_month"] = {kind: self._entry(micros) for kind, micros in by_kind.items()}

    def channels(self, prices: Mapping[str, Mapping[str, int]]) -> None:
        """Replace the prices of the channels that are named; others stay."""
        for channel, by_region in prices.items():
            self._channels[channel] = {region: self._entry(micros) for region, micros in sorted(by_region.items())}

    def finish(self) -> Table:
        """The whole table.

        Raises:
            ValueError: it would not be one, which is checked before anything is written.
        """
        countries = {region: row for region, row in sorted(self._countries.items()) if row}
        table = {"unit": "USD", "countries": countries, "channels": self._channels, "fees": self._fees}
        used = _sources_in(table)
        table = {"unit": "USD", "sources": {key: self._sources[key] for key in self._sources if key in used}, **table}
        Prices.from_dict(table)
        return table

    def _drop(self, names: tuple[str, ...], only: frozenset[str] | None) -> None:
        for region, row in self._countries.items():
            if only is None or region in only:
                for name in names:
                    row.pop(name, None)

    def _row(self, region: str) -> dict[str, Any]:
        return self._countries.setdefault(region, {})

    def _entry(self, micros: int) -> dict[str, str]:
        return {"usd": usd_from_micros(micros), "source": self._source}


def _sources_in(found: Any) -> set[str]:
    """The keys of all sources that prices anywhere in a table name."""
    if isinstance(found, list):
        return set().union(*map(_sources_in, found))
    if not isinstance(found, dict):
        return set()
    own = {found["source"]} if isinstance(found.get("source"), str) else set()
    return own.union(*map(_sources_in, found.values()))
