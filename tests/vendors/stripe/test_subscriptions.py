"""What a subscription arms: the next invoice by Stripe's preview, and one renewal."""

from typing import Any
from urllib.parse import parse_qsl

import pytest

from runcap.decision import Code
from runcap.vendors.base import FREE, Lookup, Quote
from tests.vendors.stripe.helpers import (
    VENDOR,
    invoice,
    post,
    previews,
    price,
    priced,
    refused,
    request,
)

SUB = "/v1/subscriptions/sub_1"
ITEM = {"/v1/subscription_items/si_1": {"id": "si_1", "subscription": "sub_1"}}
USD = 1_000_000


def _sent(lookup: Lookup) -> dict[str, str]:
    return dict(parse_qsl(lookup.body.decode(), keep_blank_values=True))


def test_a_new_subscription_counts_its_first_invoice_and_one_renewal() -> None:
    """Both by Stripe's preview, which is a POST that changes nothing."""
    plan = post("/v1/subscriptions", b"customer=cus_1&items[0][price]=price_1&items[0][quantity]=2")
    quote, lookups = priced(plan, previews(500, 2000))

    assert Quote(25 * USD, 2500, "USD") == quote
    asked = {
        "customer": "cus_1",
        "subscription_details[items][0][price]": "price_1",
        "subscription_details[items][0][quantity]": "2",
    }
    assert [asked, {**asked, "preview_mode": "recurring"}] == [_sent(lookup) for lookup in lookups]
    assert {"/v1/invoices/create_preview"} == {lookup.path for lookup in lookups}


def test_a_subscriptions_parameters_are_translated_for_the_preview() -> None:
    """What the preview names otherwise, or does not take, is renamed or left out."""
    body = (
        b"items[0][price]=price_1&add_invoice_items[0][price]=price_2&add_invoice_items[0][period][start][type]=now"
        b"&backdate_start_date=1700000000&billing_cycle_anchor=1900000000&trial_end=1800000000&default_tax_rates[]=txr_1"
        b"&automatic_tax[enabled]=true&discounts[0][coupon]=c&metadata[a]=b&trial_period_days=30&off_session=true"
    )
    _, lookups = priced(post("/v1/customers/cus_1/subscriptions", body), previews(0, 1))

    assert {
        "customer": "cus_1",
        "automatic_tax[enabled]": "true",
        "discounts[0][coupon]": "c",
        "invoice_items[0][price]": "price_2",
        "subscription_details[items][0][price]": "price_1",
        "subscription_details[default_tax_rates][]": "txr_1",
        "subscription_details[trial_end]": "1800000000",
        "subscription_details[start_date]": "1700000000",
        "subscription_details[billing_cycle_anchor][type]": "timestamp",
        "subscription_details[billing_cycle_anchor][timestamp]": "1900000000",
    } == _sent(lookups[0])
    assert {
        "customer": "cus_1",
        "automatic_tax[enabled]": "true",
        "discounts[0][coupon]": "c",
        "subscription_details[items][0][price]": "price_1",
        "subscription_details[default_tax_rates][]": "txr_1",
        "preview_mode": "recurring",
    } == _sent(lookups[1])


def test_a_credit_lowers_the_next_invoice_once() -> None:
    """What is due may be nothing; the renewal counts its total, whatever balance the customer has now."""
    plan = post("/v1/subscriptions", b"customer=cus_1&items[0][price]=price_1")
    answers = previews(-500, 0, total=2000)

    assert Quote(20 * USD, 2000, "USD") == priced(plan, answers)[0]


