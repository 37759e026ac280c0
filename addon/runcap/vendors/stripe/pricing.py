"""The most that a call to Stripe can move, by its API reference as stripe-python 16.1.0 carries it (2026-10-28).

The cap counts the money that is moved: charged, refunded, transferred, paid out. Stripe's own fee for
processing a charge is not part of it; the fee of an instant payout is, since asking for one is a choice of
the caller.

A PaymentIntent is counted when it is created, whether or not it is confirmed in the same call: its
client_secret lets a publishable key confirm it past runcap. Whatever happens to it later is quoted as its
total, under its id.
"""

import re
from collections.abc import Callable, Generator
from typing import Any, TypeGuard

from runcap.decision import Code, refuse
from runcap.fx import Rates
from runcap.money import MICROS_PER_USD, ceil_div
from runcap.vendors.base import FREE, Lookup, Plan, Quote
from runcap.vendors.form import Form
from runcap.vendors.stripe import amounts

Steps = Generator[Lookup, dict[str, Any], Quote]

INSTANT_FEE_PERMILLE = 15
INSTANT_FEE_MINIMUM_MICROS = MICROS_PER_USD // 2
"""An instant payout costs 1 % in most countries and 1.5 % in Australia
(support.stripe.com/questions/what-are-instant-payouts-and-who-is-eligible, read 2026-11-24). The page names no
minimum; half a dollar is taken for it. The dearest rate and the minimum are both added, for every country."""

_ID = re.compile(r"[A-Za-z0-9_]{1,255}", re.ASCII)

_ENDED = frozenset({"succeeded", "canceled"})

_CUSTOMER_PARAMS = frozenset({
    "address", "business_name", "cash_balance", "default_source", "description", "email", "expand",
    "individual_name", "invoice_prefix", "invoice_settings", "metadata", "name", "next_invoice_sequence",
    "payment_method", "phone", "preferred_locales", "shipping", "source", "tax", "tax_exempt",
    "tax_id_data", "test_clock", "validate",
})  # fmt: skip
"""What a customer takes in stripe-python 16.1.0, without ``balance``. An allow-list, since an old version in
Stripe-Version may bring back what moves money: ``plan`` subscribed, ``account_balance`` gave credit."""


