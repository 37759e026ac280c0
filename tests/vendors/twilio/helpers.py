"""Calls to Twilio as an agent would make them, and the vendor that reads them."""

import base64
from typing import Any
from urllib.parse import urlencode

import pytest

from runcap.decision import Code, Refused
from runcap.vendors.base import Quote, Request
from runcap.vendors.twilio import Twilio
from tests.vendors.pricing import quote_of

SID = "AC" + "0123456789abcdef" * 2
MESSAGES = f"/2010-04-01/Accounts/{SID}/Messages.json"
CALLS = f"/2010-04-01/Accounts/{SID}/Calls.json"
FORM = ("content-type", "application/x-www-form-urlencoded")
US = "+14155550100"

twilio = Twilio(SID)


def basic(pair: str) -> tuple[str, str]:
    return ("authorization", "Basic " + base64.b64encode(pair.encode()).decode())


def post(path: str, *pairs: tuple[str, str], body: bytes | None = None) -> Request:
    """A POST with these parameters, or this very body."""
    encoded = urlencode(pairs).encode() if body is None else body
    return Request("POST", path, "", (FORM, basic(f"{SID}:vk_x")), encoded)


def get(path: str, query: str = "") -> Request:
    return Request("GET", path, query, (basic(f"{SID}:vk_x"),), b"")


def quote(request: Request, *answers: dict[str, Any], vendor: Twilio = twilio) -> Quote:
    """Price a call from its bytes; each lookup is answered with the next of these."""
    return quote_of(vendor, request, *answers)


def refusal(request: Request, *answers: dict[str, Any], vendor: Twilio = twilio) -> tuple[Code, str]:
    """Why a call is refused while it is read or priced."""
    with pytest.raises(Refused) as refused:
        quote(request, *answers, vendor=vendor)
    return refused.value.deny.code, refused.value.deny.message
