"""PaymentIntents, charges, their refunds, and card readers.

A PaymentIntent is counted when it is created, whether or not it is confirmed in the same call: its client_secret lets
a publishable key confirm it past runcap. Whatever happens to it later is quoted as its total, under its id.
Several captures, increments and confirmations of one intent count once; a refund counts for itself.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from runcap.fx import Rates
from runcap.vendors.base import FREE, Plan, Quote
from runcap.vendors.form import Form
from runcap.vendors.stripe import amounts, params
from runcap.vendors.stripe.lookups import Found, Looking, Steps, by_id, is_id, named, required, unpriced
from runcap.vendors.stripe.totals import Total

_ENDED = frozenset({"succeeded", "canceled"})
_INTENTS = "/v1/payment_intents"

_READER_CONFIG = frozenset({
    "[allow_redisplay]", "[enable_customer_cancellation]", "[return_url]", "[skip_tipping]",
    "[tipping][amount_eligible]",
})  # fmt: skip
"""What a reader's configuration can say that changes no amount."""


class Payments:
    """Prices what is charged to a card, and what goes back to it."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates

    def pricers(self) -> dict[str, Callable[[Plan], Steps]]:
        """By the names that the catalogue uses."""
        return {
            "intent_create": self.body_amount,
            "intent_update": self._intent_update,
            "intent_confirm": self._intent_confirm,
            "intent_capture": self._intent_capture,
            "intent_increment": self._intent_increment,
            "charge_create": self.body_amount,
            "charge_capture": self._charge_capture,
            "refund": self._refund,
            "charge_refund": self._charge_refund,
            "reader_payment": self._reader_payment,
            "reader_collect": self._reader_collect,
        }

    def body_amount(self, plan: Plan) -> Steps:
        """``amount`` and ``currency``, both in the body."""
        yield from ()
        amount = required(amounts.amount(plan.detail, "amount"), "amount")
        return self.priced(amount, required(amounts.currency(plan.detail), "currency"))

    def priced(self, amount: int, currency: str, object_id: str | None = None) -> Quote:
        """One amount as a quote.

        Raises:
            Refused: ``malformed`` for an amount finer than its currency has, ``unpriced`` without a rate.
        """
        amounts.check_granularity(amount, currency)
        return Quote(amounts.micros(self._rates, amount, currency), amount, currency, object_id)

    def _intent_update(self, plan: Plan) -> Steps:
        form: Form = plan.detail
        amount, currency = amounts.amount(form, "amount"), amounts.currency(form)
        if amount is None and currency is None:
            return FREE
        intent = plan.path_params["intent"]
        if amount is None or currency is None:
            found = yield from by_id(_INTENTS, intent)
            amount = amounts.looked_up_amount(found, "amount") if amount is None else amount
            currency = currency or amounts.looked_up_currency(found)
        return self.priced(amount, currency, object_id=intent)

    def _intent_confirm(self, plan: Plan) -> Steps:
        """Confirming, paying from the customer's cash balance, or verifying the bank account that pays."""
        form: Form = plan.detail
        asked = [amounts.amount(form, name) for name in ("amount_to_confirm", "amount") if name in form.names]
        found = yield from by_id(_INTENTS, plan.path_params["intent"])
        return self._intent_total(found, *(amount for amount in asked if amount is not None))

    def _intent_total(self, found: Found, *asked: int) -> Quote:
        received = amounts.looked_up_amount(found, "amount_received")
        if found.get("status") in _ENDED:
            total = received
        else:
            # The whole amount even if less is confirmed: what is left can be confirmed later, past runcap.
            total = max(amounts.looked_up_amount(found, "amount"), received, *asked)
        return self.priced(total, amounts.looked_up_currency(found), object_id=found["id"])

    def _intent_capture(self, plan: Plan) -> Steps:
        intent = plan.path_params["intent"]
        asked = amounts.amount(plan.detail, "amount_to_capture")
        found = yield from by_id(_INTENTS, intent)
        capturing = amounts.looked_up_amount(found, "amount_capturable") if asked is None else asked
        total = max(
            amounts.looked_up_amount(found, "amount"),
            amounts.looked_up_amount(found, "amount_received") + capturing,
        )
        return self.priced(total, amounts.looked_up_currency(found), object_id=intent)

    def _intent_increment(self, plan: Plan) -> Steps:
        intent = plan.path_params["intent"]
        # Stripe's reference: "The updated total amount", not the difference.
        total = required(amounts.amount(plan.detail, "amount"), "amount")
        found = yield from by_id(_INTENTS, intent)
        total = max(total, amounts.looked_up_amount(found, "amount"))
        return self.priced(total, amounts.looked_up_currency(found), object_id=intent)

    def _charge_capture(self, plan: Plan) -> Steps:
        charge = plan.path_params["charge"]
        asked = amounts.amount(plan.detail, "amount")
        found = yield from by_id("/v1/charges", charge)
        total = max(amounts.looked_up_amount(found, "amount"), asked or 0)
        # A charge that a PaymentIntent made was counted under the PaymentIntent.
        intent = found.get("payment_intent")
        object_id = intent if is_id(intent) else charge
        return self.priced(total, amounts.looked_up_currency(found), object_id=object_id)

    def _refund(self, plan: Plan) -> Steps:
        form: Form = plan.detail
        if form.get("origin") is not None:
            return self._refund_of_balance(form)
        return self._refund_of(form, (yield from _refunded(form)))

    def _charge_refund(self, plan: Plan) -> Steps:
        """The legacy paths, which name the charge in the path."""
        found = yield from by_id("/v1/charges", plan.path_params["charge"])
        return self._refund_of(plan.detail, found)

    def _refund_of_balance(self, form: Form) -> Quote:
        """Of a customer's cash balance: there is no charge, so amount and currency are in the body."""
        amount = required(amounts.amount(form, "amount"), "amount")
        return self.priced(amount, required(amounts.currency(form), "currency"))

    def _refund_of(self, form: Form, charge: Found) -> Quote:
        amount = amounts.amount(form, "amount")
        if amount is None:
            refunded = amounts.looked_up_amount(charge, "amount_refunded")
            amount = max(0, amounts.looked_up_amount(charge, "amount") - refunded)
        total = Total(self._rates)
        # The platform gives back its fee on top, which is never more than the charge itself.
        fee = Fraction(amount) if params.is_true(form, "refund_application_fee") else Fraction(0)
        total.add(amount + fee, amounts.looked_up_currency(charge))
        quote = total.quote()
        return Quote(quote.micros, amount, quote.currency)

    def _reader_payment(self, plan: Plan) -> Steps:
        form: Form = plan.detail
        if plan.operation.template.endswith("/confirm_payment_intent"):
            _require_known(form, "confirm_config")
        else:
            _require_no_tip(form, "process_config")
        found = yield from by_id(_INTENTS, named(form, "payment_intent"))
        return self._intent_total(found)

    def _reader_collect(self, plan: Plan) -> Steps:
        """Takes the card, and a tip if it may; the money moves when the intent is confirmed."""
        yield from ()
        _require_no_tip(plan.detail, "collect_config")
        return FREE


