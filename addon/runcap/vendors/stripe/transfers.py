"""Money that moves between Stripe, banks, connected accounts and a customer's credit.

What is taken back (a transfer that is reversed, a payout that is called back) counts as what is moved. What is
cancelled before it moved is given back, once Stripe's answer says so: see `outcome`.
"""

from collections.abc import Callable, Generator
from fractions import Fraction
from typing import Any

from runcap.decision import Code, refuse
from runcap.fx import Rates
from runcap.money import MICROS_PER_USD, ceil_div
from runcap.vendors.base import FREE, Plan, Quote
from runcap.vendors.form import Form
from runcap.vendors.stripe import amounts, catalogue, params
from runcap.vendors.stripe.lookups import Found, Steps, by_id, named, required, unpriced
from runcap.vendors.stripe.payments import Payments
from runcap.vendors.stripe.totals import Total

INSTANT_FEE_PERMILLE = 15
INSTANT_FEE_MINIMUM_MICROS = MICROS_PER_USD // 2
"""An instant payout costs 1 % in most countries and 1.5 % in Australia
(support.stripe.com/questions/what-are-instant-payouts-and-who-is-eligible, read 2026-11-24). The page names no
minimum; half a dollar is taken for it. The dearest rate and the minimum are both added, for every country."""

_CUSTOMER_PARAMS = frozenset({
    "address", "business_name", "cash_balance", "default_source", "description", "email", "expand",
    "individual_name", "invoice_prefix", "invoice_settings", "metadata", "name", "next_invoice_sequence",
    "payment_method", "phone", "preferred_locales", "shipping", "source", "tax", "tax_exempt",
    "tax_id_data", "test_clock", "validate",
})  # fmt: skip
"""What a customer takes in stripe-python 16.1.0, without ``balance``. An allow-list, since an old version in
Stripe-Version may bring back what moves money: ``plan`` subscribed, ``account_balance`` gave credit."""


