"""Calls to Stripe as the wire layer would hand them over, and pricing with canned answers."""

from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from typing import Any

from runcap.decision import Code, Refused
from runcap.fx import Rates
from runcap.vendors.base import Lookup, Plan, Quote, Request
from runcap.vendors.stripe import Stripe

FORM = "application/x-www-form-urlencoded"

RATES = Rates(
    date(2026, 11, 2),
    {"EUR": Fraction("1.10"), "JPY": Fraction("0.0066"), "KWD": Fraction("3.25"), "UGX": Fraction("0.00027")},
    "test",
    margin_permille=20,
)

VENDOR = Stripe(RATES)


def request(
    method: str,
    path: str,
    body: bytes = b"",
    *headers: tuple[str, str],
    query: str = "",
    gateway: bool = False,
) -> Request:
    """One call; its Content-Type has to be among the headers."""
    return Request(method, path, query, headers, body, gateway)


def post(path: str, body: bytes = b"", *headers: tuple[str, str]) -> Plan:
    """The plan of a form POST."""
    return VENDOR.plan(request("POST", path, body, ("content-type", FORM), *headers))


def priced(plan: Plan, answers: Mapping[str, Any] | None = None) -> tuple[Quote, list[Lookup]]:
    """Run a plan's pricing; each lookup is answered by its path, by what stands there or by a function of it."""
    steps = VENDOR.quote(plan)
    lookups: list[Lookup] = []
    try:
        lookup = next(steps)
        while True:
            lookups.append(lookup)
            answer = (answers or {}).get(lookup.path, {})
            lookup = steps.send(answer(lookup) if callable(answer) else answer)
    except StopIteration as done:
        quote: Quote = done.value
    return quote, lookups


def intent(**fields: Any) -> dict[str, Any]:
    """A PaymentIntent of 20.00 USD as Stripe answers it."""
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "status": "requires_confirmation",
        "amount": 2000,
        "amount_capturable": 0,
        "amount_received": 0,
        "currency": "usd",
        **fields,
    }


def charge(**fields: Any) -> dict[str, Any]:
    """A Charge of 20.00 USD as Stripe answers it."""
    return {
        "id": "ch_1",
        "object": "charge",
        "status": "succeeded",
        "amount": 2000,
        "amount_captured": 0,
        "amount_refunded": 0,
        "captured": False,
        "currency": "usd",
        "payment_intent": None,
        **fields,
    }


def refused(plan: Plan, answers: Mapping[str, Any] | None = None) -> Code:
    """The code of the refusal that a plan's pricing ends with."""
    try:
        quote, _ = priced(plan, answers)
    except Refused as refusal:
        return refusal.deny.code
    raise AssertionError(f"it was priced: {quote}")


def listed(*data: Any, has_more: bool = False) -> dict[str, Any]:
    """A list as Stripe answers it."""
    return {"object": "list", "data": list(data), "has_more": has_more}


def price(unit_amount: int | None = 1000, **fields: Any) -> dict[str, Any]:
    """A price of 10.00 USD as Stripe answers it."""
    return {
        "id": "price_1",
        "object": "price",
        "unit_amount": unit_amount,
        "currency": "usd",
        "recurring": None,
        **fields,
    }


def invoice(amount_due: int = 2000, **fields: Any) -> dict[str, Any]:
    """An open invoice over 20.00 USD as Stripe answers it."""
    return {
        "id": "in_1",
        "object": "invoice",
        "status": "open",
        "auto_advance": True,
        "automatically_finalizes_at": None,
        "amount_due": amount_due,
        "amount_paid": 0,
        "amount_remaining": amount_due,
        "total": amount_due,
        "currency": "usd",
        "billing_reason": "manual",
        **fields,
    }


def previews(due: int, renewal: int, **fields: Any) -> dict[str, Any]:
    """Answers for Stripe's preview: of the next invoice, and of what recurs."""

    def answer(lookup: Lookup) -> dict[str, Any]:
        recurring = b"preview_mode=recurring" in lookup.body
        return invoice(renewal if recurring else due, id="upcoming", status="draft", **fields)

    return {"/v1/invoices/create_preview": answer}
