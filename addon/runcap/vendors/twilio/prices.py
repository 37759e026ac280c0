"""What Twilio charges for a country: a table that is bundled, and that an operator's own replaces.

The file (``data/twilio_prices.json``, or one that ``runcap rates import`` has written) holds for each ISO country the
most that a unit costs there, whatever the sender: the dearest of long code, short code, alphanumeric and toll-free,
the dearest network, the dearest origin. A margin of the source, in percent, is added on reading. All amounts are
decimal strings of USD in the file and integer micro-USD here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Self

from runcap.decision import Code, Refused, refuse
from runcap.money import ceil_div, micros_from_usd
from runcap.vendors.catalogue import data
from runcap.vendors.twilio.destinations import Destination


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
    voice_minute_by_prefix: Mapping[str, int] = field(default_factory=dict)
    """Digits that a number begins with, country code included; the longest match wins over `voice_minute`."""


@dataclass(frozen=True, slots=True)
class Prices:
    """The price table by ISO country."""

    countries: Mapping[str, CountryPrice]

    @classmethod
    def bundled(cls) -> Self:
        """The table that comes with runcap: complete for the US, a few others, each with its source."""
        return cls(_bundled())

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Self:
        """Read a table in the file's form.

        Raises:
            ValueError: naming the entry, for anything that is not in that form.
        """
        return cls(_countries(table))

    def sms_segment(self, to: Destination) -> int:
        """The price of one SMS segment, carrier fee included.

        Raises:
            Refused: ``unpriced`` if the country has no price.
        """
        price = self._country(to)
        if price.sms is None:
            raise _unpriced("an SMS", to)
        return price.sms + price.sms_carrier_fee

    def mms_message(self, to: Destination) -> int | None:
        """The price of one MMS, carrier fee included; None if the country has none."""
        price = self._country(to)
        return None if price.mms is None else price.mms + price.mms_carrier_fee

    def voice_minute(self, to: Destination) -> int:
        """The price of one begun minute of an outbound call.

        Raises:
            Refused: ``unpriced`` if neither the prefix nor the country has a price.
        """
        price = self._country(to)
        digits = to.digits
        for length in range(len(digits), 0, -1):
            by_prefix = price.voice_minute_by_prefix.get(digits[:length])
            if by_prefix is not None:
                return by_prefix
        if price.voice_minute is None:
            raise _unpriced("a call", to)
        return price.voice_minute

    def _country(self, to: Destination) -> CountryPrice:
        return self.countries.get(to.region, _NO_PRICE)


_NO_PRICE = CountryPrice()


@cache
def _bundled() -> Mapping[str, CountryPrice]:
    return _countries(data("twilio_prices.json"))


def _countries(table: Mapping[str, Any]) -> dict[str, CountryPrice]:
    sources = table.get("sources", {})
    return {region: _country_price(region, row, sources) for region, row in table["countries"].items()}


def _country_price(region: str, row: Mapping[str, Any], sources: Mapping[str, Any]) -> CountryPrice:
    unknown = set(row) - set(CountryPrice.__dataclass_fields__)
    if unknown:
        raise ValueError(f"Twilio prices, {region}: {sorted(unknown)} is not a price that runcap knows")
    fields: dict[str, Any] = {
        name: _micros(f"{region}.{name}", entry, sources)
        for name, entry in row.items()
        if name != "voice_minute_by_prefix"
    }
    fields["voice_minute_by_prefix"] = {
        prefix: _micros(f"{region}.{prefix}", entry, sources)
        for prefix, entry in row.get("voice_minute_by_prefix", {}).items()
    }
    return CountryPrice(**fields)


def _micros(where: str, entry: Mapping[str, Any], sources: Mapping[str, Any]) -> int:
    """One price with its source's margin, rounded up."""
    try:
        micros = micros_from_usd(entry["usd"])
        margin_percent = sources[entry["source"]]["margin_percent"]
    except (KeyError, TypeError, ValueError) as e:
        raise ValueError(f"Twilio prices, {where}: a price needs a plain decimal `usd` and a known `source`") from e
    if type(margin_percent) is not int or margin_percent < 0:
        raise ValueError(f"Twilio prices, {where}: margin_percent must be a whole number, not negative")
    return ceil_div(micros * (100 + margin_percent), 100)


def _unpriced(what: str, to: Destination) -> Refused:
    return refuse(
        Code.UNPRICED,
        f"runcap has no Twilio price for {what} to {to.region}: its operator imports prices with "
        "`runcap rates import`.",
    )
