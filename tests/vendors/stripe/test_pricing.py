"""What each priced operation costs at the most."""

from typing import Any

import pytest

from runcap.decision import Code, Refused
from runcap.vendors.base import FREE, Lookup, Quote
from tests.vendors.stripe.helpers import VENDOR, charge, intent, post, priced, request

PI = "/v1/payment_intents/pi_1"
CH = "/v1/charges/ch_1"
USD = 1_000_000


def test_a_payment_intent_is_counted_when_it_is_created() -> None:
    """Confirmed or not: its client_secret can confirm it elsewhere. Parts of the amount are not added to it."""
    bodies = (
        b"amount=2000&currency=usd",
        b"amount=2000&currency=usd&confirm=true&capture_method=manual",
        b"amount=2000&currency=usd&application_fee_amount=100&transfer_data[amount]=1500&amount_details[tip]=1",
    )

    for body in bodies:
        assert (Quote(20 * USD, 2000, "USD"), []) == priced(post("/v1/payment_intents", body))


@pytest.mark.parametrize(
    ("body", "total"),
    [
        (b"amount=5000&currency=usd", Quote(50 * USD, 5000, "USD", "pi_1")),
        (b"amount=5000", Quote(50 * USD, 5000, "USD", "pi_1")),
        (b"currency=eur", Quote(22_440_000, 2000, "EUR", "pi_1")),
        (b"description=x", FREE),
    ],
)
def test_an_update_is_quoted_as_the_new_total(body: bytes, total: Quote) -> None:
    """What is not in the body is looked up; an update that leaves the amount alone is free."""
    assert total == priced(post(PI, body), {PI: intent()})[0]


@pytest.mark.parametrize(
    ("body", "found", "amount"),
    [
        (b"", intent(), 2000),
        (b"payment_method=pm_1", intent(amount_received=500), 2000),
        (b"amount_to_confirm=500", intent(), 2000),
        (b"amount_to_confirm=9900", intent(), 9900),
        (b"", intent(status="succeeded", amount_received=1500), 1500),
        (b"", intent(status="canceled"), 0),
    ],
)
def test_confirm_is_quoted_as_the_intents_total(body: bytes, found: dict[str, Any], amount: int) -> None:
    """The whole amount as looked up, or more if more is confirmed; what has ended cannot grow."""
    expected = Quote(amount * 10_000, amount, "USD", "pi_1")

    assert (expected, [Lookup(PI)]) == priced(post(f"{PI}/confirm", body), {PI: found})


@pytest.mark.parametrize(
    ("body", "found", "amount"),
    [
        (b"", intent(amount_capturable=2000), 2000),
        (b"amount_to_capture=1500", intent(amount_capturable=2000), 2000),
        (b"amount_to_capture=2600", intent(amount_capturable=2000), 2600),
        (b"amount_to_capture=900&final_capture=false", intent(amount_received=1500, amount_capturable=500), 2400),
    ],
)
def test_capture_counts_over_capture_and_what_was_captured_before(
    body: bytes, found: dict[str, Any], amount: int
) -> None:
    """Never less than the authorized amount: the rest is given back once Stripe says that it ended."""
    assert Quote(amount * 10_000, amount, "USD", "pi_1") == priced(post(f"{PI}/capture", body), {PI: found})[0]


def test_an_increment_names_the_new_total() -> None:
    """Stripe's ``amount`` here is the total, not the difference."""
    plan = post(f"{PI}/increment_authorization", b"amount=3000")

    assert Quote(30 * USD, 3000, "USD", "pi_1") == priced(plan, {PI: intent(amount_capturable=2000)})[0]


def test_cancel_costs_nothing_and_names_the_intent() -> None:
    """So that what was counted for it can be given back."""
    assert (Quote(0, object_id="pi_1"), []) == priced(post(f"{PI}/cancel"))


def test_charges() -> None:
    """A charge counts as itself; one that a PaymentIntent made counts as the PaymentIntent."""
    capture = post(f"{CH}/capture", b"amount=1500")

    assert Quote(20 * USD, 2000, "USD") == priced(post("/v1/charges", b"amount=2000&currency=usd&source=tok"))[0]
    assert Quote(20 * USD, 2000, "USD", "ch_1") == priced(capture, {CH: charge()})[0]
    assert Quote(20 * USD, 2000, "USD", "pi_1") == priced(capture, {CH: charge(payment_intent="pi_1")})[0]
    assert FREE == priced(post(CH, b"description=x"))[0]


@pytest.mark.parametrize(
    ("body", "answers", "quote", "lookup"),
    [
        (b"charge=ch_1", {CH: charge(amount_refunded=500)}, Quote(15 * USD, 1500, "USD"), Lookup(CH)),
        (b"charge=ch_1&amount=300", {CH: charge()}, Quote(3 * USD, 300, "USD"), Lookup(CH)),
        (b"charge=ch_1", {CH: charge(currency="jpy")}, Quote(13_464_000, 2000, "JPY"), Lookup(CH)),
        (
            b"payment_intent=pi_1",
            {PI: intent(latest_charge=charge(amount_refunded=2000))},
            Quote(0, 0, "USD"),
            Lookup(PI, "expand[]=latest_charge"),
        ),
        (
            b"charge=ch_1&refund_application_fee=true",
            {CH: charge()},
            Quote(40 * USD, 2000, "USD"),
            Lookup(CH),
        ),
    ],
)
def test_a_refund_counts_its_amount_or_the_remainder(
    body: bytes, answers: dict[str, Any], quote: Quote, lookup: Lookup
) -> None:
    """Money going out counts like money charged; the currency is the charge's."""
    assert (quote, [lookup]) == priced(post("/v1/refunds", body), answers)


