"""Money that moves between accounts and banks, and credit that customers are given."""

import json
from typing import Any

import pytest

from runcap.decision import Code
from runcap.vendors.base import FREE, Plan, Quote
from tests.vendors.stripe.helpers import VENDOR, charge, intent, post, priced, refused, request

USD = 1_000_000
CH = "/v1/charges/ch_1"
PI = "/v1/payment_intents/pi_1"
READER = "/v1/terminal/readers/tmr_1"
SURCHARGED = b"payment_intent=pi_1&confirm_config[amount_surcharge]=500"
ORDERS = "/v1/climate/orders"
OUT = "/v2/money_management/outbound_payments"
POOR = {"/v1/customers/cus_1": {"id": "cus_1", "balance": 0, "currency": None}}
TON = {"amount_subtotal": 90_000, "amount_fees": 10_000, "amount_total": 100_000}
PRODUCT = {
    "/v1/climate/products/clim_1": {"id": "clim_1", "current_prices_per_metric_ton": {"usd": TON}},
}


def _v2(path: str, body: Any) -> Plan:
    return VENDOR.plan(request("POST", path, json.dumps(body).encode(), ("content-type", "application/json")))


@pytest.mark.parametrize(
    "path",
    [
        "/v1/topups",
        "/v1/treasury/inbound_transfers",
        "/v1/treasury/outbound_payments",
        "/v1/treasury/outbound_transfers",
    ],
)
def test_amounts_in_the_body(path: str) -> None:
    """Into the account or out of it: what is moved counts."""
    assert Quote(70 * USD, 7000, "USD") == priced(post(path, b"amount=7000&currency=usd&description=x"))[0]


@pytest.mark.parametrize("path", ["inbound_transfers", "outbound_payments", "payout_intents"])
def test_v2_has_its_amount_in_an_object(path: str) -> None:
    """A whole number of the minor unit and a currency, as JSON."""
    plan = _v2(f"/v2/money_management/{path}", {"amount": {"value": 7000, "currency": "eur"}, "from": {}})

    assert Quote(78_540_000, 7000, "EUR") == priced(plan)[0]


def test_a_payout_intent_is_one_amount() -> None:
    """Confirming it is quoted as its total, under its id; cancelling names it."""
    path = "/v2/money_management/payout_intents/pyi_1"
    found = {"id": "pyi_1", "amount": {"value": 7000, "currency": "usd"}}

    assert Quote(70 * USD, 7000, "USD", "pyi_1") == priced(_v2(f"{path}/confirm", {}), {path: found})[0]
    assert Quote(0, object_id="pyi_1") == priced(_v2(f"{path}/cancel", {}))[0]


@pytest.mark.parametrize(
    ("path", "body", "lookup", "found", "minor"),
    [
        ("/v1/transfers/tr_1/reversals", b"", "/v1/transfers/tr_1", {"amount": 900, "amount_reversed": 200}, 700),
        ("/v1/transfers/tr_1/reversals", b"amount=50", "/v1/transfers/tr_1", {"amount": 900, "amount_reversed": 0}, 50),
        (
            "/v1/application_fees/fee_1/refunds",
            b"",
            "/v1/application_fees/fee_1",
            {"amount": 90, "amount_refunded": 20},
            70,
        ),
        (
            "/v1/application_fees/fee_1/refund",
            b"amount=5",
            "/v1/application_fees/fee_1",
            {"amount": 90, "amount_refunded": 0},
            5,
        ),
        ("/v1/payouts/po_1/reverse", b"", "/v1/payouts/po_1", {"amount": 900}, 900),
        (
            "/v1/treasury/credit_reversals",
            b"received_credit=rc_1",
            "/v1/treasury/received_credits/rc_1",
            {"amount": 30},
            30,
        ),
        (
            "/v1/treasury/debit_reversals",
            b"received_debit=rd_1",
            "/v1/treasury/received_debits/rd_1",
            {"amount": 40},
            40,
        ),
        ("/v1/disputes/dp_1/close", b"", "/v1/disputes/dp_1", {"amount": 900}, 900),
        ("/v1/credit_notes/cn_1/void", b"", "/v1/credit_notes/cn_1", {"amount": 900}, 900),
        ("/v1/charges/ch_1/refund", b"", CH, charge(amount_refunded=500), 1500),
        ("/v1/charges/ch_1/refunds", b"amount=7", CH, charge(), 7),
        (f"{READER}/refund_payment", b"payment_intent=pi_1", PI, intent(latest_charge=charge()), 2000),
    ],
)
def test_amounts_that_are_looked_up(path: str, body: bytes, lookup: str, found: dict[str, Any], minor: int) -> None:
    """The amount that is asked for, or all that is left; in the object's own currency."""
    answer = {"id": lookup.rpartition("/")[2], "currency": "usd", **found}

    quote = priced(post(path, body), {lookup: answer})[0]

    assert Quote(minor * 10_000, minor, "USD") == quote


