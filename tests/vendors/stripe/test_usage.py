"""Usage counts when it is reported, at the prices that it will be billed at."""

from typing import Any

import pytest

from runcap.decision import Code
from runcap.vendors.base import FREE, Quote
from tests.vendors.stripe.helpers import VENDOR, listed, post, price, priced, refused, request

METER = {
    "id": "mtr_1",
    "event_name": "tokens",
    "customer_mapping": {"event_payload_key": "stripe_customer_id"},
    "value_settings": {"event_payload_key": "value"},
    "default_aggregation": {"formula": "sum"},
}
ITEMS = listed(
    {"id": "si_1", "price": {"id": "price_1", "recurring": {"meter": "mtr_1"}}},
    {"id": "si_2", "price": {"id": "price_2", "recurring": {"meter": "mtr_2"}}},
    {"id": "si_3", "price": {"id": "price_3", "recurring": None}},
)
EVENTS = "/v1/billing/meter_events"
EVENT = b"event_name=tokens&payload[stripe_customer_id]=cus_1&payload[value]="


def _answers(meter: dict[str, Any] = METER, unit: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "/v1/billing/meters": listed(meter),
        "/v1/subscriptions": listed({"id": "sub_1"}),
        "/v1/subscription_items": ITEMS,
        "/v1/prices/price_1": unit or price(200, recurring={"usage_type": "metered"}),
    }


@pytest.mark.parametrize(("value", "minor"), [(b"25", 5000), (b"2.5", 500), (b"0.001", 1), (b"-3", 0), (b"0", 0)])
def test_an_event_costs_its_value_times_the_metered_price(value: bytes, minor: int) -> None:
    """Only of items that bill this meter; a correction downwards counts nothing."""
    assert Quote(minor * 10_000, minor, "USD") == priced(post(EVENTS, EVENT + value), _answers())[0]


def test_v2_says_the_same_in_json() -> None:
    """The payload's values are strings there too."""
    body = b'{"event_name":"tokens","payload":{"stripe_customer_id":"cus_1","value":"25"}}'
    plan = VENDOR.plan(request("POST", "/v2/billing/meter_events", body, ("content-type", "application/json")))

    assert 5000 == priced(plan, _answers())[0].amount_minor


def test_what_nothing_bills_is_free() -> None:
    """A customer without a subscription, or with none that bills this meter."""
    for answers in ({"/v1/subscriptions": listed()}, {"/v1/subscription_items": listed()}):
        assert FREE == priced(post(EVENTS, EVENT + b"5"), _answers() | answers)[0]


@pytest.mark.parametrize(
    ("meter", "unit", "minor"),
    [
        (METER | {"default_aggregation": {"formula": "count"}}, None, 200),
        (METER, price(200, transform_quantity={"divide_by": 1000, "round": "up"}), 200),
        (METER, price(None, unit_amount_decimal="0.004"), 1),
        (METER, price(None, tiers=[{"unit_amount": 1, "flat_amount": 300}, {"unit_amount_decimal": "0.5"}]), 325),
    ],
)
def test_meters_and_prices_of_all_kinds(meter: dict[str, Any], unit: dict[str, Any], minor: int) -> None:
    """Counting meters, packages, fractions of a cent, tiers: each event is rounded up by itself."""
    assert minor == priced(post(EVENTS, EVENT + b"25"), _answers(meter, unit))[0].amount_minor


def test_the_legacy_usage_record_has_its_items_price() -> None:
    """Its quantity times the unit."""
    path = "/v1/subscription_items/si_1"
    answers = _answers() | {path: {"id": "si_1", "price": {"id": "price_1"}}}

    assert 600 == priced(post(f"{path}/usage_records", b"quantity=3&timestamp=now"), answers)[0].amount_minor
    assert Code.UNPRICED == refused(post(f"{path}/usage_records", b"timestamp=now"), answers)


@pytest.mark.parametrize(
    ("body", "answers", "code"),
    [
        (b"event_name=other&payload[stripe_customer_id]=cus_1&payload[value]=1", {}, Code.UNPRICED),
        (b"event_name=tokens&payload[value]=1", {}, Code.UNPRICED),
        (b"event_name=tokens&payload[stripe_customer_id]=..%2Fx&payload[value]=1", {}, Code.UNPRICED),
        (b"event_name=tokens&payload[stripe_customer_id]=cus_1", {}, Code.MALFORMED),
        (EVENT + b"1e9", {}, Code.MALFORMED),
        (b"payload[value]=1", {}, Code.UNPRICED),
        (EVENT + b"1", {"/v1/subscriptions": listed({"id": "sub_1"}, has_more=True)}, Code.UNPRICED),
        (EVENT + b"1", {"/v1/subscriptions": listed({"id": 7})}, Code.UNPRICED),
        (EVENT + b"1", {"/v1/billing/meters": listed(METER | {"value_settings": None})}, Code.UNPRICED),
        (EVENT + b"1", {"/v1/prices/price_1": {}}, Code.UNPRICED),
    ],
)
def test_usage_without_a_certain_price_is_refused(body: bytes, answers: dict[str, Any], code: Code) -> None:
    """An unknown meter, no customer, no value, or a list that goes on."""
    assert code == refused(post(EVENTS, body), _answers() | answers)
