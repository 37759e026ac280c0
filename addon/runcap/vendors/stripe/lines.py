"""What a line costs at the most: a price or inline price data, times a quantity, with tax on top.

Stripe's prices carry more than one amount (docs.stripe.com/api/prices, 2026-10-28), and the dearest reading counts:

- several currencies: the one that is dearest in dollars, unless the call itself fixes the currency;
- tiers: the dearest tier's unit for every unit, and every tier's flat amount;
- an amount that the customer chooses: its maximum; without one there is no price;
- metered usage: nothing here, since it is counted when the usage is reported (`usage`);
- tax that Stripe works out by itself: `AUTOMATIC_TAX_PERCENT`; tax rates by id: their percentages, rounded up.

Discounts are left out: they only lower what is charged.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from runcap.decision import Code, refuse
from runcap.fx import Rates
from runcap.vendors.form import Form
from runcap.vendors.paths import is_segment
from runcap.vendors.stripe import amounts, params
from runcap.vendors.stripe.lookups import Found, Looking, by_id, named, unpriced
from runcap.vendors.stripe.totals import Total

AUTOMATIC_TAX_PERCENT = 30
"""What Stripe Tax may add at the most. The highest standard rate that there is is Hungary's VAT of 27 %
(europa.eu, VAT rules and rates, read 2026-11-24); the rest is margin."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a line adds to a bill, in the minor unit of its currency; exact, since prices may have 12 decimals."""

    minor: Fraction
    currency: str
    recurring: bool = False