def test_a_fee_that_is_given_back_counts_on_top() -> None:
    """It is never more than the amount itself."""
    found = {"id": "tr_1", "amount": 900, "amount_reversed": 0, "currency": "usd"}
    plan = post("/v1/transfers/tr_1/reversals", b"refund_application_fee=true")

    assert Quote(18 * USD, 900, "USD") == priced(plan, {"/v1/transfers/tr_1": found})[0]


def test_a_refund_of_a_customers_cash_balance() -> None:
    """There is no charge, so amount and currency are in the body."""
    body = b"origin=customer_balance&customer=cus_1&amount=500&currency=usd"

    assert Quote(5 * USD, 500, "USD") == priced(post("/v1/refunds", body))[0]
    assert Code.UNPRICED == refused(post("/v1/refunds", b"origin=customer_balance&customer=cus_1"))


@pytest.mark.parametrize(
    ("path", "object_id"),
    [
        ("/v1/refunds/re_1/cancel", "re_1"),
        ("/v1/payouts/po_1/cancel", "po_1"),
        ("/v1/topups/tu_1/cancel", "tu_1"),
        ("/v1/treasury/inbound_transfers/ibt_1/cancel", "ibt_1"),
        ("/v1/treasury/outbound_payments/obp_1/cancel", "obp_1"),
        ("/v1/treasury/outbound_transfers/obt_1/cancel", "obt_1"),
        ("/v1/climate/orders/climorder_1/cancel", "climorder_1"),
    ],
)
def test_a_cancellation_costs_nothing_and_names_its_object(path: str, object_id: str) -> None:
    """So that what was counted for it can be given back."""
    assert (Quote(0, object_id=object_id), []) == priced(post(path))


@pytest.mark.parametrize(
    ("body", "minor"),
    [(b"metric_tons=1.5", 150_000), (b"metric_tons=0.000001", 1), (b"amount=900", 1000), (b"amount=901", 1002)],
)
def test_a_climate_order_counts_its_fees(body: bytes, minor: int) -> None:
    """By the product's own price per ton, rounded up."""
    plan = post(ORDERS, b"product=clim_1&currency=usd&" + body)

    assert minor == priced(plan, PRODUCT)[0].amount_minor


def test_credit_for_customers() -> None:
    """Granted, put on the balance (below zero is credit, above it a debt), or set as the balance."""
    customer = {"id": "cus_1", "balance": -300, "currency": "usd"}
    grant = b"amount[type]=monetary&amount[monetary][value]=700&amount[monetary][currency]=usd"
    changes = "/v1/customers/cus_1/balance_transactions"

    assert 700 == priced(post("/v1/billing/credit_grants", grant))[0].amount_minor
    assert [500, 500] == [
        priced(post(changes, f"amount={amount}&currency=usd".encode()))[0].amount_minor for amount in (-500, 500)
    ]
    update = post("/v1/customers/cus_1", b"balance=-1000&email=x")
    assert Quote(7 * USD, 700, "USD") == priced(update, {"/v1/customers/cus_1": customer})[0]
    assert FREE == priced(post("/v1/customers", b"balance=0"))[0]


