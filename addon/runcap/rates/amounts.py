"""Reading prices as others write them: decimals of any length, rounded up to a whole micro-USD."""

import re

from runcap.fx import Rates
from runcap.money import ceil_div

_DECIMAL = re.compile(r"\$?([0-9]{1,7})(?:\.([0-9]{1,12}))?", re.ASCII)


def price_micros(text: str, currency: str = "USD", rates: Rates | None = None) -> int | None:
    """A price such as ``0.05920`` or ``$1.15``, as micros; None if it is no plain decimal.

    Args:
        text: the price; a dollar sign before it changes nothing.
        currency: upper-case ISO 4217.
        rates: needed for any currency but USD.

    Raises:
        Refused: ``unpriced`` if there is no rate for the currency.
    """
    match = _DECIMAL.fullmatch(text.strip())
    if match is None:
        return None
    digits, decimals = int(match.group(1) + (match.group(2) or "")), len(match.group(2) or "")
    if currency != "USD":
        assert rates is not None
        return rates.usd_micros(digits, decimals, currency)
    return ceil_div(digits * 1_000_000, 10**decimals)
