"""What Stripe's answers say of objects that end, and of what a call has really cost."""

import json
from typing import Any

import pytest

from runcap.vendors.base import Ending, Outcome, Plan, Quote, Response
from runcap.vendors.stripe import outcome
from runcap.vendors.stripe.pricing import Pricing
from tests.vendors.stripe.helpers import RATES, VENDOR, invoice, post, request

QUOTE = Quote(20_000_000, 2000, "USD")
PAY = post("/v1/invoices/in_1/pay")
FINALIZE = post("/v1/invoices/in_1/finalize")
INVOICE = post("/v1/invoices", b"customer=cus_1")
REFUND = post("/v1/refunds", b"charge=ch_1")
SUBSCRIBE = post("/v1/subscriptions", b"customer=cus_1&items[0][price]=price_1")
CANCEL = VENDOR.plan(request("DELETE", "/v1/subscriptions/sub_1"))


def _read(plan: Plan, quote: Quote, body: Any, status: int = 200) -> Outcome:
    return VENDOR.outcome(plan, quote, Response(status, (), json.dumps(body).encode()))


def _of(object_id: str) -> Quote:
    return Quote(20_000_000, 2000, "USD", object_id)


@pytest.mark.parametrize(
    ("path", "kind", "status"),
    [
        ("/v1/refunds/x_1/cancel", "refund", "canceled"),
        ("/v1/payouts/x_1/cancel", "payout", "canceled"),
        ("/v1/topups/x_1/cancel", "topup", "canceled"),
        ("/v1/treasury/inbound_transfers/x_1/cancel", "treasury.inbound_transfer", "canceled"),
        ("/v1/treasury/outbound_payments/x_1/cancel", "treasury.outbound_payment", "canceled"),
        ("/v1/treasury/outbound_transfers/x_1/cancel", "treasury.outbound_transfer", "canceled"),
        ("/v1/checkout/sessions/x_1/expire", "checkout.session", "expired"),
        ("/v1/invoices/x_1/void", "invoice", "void"),
    ],
)
def test_what_ends_is_given_back_only_if_stripe_says_so(path: str, kind: str, status: str) -> None:
    """In its end state and of the very object; any other answer gives nothing back."""
    plan, quote = post(path), Quote(0, object_id="x_1")
    body = {"id": "x_1", "object": kind, "status": status, "amount": 900, "amount_paid": 0, "currency": "usd"}

    assert Outcome(Ending.SETTLED, 0, "x_1", final=True) == _read(plan, quote, body)
    for other in (body | {"status": "processing"}, body | {"id": "x_2"}, body | {"object": "customer"}, {}):
        assert not _read(plan, quote, other).final


def test_a_deleted_draft_is_given_back() -> None:
    """Stripe says ``deleted`` in place of a status."""
    plan = VENDOR.plan(request("DELETE", "/v1/invoices/in_1"))
    body = {"id": "in_1", "object": "invoice", "deleted": True}

    assert Outcome(Ending.SETTLED, 0, "in_1", final=True) == _read(plan, Quote(0, object_id="in_1"), body)
    assert not _read(plan, Quote(0, object_id="in_1"), body | {"deleted": "true"}).final


def test_an_invoice_ends_at_what_was_paid() -> None:
    """Voided after a part was paid, or paid; but not under its subscription's id, which may have more to come."""
    void = invoice(status="void", amount_paid=500)
    paid = invoice(status="paid", amount_paid=2000)

    assert Outcome(Ending.SETTLED, 5_000_000, "in_1", final=True) == _read(PAY, _of("in_1"), void)
    assert Outcome(Ending.SETTLED, 20_000_000, "in_1", final=True) == _read(PAY, _of("in_1"), paid)
    assert Outcome(Ending.SETTLED, None, "sub_1") == _read(PAY, _of("sub_1"), paid)


def test_an_invoice_costs_what_it_came_to() -> None:
    """Its total may only be known when it is there; a draft that waits owes nothing."""
    dearer = invoice(3000, status="open")
    waiting = invoice(status="draft", auto_advance=False)
    swept = invoice(700, status="draft", auto_advance=True)

    assert Outcome(Ending.SETTLED, 30_000_000, "in_1") == _read(FINALIZE, _of("in_1"), dearer)
    assert Outcome(Ending.SETTLED, 0, "in_1") == _read(INVOICE, QUOTE, waiting)
    assert Outcome(Ending.SETTLED, 7_000_000, "in_1") == _read(INVOICE, Quote(0), swept)
    planned = waiting | {"automatically_finalizes_at": 1}
    assert 20_000_000 == _read(INVOICE, QUOTE, planned).micros


