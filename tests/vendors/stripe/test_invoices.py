"""Invoices count once, under their id, from when they are armed."""

from typing import Any

import pytest

from runcap.decision import Code
from runcap.vendors.base import FREE, Quote
from tests.vendors.stripe.helpers import VENDOR, invoice, listed, post, price, priced, refused, request

IN = "/v1/invoices/in_1"
II = "/v1/invoiceitems/ii_1"
USD = 1_000_000
DRAFT = invoice(status="draft", auto_advance=False)
ARMED = invoice(status="draft", auto_advance=True)
OF_INVOICE = Quote(20 * USD, 2000, "USD", "in_1")
SUBSCRIBED = {"/v1/subscriptions": listed({"id": "sub_1"})}
NOBODY = {"/v1/subscriptions": listed(), "/v1/subscription_schedules": listed()}


@pytest.mark.parametrize("action", ["finalize", "send", "pay"])
@pytest.mark.parametrize(
    "found", [invoice(), DRAFT, ARMED, invoice(amount_paid=500, amount_remaining=1500), invoice(amount_paid=2000)]
)
def test_arming_and_paying_quote_the_invoices_total(action: str, found: dict[str, Any]) -> None:
    """Whatever of it has been paid: its id says that it is one and the same amount."""
    found = found | {"amount_remaining": 2000 - found["amount_paid"]}

    assert OF_INVOICE == priced(post(f"{IN}/{action}"), {IN: found})[0]


def test_a_subscriptions_first_invoice_was_counted_with_it() -> None:
    """It is paid under the subscription's id, wherever this version of the API says that; a later one is its own."""
    parent: dict[str, Any] = {"parent": {"subscription_details": {"subscription": "sub_1"}}}
    answers = [
        invoice(billing_reason="subscription_create", **parent),
        invoice(billing_reason="subscription_create", subscription="sub_1"),
        invoice(billing_reason="subscription_create"),
        invoice(billing_reason="subscription_cycle", **parent),
    ]

    assert ["sub_1", "sub_1", "in_1", "in_1"] == [
        priced(post(f"{IN}/pay"), {IN: found})[0].object_id for found in answers
    ]


def test_what_was_paid_elsewhere_moves_nothing() -> None:
    """Marking as paid out of band is bookkeeping; so is writing off."""
    assert FREE == priced(post(f"{IN}/pay", b"paid_out_of_band=true"))[0]
    assert FREE == priced(post(f"{IN}/mark_uncollectible"))[0]


def test_voiding_and_deleting_name_the_invoice() -> None:
    """So that what was counted for it can be given back."""
    deleted = VENDOR.plan(request("DELETE", IN))

    assert Quote(0, object_id="in_1") == priced(post(f"{IN}/void"))[0] == priced(deleted)[0]


def test_a_draft_that_waits_is_free_and_one_that_advances_counts_what_it_sweeps_in() -> None:
    """Pending items are added up, credits left out; without a word it is taken to advance and to sweep."""
    pending = {
        "/v1/invoiceitems": listed(
            {"amount": 1500, "currency": "usd"}, {"amount": -700, "currency": "usd"}, {"amount": 500, "currency": "usd"}
        )
    }

    assert (FREE, []) == priced(post("/v1/invoices", b"customer=cus_1&auto_advance=false"))
    for body in (b"customer=cus_1", b"customer=cus_1&auto_advance=true&pending_invoice_items_behavior=include"):
        assert Quote(20 * USD, 2000, "USD") == priced(post("/v1/invoices", body), pending)[0]
    excluded = b"customer=cus_1&auto_advance=true&pending_invoice_items_behavior=exclude"
    assert 0 == priced(post("/v1/invoices", excluded))[0].micros
    finalizing = b"customer=cus_1&auto_advance=false&automatically_finalizes_at=1800000000"
    assert 2000 == priced(post("/v1/invoices", finalizing), pending)[0].amount_minor


def test_a_revision_counts_what_it_revises() -> None:
    """Its lines are copied."""
    body = b"from_invoice[action]=revision&from_invoice[invoice]=in_1&pending_invoice_items_behavior=exclude"

    assert 2000 == priced(post("/v1/invoices", body), {IN: invoice()})[0].amount_minor