@pytest.mark.parametrize(
    "body",
    [
        b"metadata[a]=b&description=x",
        b"cancel_at_period_end=true",
        b"pause_collection[behavior]=void",
        b"default_payment_method=pm_1&cancellation_details[comment]=x",
    ],
)
def test_an_update_that_bills_nothing_is_free(body: bytes) -> None:
    """Without a lookup."""
    assert (FREE, []) == priced(post(SUB, body))


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"items[0][id]=si_1&items[0][quantity]=9", ("subscription_details[items][0][quantity]", "9")),
        (b"proration_behavior=always_invoice", ("subscription_details[proration_behavior]", "always_invoice")),
        (b"trial_end=now", ("subscription_details[trial_end]", "now")),
        (b"billing_cycle_anchor=now", ("subscription_details[billing_cycle_anchor][type]", "now")),
        (b"cancel_at_period_end=false", ("subscription_details[cancel_at_period_end]", "false")),
        (b"pause_collection=", ("subscription", "sub_1")),
        (b"discounts=", ("discounts", "")),
        (b"coupon=", ("discounts", "")),
        (b"coupon=small", ("discounts[0][coupon]", "small")),
        (b"promotion_code=promo_1", ("discounts[0][promotion_code]", "promo_1")),
    ],
)
def test_any_other_update_is_previewed(body: bytes, detail: tuple[str, str]) -> None:
    """It counts for itself, each time: a second change may bill again."""
    quote, lookups = priced(post(SUB, body), previews(100, 200))

    assert Quote(3 * USD, 300, "USD") == quote
    assert {("subscription", "sub_1"), detail} <= set(_sent(lookups[0]).items())


@pytest.mark.parametrize(
    ("query", "latest", "quote"),
    [
        ("", invoice(2000, billing_reason="subscription_create"), Quote(20 * USD, 2000, "USD", "sub_1")),
        ("", invoice(2000, billing_reason="subscription_cycle"), FREE),
        ("", None, FREE),
        ("invoice_now=false", None, FREE),
        ("invoice_now=true", None, Quote(3 * USD, 300, "USD")),
        (
            "invoice_now=true&prorate=true",
            invoice(2000, billing_reason="subscription_create"),
            Quote(23 * USD, 2300, "USD", "sub_1"),
        ),
    ],
)
def test_a_cancellation_keeps_what_was_billed(query: str, latest: Any, quote: Quote) -> None:
    """Before the first renewal only the first invoice remains; a final invoice comes on top."""
    answers = {SUB: {"id": "sub_1", "latest_invoice": latest}, **previews(300, 0)}

    assert quote == priced(VENDOR.plan(request("DELETE", SUB, query=query)), answers)[0]


def test_other_ways_to_bill_a_subscription() -> None:
    """Losing a discount, a pause that invoices, and a resumption."""
    undiscounted = VENDOR.plan(request("DELETE", f"{SUB}/discount"))
    paused = post(f"{SUB}/pause", b"type=subscription&invoicing_behavior=invoice&bill_for[unused_time]=true")
    resumed = post(f"{SUB}/resume", b"billing_cycle_anchor=now&proration_behavior=none")
    plans = [undiscounted, paused, resumed, post(f"{SUB}/pause", b"type=subscription"), post(f"{SUB}/migrate")]
    answers = previews(100, 200)

    assert [3 * USD, 1 * USD, 3 * USD, 0, 0] == [priced(plan, answers)[0].micros for plan in plans]
    assert ("subscription_details[pause][bill_for][unused_time]", "true") in _sent(
        priced(paused, answers)[1][0]
    ).items()
    assert "now" == _sent(priced(resumed, answers)[1][0])["subscription_details[resume_at]"]


def test_items_are_previewed_as_their_subscriptions() -> None:
    """Adding and changing count the next invoice and a renewal; removing one only an invoice that it makes."""
    added = post("/v1/subscription_items", b"subscription=sub_1&price=price_1&proration_behavior=none")
    changed = post("/v1/subscription_items/si_1", b"quantity=5")
    described = post("/v1/subscription_items/si_1", b"metadata[a]=b")
    removed = VENDOR.plan(request("DELETE", "/v1/subscription_items/si_1"))
    invoiced = VENDOR.plan(request("DELETE", "/v1/subscription_items/si_1", query="proration_behavior=always_invoice"))
    answers = previews(100, 200) | ITEM

    assert [3 * USD, 3 * USD, 0, 0, 1 * USD] == [
        priced(plan, answers)[0].micros for plan in (added, changed, described, removed, invoiced)
    ]
    assert {
        "subscription": "sub_1",
        "subscription_details[items][0][id]": "si_1",
        "subscription_details[items][0][quantity]": "5",
    } == _sent(priced(changed, answers)[1][1])


