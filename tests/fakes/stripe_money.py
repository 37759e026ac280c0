"""Money between Stripe, banks and connected accounts: reversals, top-ups, treasury, v2, climate, customers' credit.

Kept to docs.stripe.com/api. Cancelling moves back what was moved.
"""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from tests.fakes.stripe_objects import Book
from tests.fakes.stripe_shelf import Problem, Result, amount_of, currency_of

Route = tuple[str, str, Callable[..., Result]]

_TON = {"amount_subtotal": 90_000, "amount_fees": 10_000, "amount_total": 100_000}

SEEDS: tuple[dict[str, Any], ...] = (
    {"id": "rc_Fake", "object": "treasury.received_credit", "amount": 3000, "currency": "usd"},
    {"id": "rd_Fake", "object": "treasury.received_debit", "amount": 4000, "currency": "usd"},
    {"id": "dp_Fake", "object": "dispute", "amount": 5000, "currency": "usd", "status": "needs_response"},
    {"id": "climsku_Fake", "object": "climate.product", "current_prices_per_metric_ton": {"usd": _TON}},
)
"""What cannot be made by the API, and is there from the start."""

_CREATED: dict[str, tuple[str, str]] = {
    "/v1/topups": ("tu_", "topup"),
    "/v1/treasury/outbound_payments": ("obp_", "treasury.outbound_payment"),
    "/v1/treasury/outbound_transfers": ("obt_", "treasury.outbound_transfer"),
    "/v1/treasury/inbound_transfers": ("ibt_", "treasury.inbound_transfer"),
    "/v2/money_management/outbound_payments": ("obpv2_", "v2.money_management.outbound_payment"),
    "/v2/money_management/inbound_transfers": ("ibtv2_", "v2.money_management.inbound_transfer"),
    "/v2/money_management/payout_intents": ("pyi_", "v2.money_management.payout_intent"),
}
_READ = (
    ("/v1/transfers", "transfer"),
    ("/v1/payouts", "payout"),
    ("/v1/application_fees", "application_fee"),
    ("/v1/disputes", "dispute"),
    ("/v1/treasury/received_credits", "treasury.received_credit"),
    ("/v1/treasury/received_debits", "treasury.received_debit"),
    ("/v1/climate/products", "climate.product"),
    ("/v2/money_management/payout_intents", "v2.money_management.payout_intent"),
)


