"""Stripe's amounts: whole numbers of a currency's minor unit, with Stripe's own idea of what that unit is.

Stripe's exponents are no currency library's: ``../data/stripe_currencies.json`` says where each is from.
"""

import json
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Any, TypeGuard

from runcap.decision import Code, refuse
from runcap.fx import Rates
from runcap.vendors.form import Form

_WHOLE = re.compile(r"0|[1-9][0-9]{0,14}", re.ASCII)
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,12})?", re.ASCII)
_CURRENCY = re.compile(r"[A-Za-z]{3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Currencies:
    zero_decimal: frozenset[str]
    three_decimal: frozenset[str]
    whole_only: frozenset[str]
    default_exponent: int


def amount(form: Form, name: str) -> int | None:
    """Read an amount of a form in minor units; None if it is not there.

    Raises:
        Refused: ``malformed`` for anything but up to 15 ASCII digits: no sign, blank, point, exponent or
            underscore, no leading zero, no other script's digits, no list.
    """
    text = form.get(name)
    if text is None:
        return None
    if _WHOLE.fullmatch(text) is None:
        raise refuse(Code.MALFORMED, f"{name} must be a whole number of the currency's smallest unit, such as 2000.")
    return int(text)


def decimal(form: Form, name: str) -> Fraction | None:
    """Read a number of a form that may be negative and have up to 12 decimals, exactly; None if it is not there.

    Raises:
        Refused: ``malformed`` for an exponent, a plus, a leading zero, or anything else that `amount` refuses.
    """
    text = form.get(name)
    return None if text is None else exact(text, name)


def exact(text: object, name: str) -> Fraction:
    """Read a decimal number that is a string, or a whole number.

    Raises:
        Refused: ``malformed`` if it is anything else.
    """
    if type(text) is int:
        return Fraction(text)
    if not isinstance(text, str) or _DECIMAL.fullmatch(text) is None:
        raise refuse(Code.MALFORMED, f"{name} must be a plain decimal number, such as 2000 or 12.5.")
    return Fraction(text)


def currency(form: Form, name: str = "currency") -> str | None:
    """Read ``currency``, upper-case; None if it is not there.

    Raises:
        Refused: ``malformed`` if it is not three ASCII letters.
    """
    text = form.get(name)
    if text is None:
        return None
    if _CURRENCY.fullmatch(text) is None:
        raise refuse(Code.MALFORMED, f"{name} must be a three-letter code, such as usd.")
    return text.upper()


def looked_up_amount(found: dict[str, Any], name: str) -> int:
    """The amount in one of Stripe's own answers.

    Raises:
        Refused: ``unpriced`` if it is not there or no whole number.
    """
    value = found.get(name)
    if not is_amount(value):
        raise refuse(Code.UNPRICED, f"The price depends on {name}, which Stripe's answer does not tell.")
    return value


def looked_up_signed(found: dict[str, Any], name: str) -> int:
    """The amount in one of Stripe's own answers that may be negative: a balance, say.

    Raises:
        Refused: ``unpriced`` if it is not there or no whole number.
    """
    value = found.get(name)
    if type(value) is not int:
        raise refuse(Code.UNPRICED, f"The price depends on {name}, which Stripe's answer does not tell.")
    return value


def looked_up_currency(found: dict[str, Any]) -> str:
    """The currency in one of Stripe's own answers, upper-case.

    Raises:
        Refused: ``unpriced`` if it is not there.
    """
    value = found.get("currency")
    if not isinstance(value, str) or _CURRENCY.fullmatch(value) is None:
        raise refuse(Code.UNPRICED, "The price depends on currency, which Stripe's answer does not tell.")
    return value.upper()


def is_amount(value: Any) -> TypeGuard[int]:
    """Whether a decoded JSON value can be an amount: a whole number, not negative."""
    return type(value) is int and value >= 0


def exponent(code: str) -> int:
    """How many decimals Stripe's minor unit of an upper-case currency has.

    UGX counts as zero-decimal: Stripe's list names it among the zero-decimal ones, an older rule of Stripe
    gives it two decimals, and of two readings the dearer is the safe one.
    """
    known = _currencies()
    if code in known.zero_decimal:
        return 0
    return 3 if code in known.three_decimal else known.default_exponent


def check_granularity(minor: int, code: str) -> None:
    """Refuse an amount finer than Stripe takes for its currency.

    Raises:
        Refused: ``malformed`` for a three-decimal amount that does not end in 0, and for a two-decimal amount
            of a currency that has no decimals in practice (ISK) that does not end in 00.
    """
    known = _currencies()
    step = 10 if code in known.three_decimal else 100 if code in known.whole_only else 1
    if minor % step:
        raise refuse(Code.MALFORMED, f"Stripe takes amounts in {code} in steps of {step}, and {minor} is none.")


def micros(rates: Rates, minor: int, code: str) -> int:
    """An amount of Stripe's in micro-USD, rounded up, with the rates' margin.

    Raises:
        Refused: ``unpriced`` if there is no rate.
    """
    return rates.usd_micros(minor, exponent(code), code)


@cache
def _currencies() -> _Currencies:
    decoded = json.loads((files("runcap.vendors") / "data" / "stripe_currencies.json").read_bytes())
    return _Currencies(
        frozenset(decoded["zero_decimal"]),
        frozenset(decoded["three_decimal"]),
        frozenset(decoded["whole_only"]),
        decoded["default_exponent"],
    )