def test_a_schedule_counts_the_next_invoice_and_a_period_of_every_phase() -> None:
    """One-off items and tax are in it; metered ones are not."""
    body = (
        b"customer=cus_1&start_date=now&phases[0][items][0][price]=price_1&phases[0][items][0][quantity]=3"
        b"&phases[0][add_invoice_items][0][price_data][currency]=usd"
        b"&phases[0][add_invoice_items][0][price_data][unit_amount]=50&phases[1][automatic_tax][enabled]=true"
        b"&phases[1][items][0][price]=price_1"
    )
    answers = previews(100, 0) | {"/v1/prices/price_1": price()}
    quote, lookups = priced(post("/v1/subscription_schedules", body), answers)

    assert 100 + 3 * 1000 + 50 + 1300 == quote.amount_minor
    assert "now" == _sent(lookups[0])["schedule_details[phases][0][start_date]"]
    assert FREE == priced(post("/v1/subscription_schedules", b"from_subscription=sub_1"))[0]


def test_a_schedule_is_changed_and_cancelled() -> None:
    """A change is previewed; a cancellation makes a final invoice unless it is told not to, or nothing has begun."""
    path = "/v1/subscription_schedules/sub_sched_1"
    answers = previews(100, 0) | {
        path: {"id": "sub_sched_1", "subscription": "sub_1"},
        "/v1/prices/price_1": price(),
    }
    changed = post(path, b"phases[0][items][0][price]=price_1")
    idle = answers | {path: {"id": "sub_sched_1", "subscription": None}}

    assert 1100 == priced(changed, answers)[0].amount_minor
    assert "sub_sched_1" == _sent(priced(changed, answers)[1][0])["schedule"]
    assert FREE == priced(post(path, b"metadata[a]=b"))[0]
    assert 100 == priced(post(f"{path}/cancel"), answers)[0].amount_minor
    assert FREE == priced(post(f"{path}/cancel", b"invoice_now=false"), answers)[0]
    assert FREE == priced(post(f"{path}/cancel"), idle)[0]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/subscriptions", b"customer=cus_1"),
        ("/v1/subscriptions", b"customer=cus_1&plan=gold"),
        ("/v1/subscriptions", b"customer=cus_1&items[0][price]=price_1&tax_percent=90"),
        (SUB, b"quantity=3"),
        ("/v1/subscription_items", b"price=price_1"),
        ("/v1/subscription_items", b"subscription=sub_1&price=price_1&prorate=true"),
        ("/v1/subscription_schedules", b"customer=cus_1"),
        ("/v1/subscription_schedules", b"customer=cus_1&phases[0][plans][0][plan]=gold&renewal_interval=x"),
    ],
)
def test_what_the_preview_would_not_see_is_refused(path: str, body: bytes) -> None:
    """An old version's parameter may bill what nobody previewed."""
    assert Code.UNPRICED == refused(post(path, body), previews(0, 0))


@pytest.mark.parametrize(
    "answer",
    [{}, {"object": "invoice"}, invoice(currency=None), invoice() | {"amount_due": 1.5}, {"object": "error"}],
)
def test_a_preview_that_does_not_tell_refuses(answer: dict[str, Any]) -> None:
    """No amount is guessed."""
    plan = post("/v1/subscriptions", b"customer=cus_1&items[0][price]=price_1")

    assert Code.UNPRICED == refused(plan, {"/v1/invoices/create_preview": answer})
