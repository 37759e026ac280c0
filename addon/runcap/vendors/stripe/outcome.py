"""What Stripe's answer means for the ledger.

401, 403, 404 and 429 are answered before anything runs. 402, and a 400 that carries a PaymentIntent, is a
payment that was tried and declined; any other 400 is a parameter that was refused. 409 and 5xx can mean
anything: a 500 is stored and replayed, since the endpoint may have begun (docs.stripe.com/api/idempotent_requests,
2026-09-30). Stripe has no list of which statuses ran nothing; this is a reading of its pages on errors.
"""

from typing import Any

from runcap.decision import Refused
from runcap.fx import Rates
from runcap.vendors.base import Ending, Outcome, Plan, Quote, Response
from runcap.vendors.stripe import amounts

_NOT_EXECUTED = frozenset({401, 403, 404, 429})
_PERHAPS_DECLINED = frozenset({400, 402})

_INTENT_PRICERS = frozenset(
    {
        "intent_create",
        "intent_update",
        "intent_confirm",
        "intent_capture",
        "intent_increment",
        "intent_cancel",
    }
)
_CHARGE_PRICERS = frozenset({"charge_create", "charge_capture"})
_CREATING = frozenset({"intent_create", "charge_create"})


def outcome(plan: Plan, quote: Quote, response: Response, rates: Rates) -> Outcome:
    """Read an answer. Never raises: what it cannot read is settled at the quote, or unknown."""
    request_id = response.header("request-id")
    if 200 <= response.status < 300:
        return _settled(plan, quote, response.json(), rates, request_id)
    if response.status in _PERHAPS_DECLINED:
        return _declined(plan, quote, response.json(), request_id)
    if response.status in _NOT_EXECUTED:
        return Outcome(Ending.RELEASED, vendor_request_id=request_id)
    return Outcome(Ending.UNKNOWN, object_id=quote.object_id, vendor_request_id=request_id)


def _settled(plan: Plan, quote: Quote, body: dict[str, Any], rates: Rates, request_id: str | None) -> Outcome:
    object_id = _object_id(plan, quote, body)
    if object_id is None:
        return Outcome(Ending.SETTLED, vendor_request_id=request_id)
    final = _final_micros(plan, body, rates) if body.get("id") == object_id else None
    return Outcome(
        Ending.SETTLED,
        micros=final,
        object_id=object_id,
        final=final is not None,
        vendor_request_id=request_id,
    )


def _declined(plan: Plan, quote: Quote, body: dict[str, Any], request_id: str | None) -> Outcome:
    """A declined payment: its PaymentIntent lives on, and its client_secret can be confirmed past runcap.

    So it stays counted until it is cancelled. A declined capture, increment or charge leaves nothing behind.
    """
    if plan.operation.pricer in {"intent_create", "intent_confirm"}:
        error = body.get("error")
        intent = error.get("payment_intent") if isinstance(error, dict) else None
        intent_id = intent.get("id") if isinstance(intent, dict) else None
        if isinstance(intent_id, str):
            return Outcome(Ending.SETTLED, object_id=quote.object_id or intent_id, vendor_request_id=request_id)
    return Outcome(Ending.RELEASED, vendor_request_id=request_id)


def _object_id(plan: Plan, quote: Quote, body: dict[str, Any]) -> str | None:
    """What the amount was counted under: known from the quote, or of what was just created."""
    if quote.object_id is not None or plan.operation.pricer not in _CREATING:
        return quote.object_id
    created = body.get("id")
    return created if isinstance(created, str) and created else None


def _final_micros(plan: Plan, body: dict[str, Any], rates: Rates) -> int | None:
    """What the object has cost once it can cost no more, at its quote's rate; None while it still can."""
    pricer = plan.operation.pricer
    if pricer in _INTENT_PRICERS:
        moved = body.get("amount_received") if body.get("status") in {"succeeded", "canceled"} else None
    elif pricer in _CHARGE_PRICERS:
        moved = _charged(body)
    else:
        return None
    currency = body.get("currency")
    if not amounts.is_amount(moved) or not isinstance(currency, str):
        return None
    try:
        return amounts.micros(rates, moved, currency.upper())
    except Refused:
        return None


def _charged(body: dict[str, Any]) -> Any:
    if body.get("status") == "failed":
        return 0
    if body.get("status") == "succeeded" and body.get("captured") is True:
        return body.get("amount_captured")
    return None