@pytest.mark.parametrize(
    ("body", "found", "quote"),
    [
        (b"description=x", DRAFT, FREE),
        (b"shipping_cost[shipping_rate]=shr_1", DRAFT, FREE),
        (b"auto_advance=true", DRAFT, OF_INVOICE),
        (b"automatically_finalizes_at=1800000000", DRAFT, OF_INVOICE),
        (b"description=x", ARMED, OF_INVOICE),
        (b"metadata[a]=b", invoice(), OF_INVOICE),
    ],
)
def test_an_update_counts_once_the_invoice_is_armed(body: bytes, found: dict[str, Any], quote: Quote) -> None:
    """As its total."""
    assert quote == priced(post(IN, body), {IN: found})[0]


def test_lines_raise_an_armed_invoice() -> None:
    """New ones come on top of what is due, with its tax; on a draft that waits they are free."""
    body = (
        b"lines[0][amount]=500&lines[1][price_data][currency]=usd&lines[1][price_data][unit_amount]=100"
        b"&lines[1][quantity]=3&lines[2][pricing][price]=price_1&lines[3][invoice_item]=ii_1&lines[4][amount]=-900"
        b"&lines[0][tax_amounts][0][amount]=50"
    )
    answers = {
        IN: ARMED,
        "/v1/prices/price_1": price(),
        II: {"id": "ii_1", "amount": 70, "currency": "usd"},
    }
    taxed = answers | {IN: ARMED | {"automatic_tax": {"enabled": True}}}
    total = 500 + 50 + 300 + 1000 + 70

    for action in ("add_lines", "update_lines"):
        quote = priced(post(f"{IN}/{action}", body), answers)[0]
        assert (2000 + total, "in_1") == (quote.amount_minor, quote.object_id)
    assert 2000 + total * 130 // 100 == priced(post(f"{IN}/add_lines", body), taxed)[0].amount_minor
    assert FREE == priced(post(f"{IN}/add_lines", body), {IN: DRAFT})[0]
    one = post(f"{IN}/lines/il_1", b"amount=500")
    assert [2500, None] == [priced(one, {IN: found})[0].amount_minor for found in (ARMED, DRAFT)]
    assert FREE == priced(post(f"{IN}/remove_lines", b"lines[0][id]=il_1"), {IN: DRAFT})[0]


def test_a_pending_item_counts_if_a_subscription_will_sweep_it_in() -> None:
    """Without one, the invoice that takes it in is priced itself."""
    item = post("/v1/invoiceitems", b"customer=cus_1&amount=2000&currency=usd")
    taxed = {"/v1/subscriptions": listed({"id": "sub_1", "default_tax_rates": [{"percentage": 8.25}]})}
    scheduled = {"/v1/subscriptions": listed(), "/v1/subscription_schedules": listed({"id": "sub_sched_1"})}

    assert FREE == priced(item, NOBODY)[0]
    assert [2000, 2180, 2000] == [priced(item, answers)[0].amount_minor for answers in (SUBSCRIBED, taxed, scheduled)]


@pytest.mark.parametrize(
    ("body", "minor"),
    [
        (b"unit_amount_decimal=10.5&quantity=3&currency=usd", 32),
        (b"unit_amount=10&quantity=3&currency=usd", 30),
        (b"amount=-500&currency=usd", 0),
        (b"pricing[price]=price_1&quantity=2", 2000),
        (b"price=price_1&quantity_decimal=1.5&tax_rates[0]=txr_1", 1650),
        (b"price_data[currency]=usd&price_data[unit_amount_decimal]=0.1&quantity=15", 2),
    ],
)
def test_an_items_amount_in_all_its_forms(body: bytes, minor: int) -> None:
    """Told, or a unit times a quantity; rounded up; a credit counts nothing."""
    answers = SUBSCRIBED | {
        "/v1/prices/price_1": price(),
        "/v1/tax_rates/txr_1": {"id": "txr_1", "percentage": 9.5},
    }

    assert minor == priced(post("/v1/invoiceitems", b"customer=cus_1&" + body), answers)[0].amount_minor


def test_an_item_of_an_invoice_raises_that_invoice() -> None:
    """Under the invoice's id; nothing while the invoice waits."""
    item = post("/v1/invoiceitems", b"customer=cus_1&invoice=in_1&amount=500&currency=usd")

    assert Quote(25 * USD, 2500, "USD", "in_1") == priced(item, {IN: ARMED})[0]
    assert FREE == priced(item, {IN: DRAFT})[0]