class Lines:
    """Prices lines."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates

    def cost(self, item: Form, currency: str | None, *, quantity: Fraction | None = None) -> Looking[Line | None]:
        """The most that a line costs; None for one of metered usage.

        Args:
            item: ``price``, ``plan``, ``pricing[price]`` or ``price_data[…]``, and ``quantity``.
            currency: upper-case, where something fixes it.
            quantity: in place of the line's own.

        Raises:
            Refused: ``unpriced`` if it has neither price nor price data, or no price that could be told.
        """
        found = _inline(item) or (yield from _looked_up(item))
        if _metered(found):
            return None
        counted = _quantity(item) if quantity is None else quantity
        tax = yield from tax_percent(params.values(item, "tax_rates"))
        readings = [
            Line(minor * (100 + tax) / 100, code, _recurs(found)) for minor, code in _readings(found, currency, counted)
        ]
        return max(readings, key=lambda line: self.micros(line.minor, line.currency))

    def usage(self, price: Found, quantity: Fraction) -> Line:
        """What reporting usage costs at a metered price."""
        readings = [Line(minor, code, recurring=True) for minor, code in _readings(price, None, quantity)]
        return max(readings, key=lambda line: self.micros(line.minor, line.currency))

    def fixed(self, amount: Found, currency: str | None) -> Line:
        """A fixed amount with options for other currencies, as shipping rates have them."""
        options = {code: {"unit_amount": option.get("amount")} for code, option in _options(amount).items()}
        readings = [Line(minor, code) for minor, code in _chosen(options, currency, Fraction(1))]
        return max(readings, key=lambda line: self.micros(line.minor, line.currency))

    def micros(self, minor: Fraction, currency: str) -> int:
        """In micro-USD, rounded up."""
        total = Total(self._rates)
        total.add(minor, currency)
        return total.quote().micros


def tax_percent(ids: Iterable[str]) -> Looking[int]:
    """What tax rates add together, in whole percent.

    A rate's percentage is fixed when it is made: no update takes one (stripe-python 16.1.0, ``TaxRateModifyParams``).
    """
    percent = 0
    for rate in ids:
        if not is_segment(rate):
            raise unpriced("A tax rate must be named by its id.")
        percent += percentage((yield from by_id("/v1/tax_rates", rate, immutable=True)))
    return percent


def percentage(rate: Found) -> int:
    """A tax rate's percentage, rounded up to a whole one: it is no money, and Stripe's JSON has it with a point."""
    value = rate.get("percentage")
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 100:
        raise unpriced("The price depends on a tax rate, and Stripe's answer does not tell its percentage.")
    return math.ceil(value)


def _inline(item: Form) -> Found | None:
    """Price data, in the shape of a price."""
    code = amounts.currency(item, "price_data[currency]")
    if code is None:
        return None
    unit = amounts.decimal(item, "price_data[unit_amount]")
    if unit is None:
        unit = amounts.decimal(item, "price_data[unit_amount_decimal]")
    if unit is None:
        raise unpriced("A line's price_data must say its unit_amount.")
    recurring = {"usage_type": "licensed"} if item.below("price_data[recurring]") else None
    return {"currency": code, "unit_amount_decimal": _text(unit), "recurring": recurring}


def _text(number: Fraction) -> str:
    """A decimal with up to 12 places, as Stripe writes it."""
    sign = "-" if number < 0 else ""
    whole, rest = divmod(abs(number.numerator) * 10**12 // number.denominator, 10**12)
    return f"{sign}{whole}.{rest:012d}"


def _looked_up(item: Form) -> Looking[Found]:
    for name in ("price", "plan", "pricing[price]"):
        if item.get(name) is not None:
            query = "expand[]=tiers&expand[]=currency_options"
            return (yield from by_id("/v1/prices", named(item, name), query))
    raise unpriced("A line has a price only if it names a price, or gives price_data with a currency.")


def _quantity(item: Form) -> Fraction:
    for name in ("quantity", "quantity_decimal"):
        quantity = amounts.decimal(item, name)
        if quantity is not None:
            return max(quantity, Fraction(0))
    return Fraction(1)


def _readings(price: Found, currency: str | None, quantity: Fraction) -> list[tuple[Fraction, str]]:
    """What a quantity costs at a price, in each currency that it may be charged in."""
    return _chosen(_options(price), currency, _transformed(price, quantity))


def _options(price: Found) -> dict[str, Found]:
    """The amounts of a price, by upper-case currency."""
    own = amounts.looked_up_currency(price)
    further = price.get("currency_options")
    options = further if isinstance(further, dict) else {}
    return {own: price} | {code.upper(): option for code, option in options.items() if code.upper() != own}


def _chosen(options: dict[str, Found], currency: str | None, quantity: Fraction) -> list[tuple[Fraction, str]]:
    if currency is not None:
        if currency not in options:
            raise unpriced(f"A price has no amount in {currency}.")
        options = {currency: options[currency]}
    return [(_amount(option, quantity), code) for code, option in options.items()]


def _transformed(price: Found, quantity: Fraction) -> Fraction:
    """The quantity that is billed, where a price counts packages of units; always rounded up."""
    transform = price.get("transform_quantity")
    if transform is None:
        return quantity
    size = transform.get("divide_by") if isinstance(transform, dict) else None
    if type(size) is not int or size < 1:
        raise unpriced("A price counts its units in a way that is not understood.")
    packages = quantity / size
    return Fraction(-(-packages.numerator // packages.denominator))


def _amount(option: Found, quantity: Fraction) -> Fraction:
    custom = option.get("custom_unit_amount")
    if isinstance(custom, dict):
        maximum = custom.get("maximum")
        if not amounts.is_amount(maximum):
            raise unpriced("The customer may choose the amount of a price, and it has no maximum.")
        return maximum * quantity
    tiers = option.get("tiers")
    if isinstance(tiers, list) and tiers:
        unit = max(_decimal(tier, "unit_amount", default=0) for tier in tiers)
        return unit * quantity + sum(_decimal(tier, "flat_amount", default=0) for tier in tiers)
    return _decimal(option, "unit_amount") * quantity


def _decimal(found: Found, name: str, *, default: int | None = None) -> Fraction:
    """An amount that Stripe gives as a whole number or, if it has decimals, as text beside it."""
    for key in (f"{name}_decimal", name):
        value = found.get(key)
        if value is not None:
            return amounts.exact(value, key)
    if default is None:
        raise refuse(Code.UNPRICED, f"A price does not tell its {name}.")
    return Fraction(default)


def _metered(price: Found) -> bool:
    recurring = price.get("recurring")
    return isinstance(recurring, dict) and recurring.get("usage_type") == "metered"


def _recurs(price: Found) -> bool:
    return price.get("recurring") is not None
