"""Prices, tax rates and shipping rates, and what lines of them come to.

Kept to docs.stripe.com/api/prices. Amounts are worked out anew here, exactly and rounded half up as Stripe does,
independent of how runcap bounds them.
"""

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

from tests.fakes.stripe_objects import Book
from tests.fakes.stripe_shelf import Problem, Result, currency_of, values

Params = dict[str, Any]


class Prices:
    """What things cost."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def routes(self) -> list[tuple[str, str, Callable[..., Result]]]:
        """Method, path and handler of each operation."""
        return [
            ("POST", r"/v1/products", self._create_product),
            ("POST", r"/v1/prices", self._create_price),
            ("GET", r"/v1/prices/(price_\w+)", self._get),
            ("POST", r"/v1/tax_rates", self._create_tax_rate),
            ("GET", r"/v1/tax_rates/(txr_\w+)", self._get),
            ("POST", r"/v1/shipping_rates", self._create_shipping_rate),
            ("GET", r"/v1/shipping_rates/(shr_\w+)", self._get),
        ]

    def price_of(self, line: Params) -> Params:
        """The price of a line, made if it is given inline."""
        data = line.get("price_data")
        if isinstance(data, dict):
            price: Params = self._create_price(data)[0]
            return price
        pricing = line.get("pricing")
        named = pricing.get("price") if isinstance(pricing, dict) else line.get("price")
        if not isinstance(named, str):
            raise Problem(400, "A line needs price or price_data.", code="parameter_missing")
        return self._book.find(named)

    def lines_currency(self, lines: Iterable[Params]) -> str:
        """The one currency of lines, lower-case; Stripe takes no bill in two."""
        currencies = {str(self.price_of(line)["currency"]) for line in lines}
        if len(currencies) != 1:
            raise Problem(400, "All lines of a bill have to be in one currency.")
        return currencies.pop()

    def lines_total(self, lines: Iterable[Params], *, recurring_only: bool = False) -> int:
        """What lines come to for one period, tax included."""
        total = 0
        for line in lines:
            price = self.price_of(line)
            if recurring_only and price["recurring"] is None:
                continue
            if price["recurring"] is not None and price["recurring"].get("usage_type") == "metered":
                continue
            untaxed = amount_for(price, Fraction(line.get("quantity", "1")))
            percent = sum(Fraction(self._book.find(rate)["percent_text"]) for rate in values(line.get("tax_rates")))
            total += _rounded(untaxed + untaxed * percent / 100)
        return total

    def shipping_total(self, option: Params) -> int:
        """What one way of shipping costs."""
        if "shipping_rate" in option:
            return int(self._book.find(option["shipping_rate"])["fixed_amount"]["amount"])
        return int(option["shipping_rate_data"]["fixed_amount"]["amount"])

    def _create_product(self, params: Params) -> Result:
        return dict(self._book.new("prod_", "product", name=params.get("name"))), 0, ""

    def _create_price(self, params: Params) -> Result:
        recurring = params.get("recurring")
        custom = params.get("custom_unit_amount")
        transform = params.get("transform_quantity")
        tiers = [_tier(tier) for tier in values(params.get("tiers"))]
        unit = params.get("unit_amount")
        made = self._book.new(
            "price_", "price", currency=currency_of(params), unit_amount=None if unit is None else int(unit),
            unit_amount_decimal=params.get("unit_amount_decimal", unit), tiers=tiers or None,
            tiers_mode=params.get("tiers_mode"),
            custom_unit_amount=None if custom is None else {"maximum": int(custom["maximum"])},
            recurring=None if recurring is None else {"usage_type": "licensed", "meter": None, **recurring},
            transform_quantity=None if transform is None else {
                "divide_by": int(transform["divide_by"]), "round": transform["round"],
            },
        )  # fmt: skip
        return dict(made), 0, ""

    def _create_tax_rate(self, params: Params) -> Result:
        text = params["percentage"]
        made = self._book.new("txr_", "tax_rate", percentage=float(text), percent_text=text, inclusive=False)
        return dict(made), 0, ""

    def _create_shipping_rate(self, params: Params) -> Result:
        fixed = params["fixed_amount"]
        amount = {"amount": int(fixed["amount"]), "currency": currency_of(fixed)}
        return dict(self._book.new("shr_", "shipping_rate", fixed_amount=amount)), 0, ""

    def _get(self, object_id: str, params: Params) -> Result:
        return dict(self._book.find(object_id)), 0, ""


def amount_for(price: Params, quantity: Fraction) -> Fraction:
    """What a quantity costs, before tax."""
    transform = price["transform_quantity"]
    if transform is not None:
        packages = quantity / transform["divide_by"]
        quantity = Fraction(packages // 1 if transform["round"] == "down" else -(-packages // 1))
    if price["custom_unit_amount"] is not None:
        return quantity * int(price["custom_unit_amount"]["maximum"])
    if price["tiers"] is None:
        return Fraction(price["unit_amount_decimal"]) * quantity
    return _tiered(price["tiers"], quantity, graduated=price["tiers_mode"] == "graduated")


def _tiered(tiers: list[Params], quantity: Fraction, *, graduated: bool) -> Fraction:
    total, reached = Fraction(0), Fraction(0)
    for tier in tiers:
        top = quantity if tier["up_to"] is None else min(quantity, Fraction(tier["up_to"]))
        if graduated and top > reached:
            total += (top - reached) * tier["unit_amount"] + tier["flat_amount"]
            reached = top
        if not graduated and (tier["up_to"] is None or quantity <= tier["up_to"]):
            return quantity * int(tier["unit_amount"]) + int(tier["flat_amount"])
    return total


def _tier(tier: Params) -> Params:
    up_to = None if tier["up_to"] == "inf" else int(tier["up_to"])
    unit, flat = (int(tier.get(name, 0)) for name in ("unit_amount", "flat_amount"))
    return {"up_to": up_to, "unit_amount": unit, "flat_amount": flat}


def _rounded(amount: Fraction) -> int:
    return int((amount * 2 + 1) // 2)
