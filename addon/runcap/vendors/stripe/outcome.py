"""What Stripe's answer means for the ledger: four tables, and how they are read.

Stripe has no list of which answers ran nothing; this is a reading of its pages. All that the tables do not name stays
counted: a 409 may be of a request that is still running, a 424 of one that got half-way, and a 5xx is stored and
replayed, since the endpoint may have begun (docs.stripe.com/api/idempotent_requests, read 2026-09-30).
"""

from typing import Any

from runcap.decision import Refused
from runcap.fx import Rates
from runcap.vendors.base import Ending, Outcome, Plan, Quote, Response
from runcap.vendors.form import Form
from runcap.vendors.stripe import amounts, catalogue
from runcap.vendors.stripe.lookups import linked

COSTLESS = {
    401: "No valid API key: refused before anything runs.",
    403: "The key may not do it: refused before anything runs.",
    404: "What it is about does not exist.",
    429: "Turned away by the rate limiter, or by a lock on the object (lock_timeout).",
}
"""Statuses that certainly cost nothing (docs.stripe.com/api/errors, docs.stripe.com/rate-limits; read 2026-11-24)."""

COSTLESS_400_TYPES = frozenset({None, "card_error", "idempotency_error", "invalid_request_error"})
"""A 400 is a request that "was unacceptable, often due to missing a required parameter"
(docs.stripe.com/api/errors, read 2026-11-24), if it is Stripe's own error object; v2 names no such type. One with
``api_error`` is Stripe's fault and may have begun. A declined payment can come as a 400 too: see `DECLINES`."""

DECLINES = {
    "intent_create": "intent",
    "intent_confirm": "intent",
    **dict.fromkeys(
        ("intent_capture", "intent_increment", "intent_update", "charge_create", "charge_capture", "refund",
         "charge_refund", "looked_up", "body", "body_v2", "payout", "climate_order", "subscription_create",
         "subscription_update", "subscription_item_create", "subscription_item_update", "give_back"),
        "nothing",
    ),
}  # fmt: skip
"""What a 402 leaves behind ("the parameters were valid but the request failed"), by pricer. ``nothing``: it costs
nothing. ``intent``: a PaymentIntent, if the error names one, which can be confirmed past runcap; so it stays counted
until it is cancelled. A subscription answers 402 only with payment_behavior=error_if_incomplete, and is not made or
changed then (docs.stripe.com/api/subscriptions/create). Any other pricer: an invoice, say, whose payment failed, stays
open and counted."""

ENDED: dict[str, dict[str, str]] = {
    "payment_intent": {"succeeded": "amount_received", "canceled": "amount_received"},
    "refund": {"canceled": "", "failed": ""},
    "payout": {"canceled": "", "failed": ""},
    "topup": {"canceled": "", "failed": ""},
    "treasury.inbound_transfer": {"canceled": "", "failed": ""},
    "treasury.outbound_payment": {"canceled": "", "failed": "", "returned": ""},
    "treasury.outbound_transfer": {"canceled": "", "failed": "", "returned": ""},
    "v2.money_management.outbound_payment": {"canceled": "", "failed": "", "returned": ""},
    "v2.money_management.payout_intent": {"canceled": ""},
    "invoice": {"paid": "amount_paid", "void": "amount_paid"},
    "checkout.session": {"expired": ""},
    "climate.order": {"canceled": "amount_fees"},
}
"""End states by the object's type, and the field that says what it has cost then; empty: nothing. The states are those
of each object in stripe-python 16.1.0; an order that is cancelled keeps its fees (the same, climate orders)."""

ACTUAL = {"refund": "amount", "transfer": "amount", "topup": "amount", "climate.order": "amount_total"}
"""The field of an answer that says what the call has cost, where that is known at once."""


def outcome(plan: Plan, quote: Quote, response: Response, rates: Rates) -> Outcome:
    """Read an answer. Never raises: what it cannot read is settled at the quote, or unknown."""
    request_id = response.header("request-id")
    if 200 <= response.status < 300:
        return _settled(plan, quote, response.json(), rates, request_id)
    if response.status in COSTLESS:
        return Outcome(Ending.RELEASED, vendor_request_id=request_id)
    error = response.json().get("error")
    if response.status in {400, 402} and isinstance(error, dict):
        ending, object_id = _failed(plan, quote, response.status, error)
        return Outcome(ending, object_id=object_id, vendor_request_id=request_id)
    return Outcome(Ending.UNKNOWN, object_id=quote.object_id, vendor_request_id=request_id)


