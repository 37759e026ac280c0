"""``POST Calls/{CallSid}/Payments.json``: a payment that the caller makes by keypad, priced like any charge.

``ChargeAmount`` is a decimal in the currency's major unit, as text, and less than 1,000,000; ``Currency`` is USD unless
given; without an amount, or with 0, a card is only stored (Twilio's OpenAPI document of 2026-04-14, and
twilio.com/docs/voice/twiml/pay). Twilio bills each transaction on top. What is counted is counted when the payment is
opened: completing it later, by ``Payments/{Sid}.json``, adds nothing.
"""

import re
from dataclasses import dataclass

from runcap.decision import Code, refuse
from runcap.fx import Rates
from runcap.money import ceil_div
from runcap.vendors.base import Quote
from runcap.vendors.form import Form
from runcap.vendors.stripe.amounts import exponent
from runcap.vendors.twilio.prices import Fee, Prices

_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,5})(?:\.([0-9]{1,4}))?", re.ASCII)
_CURRENCY = re.compile(r"[A-Za-z]{3}", re.ASCII)

_PRICE_NEUTRAL = frozenset({
    "IdempotencyKey", "StatusCallback", "BankAccountType", "Description", "Input", "MinPostalCodeLength",
    "PaymentConnector", "PaymentMethod", "PostalCode", "SecurityCode", "Timeout", "TokenType", "ValidCardTypes",
    "RequireMatchingInputs", "Confirmation",
})  # fmt: skip
"""``Parameter`` is not among them: it hands the payment processor settings of its own."""
_UPDATE = frozenset({"IdempotencyKey", "StatusCallback", "Capture", "Status"})


@dataclass(frozen=True, slots=True)
class Payment:
    """What a payment costs by."""

    digits: int
    """The amount without its point."""
    decimals: int
    currency: str


def read_payment(form: Form) -> Payment:
    """Read the parameters of a new payment.

    Raises:
        Refused: ``malformed`` or ``unpriced``, naming the parameter.
    """
    unknown = form.names - _PRICE_NEUTRAL - {"ChargeAmount", "Currency"}
    if unknown:
        raise refuse(Code.UNPRICED, f"runcap does not know what {min(unknown)} does to a payment.")
    amount = _AMOUNT.fullmatch(form.get("ChargeAmount") or "0")
    if amount is None:
        raise refuse(Code.MALFORMED, "ChargeAmount must be a plain decimal below 1000000, such as 19.99.")
    currency = form.get("Currency") or "USD"
    if _CURRENCY.fullmatch(currency) is None:
        raise refuse(Code.MALFORMED, "Currency must be a three-letter code, such as USD.")
    decimals = amount.group(2) or ""
    return Payment(int(amount.group(1) + decimals), len(decimals), currency.upper())


def price_payment(payment: Payment, prices: Prices, rates: Rates) -> Quote:
    """The charge and Twilio's fee for it; `Quote.amount_minor` is the charge in minor units, rounded up.

    Raises:
        Refused: ``unpriced`` if there is no rate for the currency.
    """
    charge = rates.usd_micros(payment.digits, payment.decimals, payment.currency)
    minor = ceil_div(payment.digits * 10 ** exponent(payment.currency), 10**payment.decimals)
    return Quote(charge + prices.fee(Fee.PAYMENT), amount_minor=minor, currency=payment.currency)


def check_payment_update(form: Form) -> None:
    """Allow what drives a payment that was counted when it was opened.

    Raises:
        Refused: ``malformed``, naming the parameter.
    """
    unknown = form.names - _UPDATE
    if unknown:
        raise refuse(Code.MALFORMED, f"{min(unknown)} is not a parameter of a payment that is under way.")
