"""What a customer may be asked to pay at a link, at the most."""

from typing import Any

import pytest

from runcap.decision import Code
from runcap.vendors.base import FREE, Lookup, Quote
from tests.vendors.stripe.helpers import listed, post, price, priced, refused

SESSIONS = "/v1/checkout/sessions"
LINKS = "/v1/payment_links"
PRICE = "/v1/prices/price_1"
USD = 1_000_000
LIMIT = b"&restrictions[completed_sessions][limit]=3"


@pytest.mark.parametrize(
    ("body", "minor"),
    [
        (b"line_items[0][price]=price_1", 1000),
        (b"line_items[0][price]=price_1&line_items[0][quantity]=3", 3000),
        (b"line_items[0][price]=price_1&line_items[0][adjustable_quantity][enabled]=true", 99_000),
        (
            (
                b"line_items[0][price]=price_1&line_items[0][quantity]=9"
                b"&line_items[0][adjustable_quantity][enabled]=true&line_items[0][adjustable_quantity][maximum]=5"
            ),
            9000,
        ),
        (b"line_items[0][price_data][currency]=USD&line_items[0][price_data][unit_amount]=250", 250),
        (b"line_items[0][price]=price_1&optional_items[0][price]=price_1&optional_items[0][quantity]=2", 3000),
        (b"line_items[0][price]=price_1&automatic_tax[enabled]=true", 1300),
        (b"line_items[0][price]=price_1&managed_payments[enabled]=true", 1300),
        (b"line_items[0][price]=price_1&subscription_data[default_tax_rates][]=txr_1", 1090),
        (b"line_items[0][price]=price_1&line_items[0][tax_rates][]=txr_1&line_items[0][tax_rates][]=txr_2", 1120),
        (
            (
                b"line_items[0][price]=price_1&shipping_options[0][shipping_rate]=shr_1"
                b"&shipping_options[1][shipping_rate_data][fixed_amount][amount]=700"
                b"&shipping_options[1][shipping_rate_data][fixed_amount][currency]=usd"
            ),
            1700,
        ),
        (b"line_items[0][price]=price_1&discounts[0][coupon]=half", 1000),
    ],
)
def test_a_session_counts_the_most_that_can_be_paid(body: bytes, minor: int) -> None:
    """Every line at its greatest quantity, optional items, the dearest shipping, and tax; no discount."""
    answers = {
        PRICE: price(),
        "/v1/tax_rates/txr_1": {"id": "txr_1", "percentage": 8.875},
        "/v1/tax_rates/txr_2": {"id": "txr_2", "percentage": 3},
        "/v1/shipping_rates/shr_1": {"id": "shr_1", "fixed_amount": {"amount": 500, "currency": "usd"}},
    }

    assert Quote(minor * 10_000, minor, "USD") == priced(post(SESSIONS, b"mode=payment&" + body), answers)[0]


def test_only_what_can_never_change_may_be_kept() -> None:
    """A tax rate's percentage cannot be updated; a price's amounts in other currencies can."""
    body = b"mode=payment&line_items[0][price]=price_1&line_items[0][tax_rates][]=txr_1"
    answers = {PRICE: price(), "/v1/tax_rates/txr_1": {"id": "txr_1", "percentage": 3}}
    lookups = priced(post(SESSIONS, body), answers)[1]
    assert {PRICE: False, "/v1/tax_rates/txr_1": True} == {lookup.path: lookup.immutable for lookup in lookups}


def test_a_recurring_line_counts_one_renewal_more() -> None:
    """The first period and the next one; metered usage counts when it is reported."""
    licensed = price(recurring={"usage_type": "licensed"})
    metered = price(recurring={"usage_type": "metered"})
    body = b"mode=subscription&line_items[0][price]=price_1&line_items[0][quantity]=2"
    inline = (
        b"mode=subscription&line_items[0][price_data][currency]=usd&line_items[0][price_data][unit_amount]=300"
        b"&line_items[0][price_data][recurring][interval]=month"
    )

    assert 4000 == priced(post(SESSIONS, body), {PRICE: licensed})[0].amount_minor
    assert FREE == priced(post(SESSIONS, body), {PRICE: metered})[0]
    assert 600 == priced(post(SESSIONS, inline))[0].amount_minor