class Transfers:
    """Prices money that leaves the account or comes into it, and credit that is given to customers."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._payments = Payments(rates)

    def pricers(self) -> dict[str, Callable[[Plan], Steps]]:
        """By the names that the catalogue uses."""
        return {
            "body": self._payments.body_amount,
            "body_v2": self._body_v2,
            "looked_up": self._looked_up,
            "payout": self._payout,
            "payout_intent_confirm": self._payout_intent_confirm,
            "climate_order": self._climate_order,
            "credit_grant": self._credit_grant,
            "customer": self._customer,
            "customer_balance": self._customer_balance,
            "give_back": _give_back,
        }

    def _body_v2(self, plan: Plan) -> Steps:
        yield from ()
        return self._v2_amount(plan.params)

    def _v2_amount(self, params: Any, object_id: str | None = None) -> Quote:
        """v2's ``{"amount": {"value": 2000, "currency": "usd"}}``."""
        amount = params.get("amount")
        value, code = (amount.get("value"), amount.get("currency")) if isinstance(amount, dict) else (None, None)
        if not amounts.is_amount(value) or value >= 10**15 or not isinstance(code, str):
            raise unpriced("Without an amount of a whole value and a currency the call has no price.")
        return self._payments.priced(value, amounts.looked_up_currency({"currency": code}), object_id)

    def _looked_up(self, plan: Plan) -> Steps:
        """The amount that is asked for, or all that is left of an object, in the object's currency."""
        form: Form = plan.detail
        facts = catalogue.facts()[plan.operation.name]
        folder, _, parameter = facts.lookup.rpartition("/")
        name = parameter.strip("{}")
        asked = amounts.amount(form, facts.amounts[0]) if facts.amounts else None
        found = yield from by_id(folder, plan.path_params.get(name) or named(form, name))
        moved = amounts.looked_up_amount(found, facts.less) if facts.less else 0
        amount = max(0, amounts.looked_up_amount(found, facts.total) - moved) if asked is None else asked
        quote = self._payments.priced(amount, amounts.looked_up_currency(found))
        if not params.is_true(form, "refund_application_fee"):
            return quote
        # The platform gives back its fee on top, which is never more than the amount itself.
        return Quote(2 * quote.micros, quote.amount_minor, quote.currency)

    def _payout(self, plan: Plan) -> Steps:
        form: Form = plan.detail
        quote = yield from self._payments.body_amount(plan)
        if form.get("method") in {None, "standard"}:
            return quote
        fee = ceil_div(quote.micros * INSTANT_FEE_PERMILLE, 1000) + INSTANT_FEE_MINIMUM_MICROS
        return Quote(quote.micros + fee, quote.amount_minor, quote.currency)

    def _payout_intent_confirm(self, plan: Plan) -> Steps:
        intent = plan.path_params["id"]
        found = yield from by_id("/v2/money_management/payout_intents", intent)
        return self._v2_amount(found, intent)

    def _climate_order(self, plan: Plan) -> Steps:
        """Tons, or an amount: Stripe's reference does not say whether that has the fees in it, so they are added."""
        form: Form = plan.detail
        amount, tons = amounts.amount(form, "amount"), amounts.decimal(form, "metric_tons")
        currency = required(amounts.currency(form), "currency")
        product = yield from by_id("/v1/climate/products", named(form, "product"))
        price = _price_per_ton(product, currency)
        per_ton, subtotal = (amounts.looked_up_amount(price, name) for name in ("amount_total", "amount_subtotal"))
        total = Total(self._rates)
        if tons is not None and amount is None:
            total.add(tons * per_ton, currency)
        elif tons is None and amount is not None and 0 < subtotal <= per_ton:
            total.add(Fraction(amount * per_ton, subtotal), currency)
        else:
            raise unpriced("A climate order has a price only if it gives either an amount or metric_tons.")
        return total.quote()

    def _credit_grant(self, plan: Plan) -> Steps:
        yield from ()
        form: Form = plan.detail
        amount = required(amounts.amount(form, "amount[monetary][value]"), "amount[monetary][value]")
        name = "amount[monetary][currency]"
        return self._payments.priced(amount, required(amounts.currency(form, name), name))

    def _customer_balance(self, plan: Plan) -> Steps:
        """Credit that the customer gets, or a debt that the next invoice collects."""
        yield from ()
        form: Form = plan.detail
        change = abs(_signed(required(form.get("amount"), "amount"), "amount"))
        return self._payments.priced(change, required(amounts.currency(form), "currency"))

    def _customer(self, plan: Plan) -> Steps:
        """Free, unless it changes the balance or may set off a payment."""
        form: Form = plan.detail
        params.only(form, _CUSTOMER_PARAMS | {"balance"}, "a customer")
        customer = plan.path_params.get("customer")
        if customer is not None and "source" in form.names:
            # By Stripe's reference, a new source retries the open invoices of past-due subscriptions.
            raise unpriced("A customer's new source may set off payments: use default_source, or leave it out.")
        if customer is not None and "cash_balance" in form.names:
            raise unpriced("A customer's cash_balance settings may let Stripe pay open invoices: leave them out.")
        text = form.get("balance")
        if text is None or (customer is None and text == "0"):
            return FREE
        balance = _signed(text, "balance")
        if customer is None:
            raise unpriced("A new customer's balance has no currency yet: make the customer first, without it.")
        found = yield from by_id("/v1/customers", customer)
        change = abs(balance - amounts.looked_up_signed(found, "balance"))
        return self._payments.priced(change, amounts.looked_up_currency(found))


def _give_back(plan: Plan) -> Generator[Any, Any, Quote]:
    """Costs nothing, and names the object, so that what was counted for it can be given back."""
    yield from ()
    return Quote(0, object_id=plan.path_params[catalogue.facts()[plan.operation.name].gives_back])


def _signed(text: str, name: str) -> int:
    number = amounts.exact(text, name)
    if number.denominator != 1:
        raise refuse(Code.MALFORMED, f"{name} must be a whole number.")
    return number.numerator


def _price_per_ton(product: Found, currency: str) -> Found:
    prices = product.get("current_prices_per_metric_ton")
    price = prices.get(currency.lower()) if isinstance(prices, dict) else None
    if not isinstance(price, dict):
        raise unpriced(f"The climate product has no price in {currency}.")
    return price
