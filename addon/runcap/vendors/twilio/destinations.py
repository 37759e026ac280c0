"""Which country's price a Twilio destination is billed at.

A plain telephone number is priced if it is of a kind whose price is that of its country. A messaging channel
(``whatsapp:``, ``rcs:``, ``messenger:``) has prices of its own, which an operator can import. Everything else that
Twilio takes as ``To`` (``client:``, ``sip:``, a short code) is refused. The numbering plans are those of Google's
libphonenumber (PyPI `phonenumbers`): it tells the countries that share +1 and +7 apart, and premium-rate numbers from
ordinary ones.
"""

import re
from dataclasses import dataclass

import phonenumbers
from phonenumbers import PhoneNumberType

from runcap.decision import Code, refuse

_E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_CHANNEL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}):", re.ASCII)
_CHANNEL_ADDRESS = re.compile(r"([a-z][a-z0-9]{1,30}):([!-~]{1,255})", re.ASCII)
_NO_CHANNELS = frozenset({"client", "sip", "sips", "app", "conference", "tel", "http", "https"})
"""Voice's own schemes, and what looks like one."""

_PRICED_TYPES = frozenset(
    {
        PhoneNumberType.FIXED_LINE,
        PhoneNumberType.MOBILE,
        PhoneNumberType.FIXED_LINE_OR_MOBILE,
        PhoneNumberType.VOIP,
    }
)
"""Ordinary numbers. A personal number, a shared-cost one or a pager can cost many times as much."""

_TOLL_FREE_REGIONS = frozenset({"US"})
"""Where a toll-free number is known to cost no more than any other."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A telephone number that can be priced."""

    number: str
    """E.164, with the plus."""
    region: str
    """ISO 3166-1 alpha-2, ``US`` and ``PR`` told apart."""

    @property
    def digits(self) -> str:
        """The number without the plus, to match price prefixes."""
        return self.number[1:]


@dataclass(frozen=True, slots=True)
class ChannelAddress:
    """Somebody in a messaging channel."""

    channel: str
    """``whatsapp``."""
    region: str | None
    """The country of the telephone number behind the colon; None if there is none (``messenger:1234``)."""


def message_destination(to: str | None) -> Destination | ChannelAddress:
    """Read the ``To`` of a message.

    Raises:
        Refused: as `destination` does, for a number in a channel too.
    """
    match = _CHANNEL_ADDRESS.fullmatch(to or "")
    if match is None or match.group(1) in _NO_CHANNELS:
        return destination(to)
    channel, address = match.groups()
    return ChannelAddress(channel, destination(address).region if address.startswith("+") else None)


def destination(to: str | None) -> Destination:
    """Read the ``To`` of a message or a call.

    Raises:
        Refused: ``malformed`` if it is missing; ``unpriced`` for anything but a valid, ordinary E.164 number.
    """
    if not to:
        raise refuse(Code.MALFORMED, "The parameter To is missing.")
    if _E164.fullmatch(to) is None:
        channel = _CHANNEL.match(to)
        what = f"the channel {channel.group(1)[:20]!r}" if channel else "anything but a number like +14155550100"
        raise refuse(Code.UNPRICED, f"To cannot be priced: runcap has no prices for {what}.")
    try:
        parsed = phonenumbers.parse(to)
    except phonenumbers.NumberParseException as e:
        raise refuse(Code.UNPRICED, "To cannot be priced: no country has that number.") from e
    region = phonenumbers.region_code_for_number(parsed)
    if (
        region is None
        or not phonenumbers.is_valid_number(parsed)
        or phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) != to
    ):
        raise refuse(Code.UNPRICED, "To cannot be priced: it is no valid telephone number.")
    kind = phonenumbers.number_type(parsed)
    toll_free = kind == PhoneNumberType.TOLL_FREE and region in _TOLL_FREE_REGIONS
    if kind not in _PRICED_TYPES and not toll_free:
        name = PhoneNumberType.to_string(kind).lower().replace("_", " ")
        raise refuse(Code.UNPRICED, f"To cannot be priced: a {name} number in {region} has a price of its own.")
    return Destination(to, region)