@pytest.mark.parametrize(
    ("found", "currency", "expected"),
    [
        (price(None, unit_amount_decimal="0.5"), b"", (1, "USD")),
        (price(currency_options={"eur": {"unit_amount": 990}, "usd": {"unit_amount": 1000}}), b"", (990, "EUR")),
        (price(currency_options={"eur": {"unit_amount": 990}}), b"&currency=usd", (1000, "USD")),
        (price(currency_options={"eur": {"unit_amount": 10}}), b"&currency=eur", (10, "EUR")),
        (price(None, custom_unit_amount={"maximum": 7000, "minimum": 100}), b"", (7000, "USD")),
        (price(transform_quantity={"divide_by": 10, "round": "down"}), b"", (1000, "USD")),
        (
            price(
                None,
                tiers=[
                    {"up_to": 5, "unit_amount": 300, "flat_amount": 50},
                    {"up_to": None, "unit_amount": None, "unit_amount_decimal": "99.9", "flat_amount": None},
                ],
            ),
            b"",
            (350, "USD"),
        ),
    ],
)
def test_the_dearest_reading_of_a_price_counts(
    found: dict[str, Any], currency: bytes, expected: tuple[int, str]
) -> None:
    """Of its currencies, tiers and the amounts that a customer may choose."""
    quote = priced(post(SESSIONS, b"line_items[0][price]=price_1" + currency), {PRICE: found})[0]

    assert expected == (quote.amount_minor, quote.currency)


def test_saving_a_card_is_free() -> None:
    """Mode setup asks for no money; nor does renaming a session."""
    assert (FREE, []) == priced(post(SESSIONS, b"mode=setup&customer=cus_1"))
    assert (FREE, []) == priced(post(f"{SESSIONS}/cs_1", b"metadata[a]=b"))


def test_a_changed_session_counts_its_old_total_and_what_is_new() -> None:
    """Under its id; a line that exists is found among its lines."""
    session = {"id": "cs_1", "amount_total": 500, "currency": "usd", "automatic_tax": {"enabled": False}}
    answers = {
        f"{SESSIONS}/cs_1": session,
        f"{SESSIONS}/cs_1/line_items": listed({"id": "li_1", "quantity": 1, "price": price()}),
        PRICE: price(),
    }
    body = (
        b"line_items[0][id]=li_1&line_items[0][quantity]=4&line_items[1][price_data][currency]=usd"
        b"&line_items[1][price_data][unit_amount]=20"
    )

    assert Quote(45_200_000, 4520, "USD", "cs_1") == priced(post(f"{SESSIONS}/cs_1", body), answers)[0]
    assert Code.UNPRICED == refused(post(f"{SESSIONS}/cs_1", b"line_items[0][id]=li_2"), answers)
    assert Quote(0, object_id="cs_1") == priced(post(f"{SESSIONS}/cs_1/expire"))[0]


def test_a_payment_link_counts_each_time_it_may_be_paid() -> None:
    """Without a limit it has no price; the message says what to give."""
    line = b"line_items[0][price]=price_1&line_items[0][quantity]=2"

    assert 6000 == priced(post(LINKS, line + LIMIT), {PRICE: price()})[0].amount_minor
    assert Code.UNPRICED == refused(post(LINKS, line), {PRICE: price()})
    assert Code.UNPRICED == refused(post(LINKS, line + b"&restrictions[completed_sessions]="), {PRICE: price()})


def test_a_payment_link_is_changed() -> None:
    """Switching it off or describing it is free; anything that can raise it counts all of it anew."""
    limited = {"id": "plink_1", "restrictions": {"completed_sessions": {"limit": 3, "count": 1}}}
    answers = {
        f"{LINKS}/plink_1": limited,
        f"{LINKS}/plink_1/line_items": listed({"id": "li_1", "quantity": 1, "price": price()}),
        PRICE: price(),
    }
    link = f"{LINKS}/plink_1"

    assert [(FREE, [])] * 2 == [priced(post(link, body)) for body in (b"active=false", b"metadata[a]=b")]
    assert [3900, 11_700, 6500] == [
        priced(post(link, body), answers)[0].amount_minor
        for body in (
            b"active=true",
            b"line_items[0][id]=li_1&line_items[0][quantity]=3",
            b"restrictions[completed_sessions][limit]=5",
        )
    ]
    assert "plink_1" == priced(post(link, b"active=true"), answers)[0].object_id
    unlimited = answers | {link: {"id": "plink_1", "restrictions": None}}
    assert Code.UNPRICED == refused(post(link, b"active=true"), unlimited)
    assert Code.UNPRICED == refused(post(link, b"automatic_tax[enabled]=true"), answers)