@pytest.mark.parametrize(
    ("path", "body", "micros"),
    [
        ("/v1/transfers", b"amount=7000&currency=usd&destination=acct_1", 70 * USD),
        ("/v1/payouts", b"amount=7000&currency=usd", 70 * USD),
        ("/v1/payouts", b"amount=7000&currency=usd&method=standard", 70 * USD),
        ("/v1/payouts", b"amount=7000&currency=usd&method=instant", 71_550_000),
        ("/v1/payouts", b"amount=7000&currency=usd&method=", 71_550_000),
        ("/v1/topups", b"amount=7000&currency=usd", 70 * USD),
    ],
)
def test_money_going_out_counts(path: str, body: bytes, micros: int) -> None:
    """An instant payout costs 1.5 % and half a dollar on top; what is not plainly standard may be instant."""
    assert micros == priced(post(path, body))[0].micros


@pytest.mark.parametrize(
    ("amount", "currency", "micros"),
    [
        (2000, "usd", 20_000_000),
        (2000, "EUR", 22_440_000),
        (1, "jpy", 6_732),
        (1000, "kwd", 3_315_000),
        (100, "ugx", 27_540),
    ],
)
def test_currencies_have_stripes_exponents(amount: int, currency: str, micros: int) -> None:
    """Yen have no decimals, dinars three; shillings of Uganda count as whole, the dearer of two readings."""
    plan = post("/v1/payment_intents", f"amount={amount}&currency={currency}".encode())

    assert Quote(micros, amount, currency.upper()) == priced(plan)[0]


@pytest.mark.parametrize(
    ("path", "body", "answers", "code"),
    [
        ("/v1/payment_intents", b"amount=1&currency=xyz", {}, Code.UNPRICED),
        ("/v1/payment_intents", b"amount=1", {}, Code.UNPRICED),
        ("/v1/payment_intents", b"currency=usd", {}, Code.UNPRICED),
        ("/v1/payment_intents", b"amount=1001&currency=kwd", {}, Code.MALFORMED),
        ("/v1/payment_intents", b"amount=150&currency=isk", {}, Code.MALFORMED),
        ("/v1/transfers", b"source_transaction=ch_1&currency=usd", {}, Code.UNPRICED),
        ("/v1/payouts", b"amount=1", {}, Code.UNPRICED),
        (f"{PI}/confirm", b"", {PI: {}}, Code.UNPRICED),
        (f"{PI}/confirm", b"", {PI: intent(id="pi_2")}, Code.UNPRICED),
        (f"{PI}/confirm", b"", {PI: intent(amount=None)}, Code.UNPRICED),
        (f"{PI}/confirm", b"", {PI: intent(amount=20.0)}, Code.UNPRICED),
        (f"{PI}/confirm", b"", {PI: intent(amount=True)}, Code.UNPRICED),
        (f"{PI}/confirm", b"", {PI: intent(currency=None)}, Code.UNPRICED),
        (f"{PI}/increment_authorization", b"", {PI: intent()}, Code.UNPRICED),
        (f"{PI}/capture", b"amount_to_capture=1e3", {PI: intent()}, Code.MALFORMED),
        ("/v1/refunds", b"amount=1", {}, Code.UNPRICED),
        ("/v1/refunds", b"charge=ch_1&payment_intent=pi_1", {}, Code.UNPRICED),
        ("/v1/refunds", b"charge=../customers", {}, Code.UNPRICED),
        ("/v1/refunds", b"charge=ch_1%3Fexpand", {}, Code.UNPRICED),
        ("/v1/refunds", b"charge[]=ch_1", {}, Code.MALFORMED),
        ("/v1/refunds", b"payment_intent=pi_1", {PI: intent(latest_charge="ch_1")}, Code.UNPRICED),
        ("/v1/customers", b"balance=-1000", {}, Code.UNPRICED),
        ("/v1/customers", b"plan=gold&source=tok_visa", {}, Code.UNPRICED),
        ("/v1/customers/cus_1", b"account_balance=-1", {}, Code.UNPRICED),
        ("/v1/customers/cus_1", b"source=tok_visa", {}, Code.UNPRICED),
    ],
)
def test_what_has_no_certain_price_is_refused(path: str, body: bytes, answers: dict[str, Any], code: Code) -> None:
    """A missing amount, an unknown currency or an answer that does not tell is no reason to guess."""
    with pytest.raises(Refused) as caught:
        priced(post(path, body), answers)

    assert code == caught.value.deny.code


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/customers", b"email=a%40example.com&source=tok_visa&balance=0&preferred_locales[]=en"),
        ("/v1/customers/cus_1", b"metadata[a]=b"),
        ("/v1/payment_methods", b"type=card&card[token]=tok_visa"),
        ("/v1/payment_methods/pm_1/attach", b"customer=cus_1"),
        ("/v1/payment_methods/pm_1/detach", b""),
        ("/v1/products", b"name=Hat&default_price_data[unit_amount]=2000&default_price_data[currency]=usd"),
        ("/v1/prices", b"unit_amount=2000&currency=usd&product=prod_1"),
        ("/v1/setup_intents", b"confirm=true&payment_method=pm_1"),
    ],
)
def test_what_moves_nothing_is_free(path: str, body: bytes) -> None:
    """The common writes that only describe something cost nothing, and need no lookup."""
    assert (FREE, []) == priced(post(path, body))


def test_reads_and_denied_operations_have_no_price() -> None:
    """A denied one is planned all the same: the ledger knows whether the run may use it."""
    read = VENDOR.plan(request("GET", "/v1/payment_intents", query="limit=3"))

    assert (FREE, FREE) == (priced(read)[0], priced(post("/v1/account_links", b"account=acct_1"))[0])