def _require_no_tip(form: Form, config: str) -> None:
    """A tip is entered at the reader, and nothing bounds it."""
    _require_known(form, config)
    if form.get(f"{config}[skip_tipping]") != "true":
        raise unpriced(f"A tip could be added at the reader: send {config}[skip_tipping]=true.")


def _require_known(form: Form, config: str) -> None:
    """A configuration can add a surcharge to what the intent says (stripe-python 16.1.0, confirm_config)."""
    odd = {key[len(config) :] for key, _ in form.below(config)} - _READER_CONFIG
    if odd:
        raise unpriced(f"What {', '.join(sorted(odd))} of {config} adds to the amount is not known: leave it out.")


def _refunded(form: Form) -> Looking[dict[str, Any]]:
    """The charge that a refund is of."""
    charge, intent = form.get("charge"), form.get("payment_intent")
    if is_id(charge) and intent is None:
        return (yield from by_id("/v1/charges", charge))
    if is_id(intent) and charge is None:
        found = yield from by_id(_INTENTS, intent, "expand[]=latest_charge")
        latest = found.get("latest_charge")
        if isinstance(latest, dict):
            return latest
        raise unpriced(f"The PaymentIntent {intent} has no charge that could be refunded.")
    raise unpriced("A refund has a price only if it names either a charge or a payment_intent.")