class Pricing:
    """Prices plans; one method for each pricer that the catalogue names."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._pricers: dict[str, Callable[[Plan], Steps]] = {
            "intent_create": self._body_amount,
            "intent_update": self._intent_update,
            "intent_confirm": self._intent_confirm,
            "intent_capture": self._intent_capture,
            "intent_increment": self._intent_increment,
            "intent_cancel": self._intent_cancel,
            "charge_create": self._body_amount,
            "charge_capture": self._charge_capture,
            "refund": self._refund,
            "transfer": self._body_amount,
            "payout": self._payout,
            "customer": self._customer,
        }

    def quote(self, plan: Plan) -> Steps:
        """Price a plan. An operation without a pricer costs nothing, or is denied and counted by nobody."""
        name = plan.operation.pricer
        return (yield from self._pricers[name](plan)) if name else FREE

    def _intent_update(self, plan: Plan) -> Steps:
        form: Form = plan.detail
        amount, currency = amounts.amount(form, "amount"), amounts.currency(form)
        if amount is None and currency is None:
            return FREE
        intent = plan.path_params["intent"]
        if amount is None or currency is None:
            found = yield from _look_up_intent(intent)
            amount = amounts.looked_up_amount(found, "amount") if amount is None else amount
            currency = currency or amounts.looked_up_currency(found)
        return self._priced(amount, currency, object_id=intent)

    def _intent_confirm(self, plan: Plan) -> Steps:
        intent = plan.path_params["intent"]
        asked = amounts.amount(plan.detail, "amount_to_confirm")
        found = yield from _look_up_intent(intent)
        received = amounts.looked_up_amount(found, "amount_received")
        if found.get("status") in _ENDED:
            total = received
        else:
            # The whole amount even if less is confirmed: what is left can be confirmed later, past runcap.
            total = max(amounts.looked_up_amount(found, "amount"), received, asked or 0)
        return self._priced(total, amounts.looked_up_currency(found), object_id=intent)

    def _intent_capture(self, plan: Plan) -> Steps:
        intent = plan.path_params["intent"]
        asked = amounts.amount(plan.detail, "amount_to_capture")
        found = yield from _look_up_intent(intent)
        capturing = amounts.looked_up_amount(found, "amount_capturable") if asked is None else asked
        total = max(
            amounts.looked_up_amount(found, "amount"),
            amounts.looked_up_amount(found, "amount_received") + capturing,
        )
        return self._priced(total, amounts.looked_up_currency(found), object_id=intent)

    def _intent_increment(self, plan: Plan) -> Steps:
        intent = plan.path_params["intent"]
        # Stripe's reference: "The updated total amount", not the difference.
        total = _required(amounts.amount(plan.detail, "amount"), "amount")
        found = yield from _look_up_intent(intent)
        total = max(total, amounts.looked_up_amount(found, "amount"))
        return self._priced(total, amounts.looked_up_currency(found), object_id=intent)

    def _intent_cancel(self, plan: Plan) -> Steps:
        yield from ()
        return Quote(0, object_id=plan.path_params["intent"])

    def _charge_capture(self, plan: Plan) -> Steps:
        charge = plan.path_params["charge"]
        asked = amounts.amount(plan.detail, "amount")
        found = yield from _look_up(f"/v1/charges/{charge}", charge)
        total = max(amounts.looked_up_amount(found, "amount"), asked or 0)
        # A charge that a PaymentIntent made was counted under the PaymentIntent.
        intent = found.get("payment_intent")
        object_id = intent if _is_id(intent) else charge
        return self._priced(total, amounts.looked_up_currency(found), object_id=object_id)

    def _refund(self, plan: Plan) -> Steps:
        form: Form = plan.detail
        amount = amounts.amount(form, "amount")
        charge = yield from _look_up_refunded(form)
        currency = amounts.looked_up_currency(charge)
        if amount is None:
            refunded = amounts.looked_up_amount(charge, "amount_refunded")
            amount = max(0, amounts.looked_up_amount(charge, "amount") - refunded)
        quote = self._priced(amount, currency)
        if form.get("refund_application_fee") in {None, "", "false"}:
            return quote
        # The platform gives back its fee on top, which is never more than the charge itself.
        return Quote(2 * quote.micros, amount, currency)

    def _payout(self, plan: Plan) -> Steps:
        form: Form = plan.detail
        quote = yield from self._body_amount(plan)
        if form.get("method") in {None, "standard"}:
            return quote
        fee = ceil_div(quote.micros * INSTANT_FEE_PERMILLE, 1000) + INSTANT_FEE_MINIMUM_MICROS
        return Quote(quote.micros + fee, quote.amount_minor, quote.currency)

    def _body_amount(self, plan: Plan) -> Steps:
        yield from ()
        amount = _required(amounts.amount(plan.detail, "amount"), "amount")
        return self._priced(amount, _required(amounts.currency(plan.detail), "currency"))

    def _customer(self, plan: Plan) -> Steps:
        """Free, unless it gives credit or may set off a payment."""
        yield from ()
        form: Form = plan.detail
        balance = form.get("balance")
        odd = form.names - _CUSTOMER_PARAMS - ({"balance"} if balance in {None, "0"} else set())
        if plan.path_params and "source" in form.names:
            # By Stripe's reference, a new source retries the open invoices of past-due subscriptions.
            odd |= {"source"}
        if odd:
            raise refuse(
                Code.UNPRICED,
                f"What a customer's {', '.join(sorted(odd))} sets off is not priced: leave it out.",
            )
        return FREE

    def _priced(self, amount: int, currency: str, object_id: str | None = None) -> Quote:
        amounts.check_granularity(amount, currency)
        return Quote(amounts.micros(self._rates, amount, currency), amount, currency, object_id)


def _required[T](value: T | None, name: str) -> T:
    if value is None:
        raise refuse(Code.UNPRICED, f"Without {name} the call has no price: give it in the body.")
    return value


def _look_up_intent(intent: str) -> Generator[Lookup, dict[str, Any], dict[str, Any]]:
    return (yield from _look_up(f"/v1/payment_intents/{intent}", intent))


def _look_up(path: str, object_id: str, query: str = "") -> Generator[Lookup, dict[str, Any], dict[str, Any]]:
    found = yield Lookup(path, query)
    if found.get("id") != object_id:
        raise refuse(Code.UNPRICED, f"The price depends on {path}, and Stripe answered with something else.")
    return found


def _look_up_refunded(form: Form) -> Generator[Lookup, dict[str, Any], dict[str, Any]]:
    """The charge that a refund is of."""
    charge, intent = form.get("charge"), form.get("payment_intent")
    if _is_id(charge) and intent is None:
        return (yield from _look_up(f"/v1/charges/{charge}", charge))
    if _is_id(intent) and charge is None:
        path = f"/v1/payment_intents/{intent}"
        found = yield from _look_up(path, intent, "expand[]=latest_charge")
        latest = found.get("latest_charge")
        if isinstance(latest, dict):
            return latest
        raise refuse(Code.UNPRICED, f"The PaymentIntent {intent} has no charge that could be refunded.")
    raise refuse(Code.UNPRICED, "A refund has a price only if it names either a charge or a payment_intent.")


def _is_id(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _ID.fullmatch(value) is not None
