"""What Stripe's answers mean for the ledger."""

import json
from typing import Any

import pytest

from runcap.vendors.base import FREE, Ending, Outcome, Quote, Response
from tests.vendors.stripe.helpers import VENDOR, charge, intent, post

CREATE = post("/v1/payment_intents", b"amount=2000&currency=usd")
CONFIRM = post("/v1/payment_intents/pi_1/confirm")
CAPTURE = post("/v1/payment_intents/pi_1/capture")
UPDATE = post("/v1/payment_intents/pi_1", b"description=x")
CANCEL = post("/v1/payment_intents/pi_1/cancel")
CHARGE = post("/v1/charges", b"amount=2000&currency=usd")
CHARGE_CAPTURE = post("/v1/charges/ch_1/capture")
REFUND = post("/v1/refunds", b"charge=ch_1")

QUOTE = Quote(20_000_000, 2000, "USD")
OF_INTENT = Quote(20_000_000, 2000, "USD", "pi_1")
OF_CHARGE = Quote(20_000_000, 2000, "USD", "ch_1")


def _response(status: int, body: Any) -> Response:
    return Response(status, (("request-id", "req_1"),), json.dumps(body).encode())


def _settled(micros: int | None = None, object_id: str | None = None, *, final: bool = False) -> Outcome:
    return Outcome(Ending.SETTLED, micros, object_id, final, "req_1")


@pytest.mark.parametrize(
    ("plan", "quote", "body", "outcome"),
    [
        (CREATE, QUOTE, intent(), _settled(None, "pi_1")),
        (CREATE, QUOTE, intent(status="processing", amount_received=0), _settled(None, "pi_1")),
        (
            CREATE,
            QUOTE,
            intent(status="succeeded", amount_received=2000),
            _settled(20_000_000, "pi_1", final=True),
        ),
        (CREATE, QUOTE, {"id": 7}, _settled()),
        (CREATE, QUOTE, [], _settled()),
        (CONFIRM, OF_INTENT, intent(status="requires_action"), _settled(None, "pi_1")),
        (CONFIRM, OF_INTENT, intent(status="requires_capture"), _settled(None, "pi_1")),
        (CONFIRM, OF_INTENT, intent(id="pi_2", status="canceled"), _settled(None, "pi_1")),
        (
            CAPTURE,
            OF_INTENT,
            intent(status="succeeded", amount_received=1500),
            _settled(15_000_000, "pi_1", final=True),
        ),
        (
            CAPTURE,
            OF_INTENT,
            intent(status="succeeded", amount_received=1500, currency="eur"),
            _settled(16_830_000, "pi_1", final=True),
        ),
        (CAPTURE, OF_INTENT, intent(status="succeeded", amount_received=None), _settled(None, "pi_1")),
        (
            CAPTURE,
            OF_INTENT,
            intent(status="succeeded", amount_received=1, currency="xyz"),
            _settled(None, "pi_1"),
        ),
        (CANCEL, Quote(0, object_id="pi_1"), intent(status="canceled"), _settled(0, "pi_1", final=True)),
        (UPDATE, FREE, intent(), _settled()),
        (CHARGE, QUOTE, charge(), _settled(None, "ch_1")),
        (CHARGE, QUOTE, charge(status="pending", captured=True), _settled(None, "ch_1")),
        (CHARGE, QUOTE, charge(status="failed"), _settled(0, "ch_1", final=True)),
        (
            CHARGE,
            QUOTE,
            charge(captured=True, amount_captured=2000),
            _settled(20_000_000, "ch_1", final=True),
        ),
        (
            CHARGE_CAPTURE,
            OF_CHARGE,
            charge(captured=True, amount_captured=500),
            _settled(5_000_000, "ch_1", final=True),
        ),
        (CHARGE_CAPTURE, OF_INTENT, charge(captured=True, amount_captured=500), _settled(None, "pi_1")),
        (REFUND, QUOTE, {"id": "re_1", "status": "succeeded", "amount": 2000}, _settled(None, "re_1")),
    ],
)
def test_success_settles(plan: Any, quote: Quote, body: Any, outcome: Outcome) -> None:
    """At the quote, or at what was received once the object can cost no more; never below on a guess."""
    assert outcome == VENDOR.outcome(plan, quote, _response(200, body))


def test_a_declined_payment_leaves_its_intent_counted() -> None:
    """The PaymentIntent lives on and can be confirmed elsewhere, so only a cancel gives its amount back."""
    declined = {"error": {"type": "card_error", "payment_intent": intent(status="requires_payment_method")}}

    for status in (400, 402):
        assert _settled(None, "pi_1") == VENDOR.outcome(CREATE, QUOTE, _response(status, declined))
    assert _settled(None, "pi_1") == VENDOR.outcome(CONFIRM, OF_INTENT, _response(402, declined))


@pytest.mark.parametrize("plan", [CREATE, CHARGE, CAPTURE, REFUND])
def test_a_decline_that_leaves_nothing_is_released(plan: Any) -> None:
    """Without a PaymentIntent in the error there is nothing that could still be paid."""
    expected = Outcome(Ending.RELEASED, vendor_request_id="req_1")

    for error in ({"type": "card_error", "charge": "ch_1"}, {"type": "invalid_request_error"}, {}):
        assert expected == VENDOR.outcome(plan, QUOTE, _response(402, {"error": error}))


@pytest.mark.parametrize(
    ("status", "ending"),
    [
        (400, Ending.RELEASED),
        (401, Ending.RELEASED),
        (403, Ending.RELEASED),
        (404, Ending.RELEASED),
        (429, Ending.RELEASED),
        (100, Ending.UNKNOWN),
        (302, Ending.UNKNOWN),
        (405, Ending.UNKNOWN),
        (409, Ending.UNKNOWN),
        (424, Ending.UNKNOWN),
        (500, Ending.UNKNOWN),
        (503, Ending.UNKNOWN),
    ],
)
def test_failure_is_released_only_where_nothing_ran(status: int, ending: Ending) -> None:
    """What nobody can tell stays counted."""
    outcome = VENDOR.outcome(CREATE, QUOTE, _response(status, {"error": {"message": "x"}}))

    assert (ending, None, False, "req_1") == (
        outcome.ending,
        outcome.micros,
        outcome.final,
        outcome.vendor_request_id,
    )


def test_an_unreadable_success_settles_at_the_quote() -> None:
    """A body that is no JSON does not make the call free."""
    assert Outcome(Ending.SETTLED, object_id="pi_1") == VENDOR.outcome(CONFIRM, OF_INTENT, Response(200, (), b"<html>"))