class Money:
    """What is done with balances."""

    def __init__(self, book: Book) -> None:
        self._book = book
        for seed in SEEDS:
            book.put(dict(seed))

    def routes(self) -> list[Route]:
        """Method, path and handler of each operation."""
        found: list[Route] = [
            ("POST", r"/v1/transfers/(tr_\w+)/reversals", self._reverse_transfer),
            ("POST", r"/v1/application_fees/(fee_\w+)/refunds", self._refund_fee),
            ("POST", r"/v1/payouts/(po_\w+)/reverse", self._reverse_payout),
            ("POST", r"/v1/payouts/(po_\w+)/cancel", self._cancel),
            ("POST", r"/v1/refunds/(re_\w+)/cancel", self._cancel),
            ("POST", r"/v1/disputes/(dp_\w+)/close", self._close_dispute),
            ("POST", r"/v1/treasury/credit_reversals", self._reverse_credit),
            ("POST", r"/v1/treasury/debit_reversals", self._reverse_debit),
            ("POST", r"/v2/money_management/payout_intents/(pyi_\w+)/confirm", self._confirm_payout_intent),
            ("POST", r"/v1/climate/orders", self._order),
            ("POST", r"/v1/climate/orders/(climorder_\w+)/cancel", self._cancel_order),
            ("POST", r"/v1/billing/credit_grants", self._grant),
            ("POST", r"/v1/customers/(cus_\w+)/balance_transactions", self._change_balance),
            ("POST", r"/v1/customers/(cus_\w+)", self._update_customer),
        ]
        for path, (prefix, kind) in _CREATED.items():
            found.append(("POST", path, self._creator(prefix, kind, v2=path.startswith("/v2/"))))
            found.append(("POST", rf"{path}/({prefix}\w+)/cancel", self._cancel))
        found += [("GET", rf"{path}/(\w+)", self._reader(kind)) for path, kind in _READ]
        return found

    def _creator(self, prefix: str, kind: str, *, v2: bool) -> Callable[..., Result]:
        def create(params: dict[str, Any]) -> Result:
            amount, currency = _v2_amount(params) if v2 else (amount_of(params), currency_of(params))
            shown: dict[str, Any] = (
                {"amount": {"value": amount, "currency": currency}} if v2 else {"amount": amount, "currency": currency}
            )
            return dict(self._book.new(prefix, kind, status="processing", **shown)), amount, currency

        return create

    def _reader(self, kind: str) -> Callable[..., Result]:
        def read(object_id: str, params: dict[str, Any]) -> Result:
            found = self._book.find(object_id)
            if found["object"] != kind:
                raise Problem(404, f"No such {kind}: '{object_id}'", code="resource_missing")
            return dict(found), 0, ""

        return read

    def _cancel(self, object_id: str, params: dict[str, Any]) -> Result:
        found = self._book.find(object_id)
        if found["status"] == "canceled":
            raise Problem(400, "It has been canceled already.")
        found["status"] = "canceled"
        amount, currency = found["amount"], found.get("currency")
        if isinstance(amount, dict):
            amount, currency = amount["value"], amount["currency"]
        return dict(found), -amount, str(currency)

    def _reverse_transfer(self, transfer_id: str, params: dict[str, Any]) -> Result:
        return self._part_back(transfer_id, "trr_", "transfer_reversal", "amount_reversed", params)

    def _refund_fee(self, fee_id: str, params: dict[str, Any]) -> Result:
        return self._part_back(fee_id, "fr_", "fee_refund", "amount_refunded", params)

    def _part_back(self, object_id: str, prefix: str, kind: str, field: str, params: dict[str, Any]) -> Result:
        found = self._book.find(object_id)
        left = found["amount"] - found.setdefault(field, 0)
        amount = amount_of(params) if "amount" in params else left
        if not 0 < amount <= left:
            raise Problem(400, "That is more than is left.")
        found[field] += amount
        made = self._book.new(prefix, kind, amount=amount, currency=found["currency"])
        return dict(made), amount, found["currency"]

    def _reverse_payout(self, payout_id: str, params: dict[str, Any]) -> Result:
        found = self._book.find(payout_id)
        made = self._book.new("po_", "payout", amount=-found["amount"], currency=found["currency"], status="pending")
        return dict(made), found["amount"], found["currency"]

    def _close_dispute(self, dispute_id: str, params: dict[str, Any]) -> Result:
        found = self._book.find(dispute_id)
        found["status"] = "lost"
        return dict(found), found["amount"], found["currency"]

    def _reverse_credit(self, params: dict[str, Any]) -> Result:
        found = self._book.find(params["received_credit"])
        made = self._book.new("credrev_", "treasury.credit_reversal", amount=found["amount"], currency="usd")
        return dict(made), found["amount"], "usd"

    def _reverse_debit(self, params: dict[str, Any]) -> Result:
        found = self._book.find(params["received_debit"])
        made = self._book.new("debrev_", "treasury.debit_reversal", amount=found["amount"], currency="usd")
        return dict(made), found["amount"], "usd"

    def _confirm_payout_intent(self, intent_id: str, params: dict[str, Any]) -> Result:
        found = self._book.find(intent_id)
        found["status"] = "posted"
        return dict(found), 0, found["amount"]["currency"]

    def _order(self, params: dict[str, Any]) -> Result:
        tons = Fraction(params["metric_tons"])
        fees, total = (-(-tons * _TON[name] // 1) for name in ("amount_fees", "amount_total"))
        made = self._book.new(
            "climorder_", "climate.order", amount_total=int(total), amount_fees=int(fees), currency="usd", status="open"
        )
        return dict(made), int(total), "usd"

    def _cancel_order(self, order_id: str, params: dict[str, Any]) -> Result:
        found = self._book.find(order_id)
        found["status"] = "canceled"
        return dict(found), found["amount_fees"] - found["amount_total"], "usd"

    def _grant(self, params: dict[str, Any]) -> Result:
        money = params["amount"]["monetary"]
        amount, currency = amount_of(money, "value"), currency_of(money)
        return dict(self._book.new("credgr_", "billing.credit_grant", amount=params["amount"])), amount, currency

    def _change_balance(self, customer_id: str, params: dict[str, Any]) -> Result:
        customer = self._book.find(customer_id)
        change, currency = _signed(params["amount"]), currency_of(params)
        customer |= {"balance": customer.get("balance", 0) + change, "currency": currency}
        made = self._book.new("cbtxn_", "customer_balance_transaction", amount=change, currency=currency)
        return dict(made), abs(change), currency

    def _update_customer(self, customer_id: str, params: dict[str, Any]) -> Result:
        customer = self._book.find(customer_id)
        before = customer.get("balance", 0)
        if "balance" in params:
            customer["balance"] = _signed(params["balance"])
        return dict(customer), abs(customer.get("balance", 0) - before), customer.get("currency") or ""


def _signed(text: Any) -> int:
    if not isinstance(text, str) or re.fullmatch(r"-?[0-9]{1,12}", text, re.ASCII) is None:
        raise Problem(400, f"Invalid integer: {text}", code="parameter_invalid_integer")
    return int(text)


def _v2_amount(params: dict[str, Any]) -> tuple[int, str]:
    amount = params.get("amount")
    if not isinstance(amount, dict) or type(amount.get("value")) is not int:
        raise Problem(400, "amount must have a value and a currency.")
    return amount["value"], str(amount["currency"])
