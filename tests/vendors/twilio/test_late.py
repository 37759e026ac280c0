"""Twilio's prices that come later, as the reconciler asks for them."""

import pytest

from runcap.fx import Rates
from runcap.vendors.twilio.late import LatePrices
from runcap.vendors.twilio.prices import Prices
from tests.vendors.twilio.helpers import SID

SEND = "POST /2010-04-01/Accounts/{AccountSid}/Messages.json"
MESSAGE, REQUEST = "SM" + "0" * 32, "RQ" + "0" * 32

late = LatePrices(SID, Prices.bundled, Rates.bundled())


@pytest.mark.parametrize(
    ("operation", "resource", "expected"),
    [
        (SEND, MESSAGE, f"/2010-04-01/Accounts/{SID}/Messages/{MESSAGE}.json"),
        ("GET /2010-04-01/Accounts/{AccountSid}/Messages.json", MESSAGE, None),
        ("POST /no/such/{thing}", MESSAGE, None),
        (SEND, "../../secrets", None),
    ],
)
def test_only_what_was_made_is_asked_for(operation: str, resource: str, expected: str | None) -> None:
    """By the operation's name in the audit and the SID in its row."""
    assert expected == late.path(operation, resource)


def test_a_price_that_is_known() -> None:
    """In micros, and in Twilio's words."""
    found = {"status": "delivered", "price": "-0.00830", "price_unit": "USD"}
    assert (8_300, "delivered, price -0.00830 USD") == late.read(SEND, found)


def test_a_price_that_is_not_known_yet() -> None:
    """It says why."""
    assert (None, "the message is queued") == late.read(SEND, {"status": "queued", "price": None})
