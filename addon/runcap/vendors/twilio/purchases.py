"""``POST IncomingPhoneNumbers…json``: buying a phone number, counted at its price for a month.

Twilio bills the first month at once and each month after that until the number is released: a cap sees the first. The
parameters are those of Twilio's OpenAPI document of 2026-04-14. Those that say what happens to calls and messages that
come in are refused, since what comes in is billed without anybody asking.
"""

import re
from dataclasses import dataclass

import phonenumbers
from phonenumbers import PhoneNumberType

from runcap.decision import Code, refuse
from runcap.vendors.base import Quote
from runcap.vendors.form import Form
from runcap.vendors.twilio.prices import Prices

_NEUTRAL = frozenset({"ApiVersion", "FriendlyName", "IdentitySid", "AddressSid", "BundleSid"})
_AREA_CODE = re.compile(r"[2-9][0-9]{2}", re.ASCII)
_E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_KINDS = {"Local": "local", "Mobile": "mobile", "TollFree": "toll_free"}


@dataclass(frozen=True, slots=True)
class Purchase:
    """What a number costs by."""

    region: str
    kind: str | None
    """``local``, ``mobile`` or ``toll_free``; None: any of them."""


def read_purchase(form: Form, template: str) -> Purchase:
    """Read the parameters of a purchase.

    Args:
        form: the parameters.
        template: the operation's: ``…/Local.json`` says which kind of number it is.

    Raises:
        Refused: ``malformed`` or ``unpriced``, naming the parameter.
    """
    unknown = form.names - _NEUTRAL - {"PhoneNumber", "AreaCode"}
    if unknown:
        raise refuse(
            Code.UNPRICED,
            f"{min(unknown)} cannot be priced: buy the number without it; where its calls and messages go is the "
            "operator's to set.",
        )
    kind = _KINDS.get(template.rsplit("/", 1)[-1].removesuffix(".json"))
    number, area_code = form.get("PhoneNumber"), form.get("AreaCode")
    if (number is None) == (area_code is None):
        raise refuse(Code.MALFORMED, "Give one of PhoneNumber and AreaCode.")
    if area_code is not None:
        return Purchase(_area_region(area_code), kind)
    assert number is not None
    return _of_number(number, kind)


def price_purchase(purchase: Purchase, prices: Prices) -> Quote:
    """The first month; `Quote.amount_minor` is the number of numbers.

    Raises:
        Refused: ``unpriced`` if the country has no price for it.
    """
    return Quote(prices.number_month(purchase.region, purchase.kind), amount_minor=1, country=purchase.region)


def _of_number(number: str, kind: str | None) -> Purchase:
    parsed = _parsed(number) if _E164.fullmatch(number) is not None else None
    region = None if parsed is None else phonenumbers.region_code_for_number(parsed)
    if parsed is None or region is None:
        raise refuse(Code.UNPRICED, "PhoneNumber cannot be priced: no country has that number.")
    toll_free = phonenumbers.number_type(parsed) == PhoneNumberType.TOLL_FREE
    if kind is not None and toll_free != (kind == "toll_free"):
        raise refuse(
            Code.MALFORMED, f"PhoneNumber is {'' if toll_free else 'not '}toll-free, and the path says otherwise."
        )
    return Purchase(region, "toll_free" if toll_free else kind)


def _area_region(area_code: str) -> str:
    """The country of a North American area code."""
    parsed = _parsed(f"+1{area_code}2345678") if _AREA_CODE.fullmatch(area_code) is not None else None
    region = None if parsed is None else phonenumbers.region_code_for_number(parsed)
    if region is None:
        raise refuse(Code.MALFORMED, "AreaCode must be an area code of the US or Canada, such as 415.")
    return region


def _parsed(number: str) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return None