def _failed(plan: Plan, quote: Quote, status: int, error: dict[str, Any]) -> tuple[Ending, str | None]:
    """What a request that was not acceptable, or a payment that failed, leaves behind."""
    left = DECLINES.get(plan.operation.pricer, "object")
    intent = linked(error, "payment_intent")
    if left == "intent" and intent is not None:
        return Ending.SETTLED, quote.object_id or intent
    if status == 402:
        return (Ending.SETTLED, quote.object_id) if left == "object" else (Ending.RELEASED, None)
    costless = error.get("type") in COSTLESS_400_TYPES
    return (Ending.RELEASED, None) if costless else (Ending.UNKNOWN, quote.object_id)


def _settled(plan: Plan, quote: Quote, body: dict[str, Any], rates: Rates, request_id: str | None) -> Outcome:
    object_id = _object_id(plan, quote, body)
    told = body.get("id") == object_id or object_id is None
    final = _final_micros(plan, quote, body, rates) if told and object_id is not None else None
    actual = _actual_micros(plan, body, rates) if told and final is None and _counts(plan, quote) else None
    return Outcome(
        Ending.SETTLED,
        micros=actual if final is None else final,
        object_id=object_id,
        final=final is not None,
        vendor_request_id=request_id,
    )


def _object_id(plan: Plan, quote: Quote, body: dict[str, Any]) -> str | None:
    """What the amount was counted under: known from the quote, or of what was just created."""
    if quote.object_id is not None:
        return quote.object_id
    if plan.operation.pricer == "quote_accept":
        return linked(body, "subscription") or linked(body, "invoice")
    facts = catalogue.facts().get(plan.operation.name)
    created = body.get("id") if facts is not None and facts.creates and _counts(plan, quote) else None
    return created if isinstance(created, str) and created else None


def _counts(plan: Plan, quote: Quote) -> bool:
    """Whether there is anything to count; a new invoice tells only in the answer what it has swept in."""
    return quote.micros > 0 or plan.operation.pricer == "invoice_create"


def _final_micros(plan: Plan, quote: Quote, body: dict[str, Any], rates: Rates) -> int | None:
    """What the object has cost once it can cost no more, at its quote's rate; None while it still can."""
    if body.get("deleted") is True:
        return 0
    kind, status = str(body.get("object")), str(body.get("status"))
    if kind == "charge":
        return _micros(body, _charged(body), rates)
    if kind == "subscription" and plan.operation.pricer == "subscription_cancel":
        return quote.micros if status == "canceled" else None
    field = ENDED.get(kind, {}).get(status)
    if field is None:
        return None
    return _micros(body, body.get(field), rates) if field else 0


def _actual_micros(plan: Plan, body: dict[str, Any], rates: Rates) -> int | None:
    kind = str(body.get("object"))
    if kind == "invoice" and plan.operation.pricer in {"invoice_create", "invoice_update", "invoice_arm"}:
        # Of a draft that does not advance by itself nothing is owed until it is finalized.
        idle = body.get("status") == "draft" and body.get("auto_advance") is False
        planned = body.get("automatically_finalizes_at") is not None
        return 0 if idle and not planned else _micros(body, body.get("amount_due"), rates)
    form = plan.detail
    if isinstance(form, Form) and "refund_application_fee" in form.names:
        return None
    return _micros(body, body.get(ACTUAL.get(kind, "")), rates)


def _micros(body: dict[str, Any], minor: Any, rates: Rates) -> int | None:
    currency = body.get("currency")
    if not amounts.is_amount(minor) or not isinstance(currency, str):
        return None
    try:
        return amounts.micros(rates, minor, currency.upper())
    except Refused:
        return None


def _charged(body: dict[str, Any]) -> Any:
    if body.get("status") == "failed":
        return 0
    if body.get("status") == "succeeded" and body.get("captured") is True:
        return body.get("amount_captured")
    return None
