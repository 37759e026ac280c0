"""What Twilio charges: a table that is bundled, and that an operator's own replaces.

For each ISO country it has the most that a unit costs there, whatever the sender: the dearest of long code, short
code, alphanumeric and toll-free, the dearest network, the dearest origin. `runcap.vendors.twilio.pricetable` reads it
from its file. All amounts are integer micro-USD here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Self

from runcap.decision import Code, Refused, refuse
from runcap.vendors.catalogue import data
from runcap.vendors.twilio import pricetable
from runcap.vendors.twilio.destinations import ChannelAddress, Destination
from runcap.vendors.twilio.pricetable import CountryPrice, Fee

__all__ = ["CountryPrice", "Fee", "PriceSource", "Prices"]

ANYWHERE = "*"
"""The region of a channel's price that holds wherever there is no price for the very country."""


@dataclass(frozen=True, slots=True)
class Prices:
    """The price table."""

    countries: Mapping[str, CountryPrice]
    """By ISO 3166-1 alpha-2."""
    channels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Each message of a channel such as ``whatsapp``, by country or `ANYWHERE`."""
    fees: Mapping[str, int] = field(default_factory=dict)
    """What is the same everywhere, by `Fee`."""
    voice_by_prefix: Mapping[str, int] = field(default_factory=dict)
    """The dearest minute of every prefix of all countries: a prefix that one country's rows give to another's numbers
    counts for them as well."""

    @classmethod
    def bundled(cls) -> Self:
        """The table that comes with runcap: complete for the US, SMS for some more, each with its source."""
        return cls(**_bundled())

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Self:
        """Read a table in the file's form.

        Raises:
            ValueError: naming the entry, for anything that is not in that form.
        """
        return cls(**_parts(table))

    def sms_segment(self, to: Destination) -> int:
        """The price of one SMS segment, carrier fee included.

        Raises:
            Refused: ``unpriced`` if the country has no price.
        """
        price = self._country(to.region)
        if price.sms is None:
            raise _unpriced(f"an SMS to {to.region}")
        return price.sms + price.sms_carrier_fee

    def mms_message(self, to: Destination) -> int | None:
        """The price of one MMS, carrier fee included; None if the country has none."""
        price = self._country(to.region)
        return None if price.mms is None else price.mms + price.mms_carrier_fee

    def channel_message(self, to: ChannelAddress) -> int:
        """The price of one message of a channel such as WhatsApp.

        Raises:
            Refused: ``unpriced`` unless the operator has imported a price for the channel.
        """
        price = self.channel_message_or_none(to.channel, to.region)
        if price is None:
            raise refuse(
                Code.UNPRICED,
                f"runcap has no price for the channel {to.channel!r} to {to.region or 'an address without a country'}: "
                "its operator imports one with `runcap rates import twilio-channels`.",
            )
        return price

    def channel_message_or_none(self, channel: str, region: str | None) -> int | None:
        """As `channel_message`; None if there is no price."""
        by_region = self.channels.get(channel, {})
        price = None if region is None else by_region.get(region)
        return by_region.get(ANYWHERE) if price is None else price

    def voice_minute(self, to: Destination) -> int:
        """The price of one begun minute of an outbound call: the dearest of all prefixes that the number begins with.

        Where none of its own country's does, the country's dearest price counts too.

        Raises:
            Refused: ``unpriced`` if neither a prefix nor the country has a price.
        """
        price = self._country(to.region)
        beginnings = [to.digits[:length] for length in range(1, len(to.digits) + 1)]
        own = [price.voice_minute_by_prefix[digits] for digits in beginnings if digits in price.voice_minute_by_prefix]
        if not own:
            if price.voice_minute is None:
                raise _unpriced(f"a call to {to.region}")
            own = [price.voice_minute]
        others = [self.voice_by_prefix[digits] for digits in beginnings if digits in self.voice_by_prefix]
        return max(own + others)

    def number_month(self, region: str, kind: str | None) -> int:
        """The price of a phone number for a month; of the dearest kind if `kind` (``local``, ``toll_free``…) is None.

        Raises:
            Refused: ``unpriced`` if the country has no price for it.
        """
        by_kind = self._country(region).number_month
        price = max(by_kind.values(), default=None) if kind is None else by_kind.get(kind)
        if price is None:
            raise _unpriced(f"a{'' if kind is None else ' ' + kind.replace('_', '-')} number of {region}")
        return price

    def fee(self, fee: Fee) -> int:
        """A price that is the same everywhere.

        Raises:
            Refused: ``unpriced`` if the table does not have it.
        """
        price = self.fees.get(fee)
        if price is None:
            raise refuse(Code.UNPRICED, f"runcap's Twilio price table has no fee {fee}.")
        return price

    def _country(self, region: str) -> CountryPrice:
        return self.countries.get(region, _NO_PRICE)


type PriceSource = Callable[[], Prices]
"""Gives the table as it is now: an operator may import another one while the proxy runs."""

_NO_PRICE = CountryPrice()


@cache
def _bundled() -> dict[str, Any]:
    return _parts(data("twilio_prices.json"))


def _parts(table: Mapping[str, Any]) -> dict[str, Any]:
    countries = pricetable.countries(table)
    by_prefix: dict[str, int] = {}
    for country in countries.values():
        for prefix, price in country.voice_minute_by_prefix.items():
            by_prefix[prefix] = max(price, by_prefix.get(prefix, 0))
    return {
        "countries": countries,
        "channels": pricetable.channels(table),
        "fees": pricetable.fees(table),
        "voice_by_prefix": by_prefix,
    }


def _unpriced(what: str) -> Refused:
    return refuse(
        Code.UNPRICED,
        f"runcap has no Twilio price for {what}: its operator imports prices with `runcap rates import` or "
        "`runcap rates sync twilio`.",
    )