def test_a_quote_counts_what_is_due_at_once_and_one_renewal() -> None:
    """As Stripe has computed them."""
    found = {
        "id": "qt_1",
        "currency": "usd",
        "amount_total": 500,
        "computed": {"upfront": {"amount_total": 700}, "recurring": {"amount_total": 300}},
    }
    path = "/v1/quotes/qt_1"

    assert 1000 == priced(post(f"{path}/accept"), {path: found})[0].amount_minor
    once = found | {"computed": {"upfront": {"amount_total": 500}, "recurring": None}}
    assert 500 == priced(post(f"{path}/accept"), {path: once})[0].amount_minor
    assert Code.UNPRICED == refused(post(f"{path}/accept"), {path: found | {"amount_total": None}})


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"mode=payment", price()),
        (b"line_items[0][quantity]=1", price()),
        (b"line_items[0][amount]=500&line_items[0][currency]=usd&line_items[0][name]=x", price()),
        (b"line_items[0][price]=price_1&line_items[0][dynamic_tax_rates][]=txr_1", price()),
        (b"line_items[0][price]=price_1&subscription_data[items][0][plan]=gold", price()),
        (b"line_items[0][price_data][currency]=usd", price()),
        (b"line_items[0][price]=price_1&shipping_options[0][shipping_rate_data][display_name]=x", price()),
        (b"line_items[0][price]=..%2Fcustomers", price()),
        (b"line_items[0][price]=price_1", price(id="price_2")),
        (b"line_items[0][price]=price_1", price(None)),
        (b"line_items[0][price]=price_1", price(None, custom_unit_amount={"maximum": None})),
        (b"line_items[0][price]=price_1", price(currency_options={"xyz": {"unit_amount": 1}})),
        (b"line_items[0][price]=price_1&currency=eur", price()),
        (b"line_items[0][price]=price_1&after_expiration[recovery][enabled]=true", price()),
        (b"line_items[0][price]=price_1", price(transform_quantity={"divide_by": 0})),
    ],
)
def test_what_could_be_paid_must_be_certain(body: bytes, found: dict[str, Any]) -> None:
    """No line without a price, no price without an amount in a currency that has a rate."""
    assert Code.UNPRICED == refused(post(SESSIONS, body), {PRICE: found})


@pytest.mark.parametrize(
    "body",
    [
        b"line_items=x",
        b"line_items[a][price]=price_1",
        b"line_items[0]=price_1",
        b"line_items[0][price]=price_1&line_items[0][quantity]=1e3",
        b"line_items[0][price_data][currency]=usd&line_items[0][price_data][unit_amount]=%2B5",
    ],
)
def test_a_list_or_a_number_in_another_shape_is_malformed(body: bytes) -> None:
    """Two readers could see different lines."""
    assert Code.MALFORMED == refused(post(SESSIONS, body), {PRICE: price()})


def test_amounts_that_links_were_counted_with_do_not_change() -> None:
    """A price's other currencies and a shipping rate's amount stay; the rest of them may be edited."""
    for path, body in (
        ("/v1/prices/price_1", b"currency_options[eur][unit_amount]=999999"),
        ("/v1/shipping_rates/shr_1", b"fixed_amount[currency_options][eur][amount]=5"),
    ):
        assert Code.UNPRICED == refused(post(path, body))
        assert FREE == priced(post(path, b"metadata[a]=b&active=false"))[0]


def test_prices_are_read_with_all_their_amounts() -> None:
    """Tiers and currencies are left out of Stripe's answer unless they are asked for."""
    _, lookups = priced(post(SESSIONS, b"line_items[0][price]=price_1"), {PRICE: price()})

    assert [Lookup(PRICE, "expand[]=tiers&expand[]=currency_options")] == lookups


def test_a_bill_in_two_currencies_is_refused() -> None:
    """Which of them the rest would be in is not for us to guess."""
    line = b"line_items[0][price_data][currency]=usd&line_items[0][price_data][unit_amount]=500"

    assert Code.UNPRICED == refused(post(SESSIONS, b"currency=jpy&" + line))
