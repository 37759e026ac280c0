"""Sums of amounts, perhaps in several currencies, as one quote: exact until the end, and then rounded up."""

from fractions import Fraction

from runcap.fx import Rates
from runcap.vendors.base import Quote
from runcap.vendors.stripe import amounts


class Total:
    """Adds up. What is below zero adds nothing: a credit never makes room for a charge."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._minor: dict[str, Fraction] = {}

    def add(self, minor: Fraction | int, currency: str) -> None:
        """Add an amount in the minor unit of an upper-case currency."""
        self._minor[currency] = self._minor.get(currency, Fraction(0)) + max(Fraction(minor), Fraction(0))

    def quote(self, object_id: str | None = None) -> Quote:
        """The sum; its amount and currency are told only if it is all in one.

        Raises:
            Refused: ``unpriced`` if there is no rate for one of the currencies.
        """
        whole = {currency: -(-minor.numerator // minor.denominator) for currency, minor in self._minor.items()}
        micros = sum(amounts.micros(self._rates, minor, currency) for currency, minor in whole.items())
        if len(whole) != 1:
            return Quote(micros, object_id=object_id)
        [(currency, minor)] = whole.items()
        return Quote(micros, minor, currency, object_id)
