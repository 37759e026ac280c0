"""Stripe's objects and their lives: PaymentIntents, charges, refunds, transfers, payouts, customers.

Every operation returns its JSON, how much it moved and in which currency. What an intent or a charge has *at stake*
is what a customer's card is charged or blocked with; an operation moves the difference that it makes to that.
"""

import re
from typing import Any

Result = tuple[dict[str, Any], int, str]

_DECLINED = ("pm_card_chargeDeclined", "pm_card_visa_chargeDeclined", "tok_chargeDeclined")
_MAX_AMOUNT = 99_999_999


class Problem(Exception):
    """An error answer in Stripe's terms."""

    def __init__(
        self,
        status: int,
        message: str,
        kind: str = "invalid_request_error",
        *,
        code: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.details = details or {}


class Book:
    """All objects of one account, and what is done with them."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, Any]] = {}
        self._count = 0

    def create_intent(self, params: dict[str, Any]) -> Result:
        """POST /v1/payment_intents."""
        amount, currency = _amount(params), _currency(params)
        intent = self._new(
            "pi_", "payment_intent", amount=amount, currency=currency, amount_capturable=0, amount_received=0,
            capture_method=params.get("capture_method", "automatic"), customer=params.get("customer"),
            latest_charge=None, metadata=params.get("metadata", {}),
            payment_method=params.get("payment_method") or None,
        )  # fmt: skip
        intent["client_secret"] = intent["id"] + "_secret_fake"
        intent["status"] = "requires_confirmation" if intent["payment_method"] else "requires_payment_method"
        if params.get("confirm") == "true":
            return self.confirm_intent(intent["id"], params)
        return self._shown(intent, params), 0, currency

    def get_intent(self, intent_id: str, params: dict[str, Any]) -> Result:
        """GET /v1/payment_intents/{intent}."""
        return self._shown(self._find(intent_id), params), 0, ""

    def update_intent(self, intent_id: str, params: dict[str, Any]) -> Result:
        """POST /v1/payment_intents/{intent}: the amount may change until it is confirmed."""
        intent = self._find(intent_id)
        if "amount" in params:
            _require(intent, "requires_payment_method", "requires_confirmation", "requires_action")
            intent["amount"] = _amount(params)
        if "payment_method" in params:
            intent["payment_method"] = params["payment_method"]
            intent["status"] = "requires_confirmation"
        return self._shown(intent, params), 0, intent["currency"]

    def confirm_intent(self, intent_id: str, params: dict[str, Any]) -> Result:
        """POST /v1/payment_intents/{intent}/confirm: charges the card, or blocks the amount on it."""
        intent = self._find(intent_id)
        _require(intent, "requires_payment_method", "requires_confirmation", "requires_action")
        intent["payment_method"] = params.get("payment_method", intent["payment_method"])
        if not intent["payment_method"]:
            raise Problem(
                400, "You cannot confirm this PaymentIntent: no payment method.", code="payment_intent_unexpected_state"
            )
        if "amount_to_confirm" in params and _amount(params, "amount_to_confirm") != intent["amount"]:
            raise Problem(400, "amount_to_confirm does not match the PaymentIntent's amount.")
        if intent["payment_method"] in _DECLINED:
            intent["status"] = "requires_payment_method"
            charge = self._charge(intent, status="failed", captured=False)
            details = {"decline_code": "generic_decline", "charge": charge["id"], "payment_intent": dict(intent)}
            raise Problem(402, "Your card was declined.", "card_error", code="card_declined", details=details)
        manual = intent["capture_method"] == "manual"
        charge = self._charge(intent, status="succeeded", captured=not manual)
        intent["latest_charge"] = charge["id"]
        intent["status"] = "requires_capture" if manual else "succeeded"
        intent["amount_capturable" if manual else "amount_received"] = intent["amount"]
        return self._shown(intent, params), intent["amount"], intent["currency"]

    def capture_intent(self, intent_id: str, params: dict[str, Any]) -> Result:
        """POST /v1/payment_intents/{intent}/capture: the rest of the authorization goes back to the customer."""
        intent = self._find(intent_id)
        _require(intent, "requires_capture")
        before = intent["amount_capturable"]
        captured = _amount(params, "amount_to_capture") if "amount_to_capture" in params else before
        if captured > before:
            raise Problem(400, "The amount to capture is greater than the remaining amount.", code="amount_too_large")
        intent |= {"status": "succeeded", "amount_capturable": 0, "amount_received": captured}
        self._objects[intent["latest_charge"]] |= {"captured": True, "amount_captured": captured}
        return self._shown(intent, params), captured - before, intent["currency"]

    def cancel_intent(self, intent_id: str, params: dict[str, Any]) -> Result:
        """POST /v1/payment_intents/{intent}/cancel: what was blocked goes back."""
        intent = self._find(intent_id)
        _require(intent, "requires_payment_method", "requires_capture", "requires_confirmation", "requires_action")
        freed = intent["amount_capturable"]
        intent |= {"status": "canceled", "amount_capturable": 0}
        return self._shown(intent, params), -freed, intent["currency"]

    def increment_intent(self, intent_id: str, params: dict[str, Any]) -> Result:
        """POST /v1/payment_intents/{intent}/increment_authorization: `amount` is the new total."""
        intent = self._find(intent_id)
        _require(intent, "requires_capture")
        total = _amount(params)
        added = total - intent["amount"]
        if added <= 0:
            raise Problem(400, "The amount must be greater than the currently authorized amount.")
        intent |= {"amount": total, "amount_capturable": total}
        self._objects[intent["latest_charge"]]["amount"] = total
        return self._shown(intent, params), added, intent["currency"]

    def create_charge(self, params: dict[str, Any]) -> Result:
        """POST /v1/charges."""
        amount, currency = _amount(params), _currency(params)
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
        return self._shown(self._find(charge_id), params), 0, ""

    def capture_charge(self, charge_id: str, params: dict[str, Any]) -> Result:
        """POST /v1/charges/{charge}/capture."""
        charge = self._find(charge_id)
        if charge["captured"] or charge["status"] != "succeeded":
            raise Problem(400, "Charge has already been captured.", code="charge_already_captured")
        captured = _amount(params) if "amount" in params else charge["amount"]
        if captured > charge["amount"]:
            raise Problem(400, "The amount to capture is greater than the remaining amount.", code="amount_too_large")
        charge |= {"captured": True, "amount_captured": captured}
        return dict(charge), captured - charge["amount"], charge["currency"]

    def create_refund(self, params: dict[str, Any]) -> Result:
        """POST /v1/refunds: without an amount, all that has not been refunded."""
        charge = self._find(params.get("charge") or self._find(params.get("payment_intent", ""))["latest_charge"] or "")
        remainder = charge["amount_captured"] - charge["amount_refunded"]
        amount = _amount(params) if "amount" in params else remainder
        if not 0 < amount <= remainder:
            raise Problem(400, "The refund is greater than what is left of the charge.", code="charge_already_refunded")
        charge["amount_refunded"] += amount
        refund = self._new(
            "re_", "refund", amount=amount, charge=charge["id"], currency=charge["currency"],
            payment_intent=charge["payment_intent"], status="succeeded",
        )  # fmt: skip
        return dict(refund), amount, charge["currency"]

    def create_transfer(self, params: dict[str, Any]) -> Result:
        """POST /v1/transfers."""
        amount, currency = _amount(params), _currency(params)
        if not params.get("destination"):
            raise Problem(400, "Missing required param: destination.", code="parameter_missing")
        return (
            dict(self._new("tr_", "transfer", amount=amount, currency=currency, destination=params["destination"])),
            amount,
            currency,
        )

    def create_payout(self, params: dict[str, Any]) -> Result:
        """POST /v1/payouts."""
        amount, currency = _amount(params), _currency(params)
        return dict(self._new("po_", "payout", amount=amount, currency=currency, status="pending")), amount, currency

    def create_customer(self, params: dict[str, Any]) -> Result:
        """POST /v1/customers."""
        return dict(self._new("cus_", "customer", email=params.get("email"), name=params.get("name"))), 0, ""

    def get_customer(self, customer_id: str, params: dict[str, Any]) -> Result:
        """GET /v1/customers/{customer}."""
        return dict(self._find(customer_id)), 0, ""

    def list_customers(self, params: dict[str, Any]) -> Result:
        """GET /v1/customers."""
        customers = [dict(found) for found in self._objects.values() if found["object"] == "customer"]
        return {"object": "list", "url": "/v1/customers", "has_more": False, "data": customers}, 0, ""

    def get_balance(self, params: dict[str, Any]) -> Result:
        """GET /v1/balance."""
        funds = [{"amount": 1_000_000, "currency": "usd", "source_types": {"card": 1_000_000}}]
        return {"object": "balance", "available": funds, "livemode": False, "pending": []}, 0, ""

    def _charge(self, owner: dict[str, Any], *, status: str, captured: bool) -> dict[str, Any]:
        return self._new(
            "ch_", "charge", amount=owner["amount"], amount_captured=owner["amount"] if captured else 0,
            amount_refunded=0, captured=captured, currency=owner["currency"], payment_intent=owner["id"],
            paid=status == "succeeded", status=status,
        )  # fmt: skip

    def _new(self, prefix: str, kind: str, **fields: Any) -> dict[str, Any]:
        self._count += 1
        made = {"id": f"{prefix}3Fake{self._count:019d}", "object": kind, "livemode": False, **fields}
        self._objects[made["id"]] = made
        return made

    def _find(self, object_id: str) -> dict[str, Any]:
        found = self._objects.get(object_id)
        if found is None:
            raise Problem(404, f"No such object: '{object_id}'", code="resource_missing")
        return found

    def _shown(self, found: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        """A copy, with what `expand` asks for put in place of its id."""
        shown = dict(found)
        for name in values(params.get("expand")):
            target = shown.get(name)
            if isinstance(target, str) and target in self._objects:
                shown[name] = dict(self._objects[target])
        return shown


def values(listed: Any) -> list[Any]:
    """The members of a list parameter, whether it came as ``a[]`` or as ``a[0]``."""
    return list(listed.values()) if isinstance(listed, dict) else [] if listed is None else [listed]


def _require(intent: dict[str, Any], *statuses: str) -> None:
    if intent["status"] not in statuses:
        message = f"This PaymentIntent's status is {intent['status']}; it must be one of {', '.join(statuses)}."
        raise Problem(400, message, code="payment_intent_unexpected_state", details={"payment_intent": dict(intent)})


def _amount(params: dict[str, Any], name: str = "amount") -> int:
    text = params.get(name)
    if text is None:
        raise Problem(400, f"Missing required param: {name}.", code="parameter_missing", details={"param": name})
    if not isinstance(text, str) or re.fullmatch(r"[0-9]{1,12}", text, re.ASCII) is None:
        raise Problem(400, f"Invalid integer: {text}", code="parameter_invalid_integer", details={"param": name})
    if not 0 < int(text) <= _MAX_AMOUNT:
        raise Problem(400, "Amount must be between 1 and 99999999.", code="amount_too_large", details={"param": name})
    return int(text)


def _currency(params: dict[str, Any]) -> str:
    currency = params.get("currency")
    if not isinstance(currency, str) or re.fullmatch(r"[a-zA-Z]{3}", currency) is None:
        raise Problem(400, "Missing required param: currency.", code="parameter_missing", details={"param": "currency"})
    return currency.lower()