@pytest.mark.parametrize(
    ("plan", "body", "micros"),
    [
        (REFUND, {"id": "x", "object": "refund", "amount": 900, "currency": "usd"}, 9_000_000),
        (REFUND, {"id": "x", "object": "refund", "amount": "900", "currency": "usd"}, None),
        (REFUND, {"id": "x", "object": "refund", "amount": 900, "currency": "xyz"}, None),
        (
            post("/v1/refunds", b"charge=ch_1&refund_application_fee=true"),
            {"id": "x", "object": "refund", "amount": 900, "currency": "usd"},
            None,
        ),
        (
            post("/v1/climate/orders", b"product=p"),
            {"id": "x", "object": "climate.order", "amount_total": 900, "amount_subtotal": 800, "currency": "usd"},
            9_000_000,
        ),
        (
            post("/v1/payouts", b"amount=900&currency=usd&method=instant"),
            {"id": "x", "object": "payout", "amount": 900, "currency": "usd", "status": "pending"},
            None,
        ),
    ],
)
def test_the_actual_cost_is_taken_from_the_answer(plan: Plan, body: dict[str, Any], micros: int | None) -> None:
    """Where it has all of it: no fee of an instant payout, no application fee. Else the quote stands."""
    assert Outcome(Ending.SETTLED, micros, "x") == _read(plan, QUOTE, body)


def test_a_subscription_is_counted_under_its_id_and_gives_its_renewal_back() -> None:
    """Cancelled before the renewal; what was not cancelled keeps it."""
    first = Quote(5_000_000, 500, "USD", "sub_1")
    body = {"id": "sub_1", "object": "subscription", "status": "canceled"}

    assert Outcome(Ending.SETTLED, None, "sub_1") == _read(SUBSCRIBE, QUOTE, body | {"status": "active"})
    assert Outcome(Ending.SETTLED, 5_000_000, "sub_1", final=True) == _read(CANCEL, first, body)
    assert not _read(CANCEL, first, body | {"status": "active"}).final


def test_an_accepted_quote_is_counted_under_what_it_made() -> None:
    """A subscription if there is one, else the invoice; expanded or not."""
    plan = post("/v1/quotes/qt_1/accept")
    bodies: list[dict[str, Any]] = [
        {"id": "qt_1", "subscription": "sub_1", "invoice": "in_1"},
        {"id": "qt_1", "subscription": None, "invoice": {"id": "in_1"}},
        {"id": "qt_1"},
    ]

    assert ["sub_1", "in_1", None] == [_read(plan, QUOTE, body).object_id for body in bodies]


def test_a_failed_payment_of_an_invoice_leaves_it_counted() -> None:
    """It stays open, and Stripe may try again; a subscription that answers 402 was not made."""
    error = {"error": {"type": "card_error", "payment_intent": {"id": "pi_1"}}}

    assert Outcome(Ending.SETTLED, None, "in_1") == _read(PAY, _of("in_1"), error, 402)
    assert Ending.RELEASED is _read(SUBSCRIBE, QUOTE, error, 402).ending
    assert Ending.RELEASED is _read(PAY, _of("in_1"), {"error": {"type": "invalid_request_error"}}, 400).ending


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"type": "api_error"}}),
        (400, {"error": "no"}),
        (400, []),
        (402, {}),
        (409, {"error": {"type": "idempotency_error"}}),
        (424, {"error": {"type": "invalid_request_error"}}),
        (500, {"error": {"type": "invalid_request_error"}}),
    ],
)
def test_what_the_tables_do_not_name_stays_counted(status: int, body: Any) -> None:
    """An answer that is not Stripe's own error, or one that may have begun."""
    assert Ending.UNKNOWN is _read(REFUND, QUOTE, body, status).ending


def test_the_tables_name_what_there_is() -> None:
    """Each pricer of the tables is one, so that none is dead."""
    assert set() == set(outcome.DECLINES) - set(Pricing(RATES)._pricers)
    assert {401, 403, 404, 429} == set(outcome.COSTLESS)
