from datetime import date
from fractions import Fraction

import pytest

from runcap.decision import Code
from runcap.fx import Rates
from runcap.vendors.base import FREE
from runcap.vendors.twilio import Twilio
from tests.vendors.twilio.helpers import SID, post, quote, refusal

PAYMENTS = f"/2010-04-01/Accounts/{SID}/Calls/CA1/Payments.json"
SESSION = (("IdempotencyKey", "k"), ("StatusCallback", "https://example.com"))
FEE = 200_000
"""0.10 a transaction, with the margin of a price without a source."""

RATES = Rates(date(2026, 11, 2), {"EUR": Fraction("1.1"), "JPY": Fraction("0.0065")}, "test", margin_permille=20)
twilio = Twilio(SID, rates=RATES)


@pytest.mark.parametrize(
    ("amount", "micros", "minor"),
    [
        ("19.99", 19_990_000, 1999),
        ("20", 20_000_000, 2000),
        ("0.5", 500_000, 50),
        ("0.005", 5_000, 1),
        ("999999.99", 999_999_990_000, 99_999_999),
        ("0", 0, 0),
        ("0.00", 0, 0),
    ],
)
def test_a_charge_is_a_decimal_in_dollars(amount: str, micros: int, minor: int) -> None:
    """Major units, as Twilio writes them; the fee on top."""
    priced = quote(post(PAYMENTS, *SESSION, ("ChargeAmount", amount)), vendor=twilio)
    assert (micros + FEE, minor, "USD") == (priced.micros, priced.amount_minor, priced.currency)


def test_other_currencies_are_converted_rounding_up() -> None:
    """With the rates' margin: 10 EUR at 1.1, 1000 JPY at 0.0065, both 2 % dearer."""
    euros = quote(post(PAYMENTS, *SESSION, ("ChargeAmount", "10.00"), ("Currency", "eur")), vendor=twilio)
    assert (11_220_000 + FEE, 1000, "EUR") == (euros.micros, euros.amount_minor, euros.currency)
    yen = quote(post(PAYMENTS, *SESSION, ("ChargeAmount", "1000"), ("Currency", "JPY")), vendor=twilio)
    assert (6_630_000 + FEE, 1000, "JPY") == (yen.micros, yen.amount_minor, yen.currency)


def test_storing_a_card_costs_the_fee() -> None:
    """No amount, no charge."""
    assert FEE == quote(post(PAYMENTS, *SESSION, ("TokenType", "reusable")), vendor=twilio).micros


@pytest.mark.parametrize(
    "amount", ["-1", "+1", "1e3", "1,50", ".5", "5.", "01", " 1", "1000000", "1.00001", "\u0661", "0x10", "1_0", "NaN"]
)
def test_amounts_that_cannot_be_read(amount: str) -> None:
    """Only a plain decimal below a million."""
    assert Code.MALFORMED == refusal(post(PAYMENTS, *SESSION, ("ChargeAmount", amount)), vendor=twilio)[0]


def test_a_currency_without_a_rate_or_a_name() -> None:
    """Refused."""
    amount = ("ChargeAmount", "1")
    assert Code.UNPRICED == refusal(post(PAYMENTS, *SESSION, amount, ("Currency", "XXX")), vendor=twilio)[0]
    assert Code.MALFORMED == refusal(post(PAYMENTS, *SESSION, amount, ("Currency", "dollars")), vendor=twilio)[0]


@pytest.mark.parametrize("name", ["Parameter", "Amount", "chargeamount"])
def test_what_could_change_the_charge_is_refused_by_name(name: str) -> None:
    """The processor's own settings among it."""
    code, message = refusal(post(PAYMENTS, *SESSION, (name, "1")), vendor=twilio)
    assert (Code.UNPRICED, True) == (code, name in message)


def test_driving_a_payment_is_free() -> None:
    """It was counted when it was opened; it takes no amount."""
    path = f"/2010-04-01/Accounts/{SID}/Calls/CA1/Payments/PK1.json"
    assert FREE == quote(post(path, *SESSION, ("Capture", "payment-card-number")))
    assert FREE == quote(post(path, *SESSION, ("Status", "complete")))
    assert Code.MALFORMED == refusal(post(path, *SESSION, ("ChargeAmount", "5")))[0]
