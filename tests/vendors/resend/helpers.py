"""Calls to Resend as an agent would make them, and the vendor that reads them."""

import json
from typing import Any

import pytest

from runcap.decision import Code, Refused
from runcap.vendors.base import Quote, Request
from runcap.vendors.resend import Resend
from tests.vendors.pricing import quote_of

JSON = ("content-type", "application/json")
EMAIL = {"from": "a@example.com", "to": "b@example.com", "subject": "s", "text": "t"}

resend = Resend()


def post(path: str, decoded: Any = None, *headers: tuple[str, str], body: bytes | None = None) -> Request:
    """A POST of this JSON, or of this very body."""
    encoded = json.dumps(decoded).encode() if body is None else body
    return Request("POST", path, "", (JSON, *headers), encoded)


def quote(request: Request, *answers: dict[str, Any]) -> Quote:
    """Price a call from its bytes; each lookup is answered with the next of these."""
    return quote_of(resend, request, *answers)


def refusal(request: Request, *answers: dict[str, Any]) -> tuple[Code, str]:
    """Why a call is refused while it is read or priced."""
    with pytest.raises(Refused) as refused:
        quote(request, *answers)
    return refused.value.deny.code, refused.value.deny.message