def test_card_readers_charge_the_intent() -> None:
    """Under its id; a tip at the reader has no bound, so there may be none."""
    process = post(f"{READER}/process_payment_intent", b"payment_intent=pi_1&process_config[skip_tipping]=true")
    confirm = post(f"{READER}/confirm_payment_intent", b"payment_intent=pi_1")
    collect = post(f"{READER}/collect_payment_method", b"payment_intent=pi_1&collect_config[skip_tipping]=true")

    assert [Quote(20 * USD, 2000, "USD", "pi_1")] * 2 == [
        priced(plan, {PI: intent()})[0] for plan in (process, confirm)
    ]
    assert FREE == priced(collect)[0]
    for action in ("process_payment_intent", "collect_payment_method"):
        assert Code.UNPRICED == refused(post(f"{READER}/{action}", b"payment_intent=pi_1"), {PI: intent()})


def test_other_ways_to_finish_an_intent() -> None:
    """A customer's cash and verified bank accounts pay the same intent."""
    paid, verified = post(f"{PI}/apply_customer_balance", b"amount=500"), post(f"{PI}/verify_microdeposits")

    assert [Quote(20 * USD, 2000, "USD", "pi_1")] * 2 == [priced(plan, {PI: intent()})[0] for plan in (paid, verified)]


@pytest.mark.parametrize(
    ("plan", "answers", "code"),
    [
        (post("/v1/topups", b"amount=1"), {}, Code.UNPRICED),
        (_v2(OUT, {}), {}, Code.UNPRICED),
        (_v2(OUT, {"amount": 5}), {}, Code.UNPRICED),
        (_v2(OUT, {"amount": {"value": "5", "currency": "usd"}}), {}, Code.UNPRICED),
        (_v2(OUT, {"amount": {"value": -5, "currency": "usd"}}), {}, Code.UNPRICED),
        (_v2(OUT, {"amount": {"value": True, "currency": "usd"}}), {}, Code.UNPRICED),
        (_v2(OUT, {"amount": {"value": 5, "currency": "us"}}), {}, Code.UNPRICED),
        (post("/v1/transfers/tr_1/reversals"), {"/v1/transfers/tr_1": {"id": "tr_2"}}, Code.UNPRICED),
        (post("/v1/treasury/credit_reversals"), {}, Code.UNPRICED),
        (post("/v1/treasury/credit_reversals", b"received_credit=a%2Fb"), {}, Code.UNPRICED),
        (post(ORDERS, b"product=clim_1&metric_tons=1"), PRODUCT, Code.UNPRICED),
        (post(ORDERS, b"product=clim_1&metric_tons=1&currency=eur"), PRODUCT, Code.UNPRICED),
        (post(ORDERS, b"product=clim_1&metric_tons=1&amount=5&currency=usd"), PRODUCT, Code.UNPRICED),
        (post(ORDERS, b"product=clim_1&currency=usd"), PRODUCT, Code.UNPRICED),
        (post("/v1/customers/cus_1", b"balance=5"), POOR, Code.UNPRICED),
        (post("/v1/customers/cus_1", b"balance=1.5"), {}, Code.MALFORMED),
        (post("/v1/customers/cus_1/balance_transactions", b"amount=--5&currency=usd"), {}, Code.MALFORMED),
        (post(f"{READER}/confirm_payment_intent"), {}, Code.UNPRICED),
        (post(f"{READER}/confirm_payment_intent", SURCHARGED), {PI: intent()}, Code.UNPRICED),
        (post("/v1/customers/cus_1", b"cash_balance[settings][reconciliation_mode]=automatic"), {}, Code.UNPRICED),
    ],
)  # fmt: skip
def test_an_amount_that_is_not_certain_is_refused(plan: Plan, answers: dict[str, Any], code: Code) -> None:
    """Not there, not whole, of another object, or without a currency."""
    assert code == refused(plan, answers)
