"""Stripe's objects and their lives: PaymentIntents, charges, refunds, transfers, payouts, customers.

Every operation returns its JSON, how much it moved and in which currency. What an intent or a charge has *at stake*
is what a customer's card is charged or blocked with; an operation moves the difference that it makes to that.
"""

from typing import Any

from tests.fakes.stripe_shelf import Problem, Result, Shelf, amount_of, currency_of

_DECLINED = ("pm_card_chargeDeclined", "pm_card_visa_chargeDeclined", "tok_chargeDeclined")


class Book(Shelf):
    """All objects of one account, and what is done with those that charge a card or pay out."""

    def create_intent(self, params: dict[str, Any]) -> Result:
        """POST /v1/payment_intents."""
        amount, currency = amount_of(params), currency_of(params)
        intent = self.new(
            "pi_", "payment_intent", amount=amount, currency=currency, amount_capturable=0, amount_received=0,
            capture_method=params.get("capture_method", "automatic"), customer=params.get("customer"),
            latest_charge=None, metadata=params.get("metadata", {}),
            application_fee_amount=int(params.get("application_fee_amount", 0)),
            payment_method=params.get("payment_method") or None,
        )  # fmt: skip
        intent["client_secret"] = intent["id"] + "_secret_fake"
        intent["status"] = "requires_confirmation" if intent["payment_method"] else "requires_payment_method"
        if params.get("confirm") == "true":
            return self.confirm_intent(intent["id"], params)
        return self.shown(intent, params), 0, currency

    def get_intent(self, intent_id: str, params: dict[str, Any]) -> Result:
        """GET /v1/payment_intents/{intent}."""
        return self.shown(self.find(intent_id), params), 0, ""

    def update_intent(self, intent_id: str, params: dict[str, Any]) -> Result:
        """POST /v1/payment_intents/{intent}: the amount may change until it is confirmed."""
        intent = self.find(intent_id)
        if "amount" in params:
            _require(intent, "requires_payment_method", "requires_confirmation", "requires_action")
            intent["amount"] = amount_of(params)
        if "payment_method" in params:
            intent["payment_method"] = params["payment_method"]
            intent["status"] = "requires_confirmation"
        return self.shown(intent, params), 0, intent["currency"]

    def confirm_intent(self, intent_id: str, params: dict[str, Any]) -> Result:
        """POST /v1/payment_intents/{intent}/confirm: charges the card, or blocks the amount on it."""
        intent = self.find(intent_id)
        _require(intent, "requires_payment_method", "requires_confirmation", "requires_action")
        intent["payment_method"] = params.get("payment_method", intent["payment_method"])
        if not intent["payment_method"]:
            raise Problem(
                400, "You cannot confirm this PaymentIntent: no payment method.", code="payment_intent_unexpected_state"
            )
        if "amount_to_confirm" in params and amount_of(params, "amount_to_confirm") != intent["amount"]:
            raise Problem(400, "amount_to_confirm does not match the PaymentIntent's amount.")
        if intent["payment_method"] in _DECLINED:
            intent["status"] = "requires_payment_method"
            charge = self._charge(intent, status="failed", captured=False)
            details = {"decline_code": "generic_decline", "charge": charge["id"], "payment_intent": dict(intent)}
            raise Problem(402, "Your card was declined.", "card_error", code="card_declined", details=details)
        manual = intent["capture_method"] == "manual"
        charge = self._charge(intent, status="succeeded", captured=not manual)
        intent["latest_charge"] = charge["id"]
        if intent["application_fee_amount"]:
            fee = {"amount": intent["application_fee_amount"], "amount_refunded": 0, "currency": intent["currency"]}
            charge["application_fee"] = self.new("fee_", "application_fee", **fee)["id"]
        intent["status"] = "requires_capture" if manual else "succeeded"
        intent["amount_capturable" if manual else "amount_received"] = intent["amount"]
        return self.shown(intent, params), intent["amount"], intent["currency"]

    def capture_intent(self, intent_id: str, params: dict[str, Any]) -> Result:
        """POST /v1/payment_intents/{intent}/capture: the rest of the authorization goes back to the customer."""
        intent = self.find(intent_id)
        _require(intent, "requires_capture")
        before = intent["amount_capturable"]
        captured = amount_of(params, "amount_to_capture") if "amount_to_capture" in params else before
        if captured > before:
            raise Problem(400, "The amount to capture is greater than the remaining amount.", code="amount_too_large")
        received = intent["amount_received"] + captured
        charge = self.find(intent["latest_charge"])
        charge |= {"captured": True, "amount_captured": received}
        if params.get("final_capture") == "false":
            intent |= {"amount_capturable": before - captured, "amount_received": received}
            return self.shown(intent, params), 0, intent["currency"]
        intent |= {"status": "succeeded", "amount_capturable": 0, "amount_received": received}
        return self.shown(intent, params), captured - before, intent["currency"]

    def cancel_intent(self, intent_id: str, params: dict[str, Any]) -> Result:
        """POST /v1/payment_intents/{intent}/cancel: what was blocked goes back."""
        intent = self.find(intent_id)
        _require(intent, "requires_payment_method", "requires_capture", "requires_confirmation", "requires_action")
        freed = intent["amount_capturable"]
        intent |= {"status": "canceled", "amount_capturable": 0}
        return self.shown(intent, params), -freed, intent["currency"]

    def increment_intent(self, intent_id: str, params: dict[str, Any]) -> Result:
        """POST /v1/payment_intents/{intent}/increment_authorization: `amount` is the new total."""
        intent = self.find(intent_id)
        _require(intent, "requires_capture")
        total = amount_of(params)
        added = total - intent["amount"]
        if added <= 0:
            raise Problem(400, "The amount must be greater than the currently authorized amount.")
        intent |= {"amount": total, "amount_capturable": total}
        self.find(intent["latest_charge"])["amount"] = total
        return self.shown(intent, params), added, intent["currency"]

    def create_charge(self, params: dict[str, Any]) -> Result:
        """POST /v1/charges."""
        amount, currency = amount_of(params), currency_of(params)
        source = params.get("source") or params.get("customer")
        if source is None:
            raise Problem(400, "Must provide source or customer.")
        owner = {"amount": amount, "currency": currency, "id": None}
        if source in _DECLINED:
            charge = self._charge(owner, status="failed", captured=False)
            raise Problem(
                402, "Your card was declined.", "card_error", code="card_declined", details={"charge": charge["id"]}
            )
        charge = self._charge(owner, status="succeeded", captured=params.get("capture") != "false")
        return dict(charge), amount, currency

    def get_charge(self, charge_id: str, params: dict[str, Any]) -> Result:
        """GET /v1/charges/{charge}."""
        return self.shown(self.find(charge_id), params), 0, ""

    def capture_charge(self, charge_id: str, params: dict[str, Any]) -> Result:
        """POST /v1/charges/{charge}/capture."""
        charge = self.find(charge_id)
        if charge["captured"] or charge["status"] != "succeeded":
            raise Problem(400, "Charge has already been captured.", code="charge_already_captured")
        captured = amount_of(params) if "amount" in params else charge["amount"]
        if captured > charge["amount"]:
            raise Problem(400, "The amount to capture is greater than the remaining amount.", code="amount_too_large")
        charge |= {"captured": True, "amount_captured": captured}
        return dict(charge), captured - charge["amount"], charge["currency"]

    def create_refund(self, params: dict[str, Any]) -> Result:
        """POST /v1/refunds: without an amount, all that has not been refunded."""
        charge = self.find(params.get("charge") or self.find(params.get("payment_intent", ""))["latest_charge"] or "")
        remainder = charge["amount_captured"] - charge["amount_refunded"]
        amount = amount_of(params) if "amount" in params else remainder
        if not 0 < amount <= remainder:
            raise Problem(400, "The refund is greater than what is left of the charge.", code="charge_already_refunded")
        charge["amount_refunded"] += amount
        refund = self.new(
            "re_", "refund", amount=amount, charge=charge["id"], currency=charge["currency"],
            payment_intent=charge["payment_intent"], status="succeeded",
        )  # fmt: skip
        return dict(refund), amount, charge["currency"]

    def create_transfer(self, params: dict[str, Any]) -> Result:
        """POST /v1/transfers."""
        amount, currency = amount_of(params), currency_of(params)
        if not params.get("destination"):
            raise Problem(400, "Missing required param: destination.", code="parameter_missing")
        made = self.new(
            "tr_", "transfer", amount=amount, amount_reversed=0, currency=currency, destination=params["destination"]
        )
        return dict(made), amount, currency

    def create_payout(self, params: dict[str, Any]) -> Result:
        """POST /v1/payouts."""
        amount, currency = amount_of(params), currency_of(params)
        return dict(self.new("po_", "payout", amount=amount, currency=currency, status="pending")), amount, currency

    def create_customer(self, params: dict[str, Any]) -> Result:
        """POST /v1/customers."""
        made = self.new(
            "cus_", "customer", email=params.get("email"), name=params.get("name"), balance=0, currency="usd"
        )
        return dict(made), 0, ""

    def get_customer(self, customer_id: str, params: dict[str, Any]) -> Result:
        """GET /v1/customers/{customer}."""
        return dict(self.find(customer_id)), 0, ""

    def list_customers(self, params: dict[str, Any]) -> Result:
        """GET /v1/customers."""
        customers = [dict(found) for found in self.all("customer")]
        return {"object": "list", "url": "/v1/customers", "has_more": False, "data": customers}, 0, ""

    def get_balance(self, params: dict[str, Any]) -> Result:
        """GET /v1/balance."""
        funds = [{"amount": 1_000_000, "currency": "usd", "source_types": {"card": 1_000_000}}]
        return {"object": "balance", "available": funds, "livemode": False, "pending": []}, 0, ""

    def _charge(self, owner: dict[str, Any], *, status: str, captured: bool) -> dict[str, Any]:
        return self.new(
            "ch_", "charge", amount=owner["amount"], amount_captured=owner["amount"] if captured else 0,
            amount_refunded=0, captured=captured, currency=owner["currency"], payment_intent=owner["id"],
            paid=status == "succeeded", status=status,
        )  # fmt: skip


def _require(intent: dict[str, Any], *statuses: str) -> None:
    if intent["status"] not in statuses:
        message = f"This PaymentIntent's status is {intent['status']}; it must be one of {', '.join(statuses)}."
        raise Problem(400, message, code="payment_intent_unexpected_state", details={"payment_intent": dict(intent)})