def test_an_item_is_changed_and_deleted() -> None:
    """A change is quoted as the item's new amount; deleting a credit raises what is due."""
    pending = {"id": "ii_1", "amount": 300, "quantity": 3, "currency": "usd", "customer": "cus_1", "invoice": None}
    answers = SUBSCRIBED | {II: pending}
    deleted = VENDOR.plan(request("DELETE", II))

    assert Quote(9 * USD, 900, "USD", "ii_1") == priced(post(II, b"amount=900"), answers)[0]
    assert 1500 == priced(post(II, b"unit_amount_decimal=500"), answers)[0].amount_minor
    assert (
        315
        == priced(post(II, b"tax_rates[]=txr_1"), answers | {"/v1/tax_rates/txr_1": {"id": "txr_1", "percentage": 5}})[
            0
        ].amount_minor
    )
    assert FREE == priced(post(II, b"description=x"))[0]
    assert FREE == priced(post(II, b"amount=900"), NOBODY | {II: pending})[0]
    on_invoice = answers | {II: pending | {"invoice": "in_1"}, IN: ARMED}
    assert Quote(29 * USD, 2900, "USD", "in_1") == priced(post(II, b"amount=900"), on_invoice)[0]
    assert Quote(0, object_id="ii_1") == priced(deleted, answers)[0]
    assert Quote(3 * USD, 300, "USD") == priced(deleted, {II: pending | {"amount": -300}})[0]


@pytest.mark.parametrize(
    ("body", "found", "minor"),
    [
        (b"refund_amount=500&amount=500", invoice(amount_paid=2000), 500),
        (b"refund_amount=500&credit_amount=300&amount=800", invoice(amount_paid=2000), 800),
        (b"refunds[0][refund]=re_1&refunds[0][amount_refunded]=400&amount=400", invoice(amount_paid=2000), 400),
        (b"out_of_band_amount=500&amount=500", invoice(amount_paid=2000), 0),
        (b"amount=500", invoice(), 0),
        (b"amount=500", invoice(amount_paid=2000), 2000),
    ],
)
def test_a_credit_note_counts_what_goes_back(body: bytes, found: dict[str, Any], minor: int) -> None:
    """Refunded or credited; on an unpaid invoice it only lowers what is due."""
    assert minor == priced(post("/v1/credit_notes", b"invoice=in_1&" + body), {IN: found})[0].amount_minor


@pytest.mark.parametrize(
    ("path", "body", "answers"),
    [
        ("/v1/invoices", b"auto_advance=true", {}),
        ("/v1/invoices", b"customer=cus_1", {"/v1/invoiceitems": listed(has_more=True)}),
        ("/v1/invoices", b"customer=cus_1", {"/v1/invoiceitems": {"data": []}}),
        ("/v1/invoices", b"customer=cus_1&automatic_tax[enabled]=true", {"/v1/invoiceitems": listed()}),
        (IN, b"discounts=", {IN: ARMED}),
        (IN, b"auto_advance=true&shipping_cost[shipping_rate]=shr_1", {IN: DRAFT}),
        (f"{IN}/finalize", b"", {IN: invoice() | {"amount_due": None}}),
        (f"{IN}/pay", b"", {}),
        (f"{IN}/remove_lines", b"lines[0][id]=il_1", {IN: ARMED}),
        ("/v1/invoiceitems", b"amount=5&currency=usd", {}),
        ("/v1/invoiceitems", b"customer=cus_1&amount=5", SUBSCRIBED),
        ("/v1/invoiceitems", b"customer=cus_1", SUBSCRIBED),
        (II, b"quantity=900", {II: {"id": "ii_1", "amount": 1, "currency": "usd", "customer": "cus_1"}} | SUBSCRIBED),
        ("/v1/credit_notes", b"amount=5", {}),
    ],
)
def test_what_an_invoice_would_demand_must_be_certain(path: str, body: bytes, answers: dict[str, Any]) -> None:
    """What only Stripe can work out, or an answer that does not tell, is refused."""
    assert Code.UNPRICED == refused(post(path, body), answers)
