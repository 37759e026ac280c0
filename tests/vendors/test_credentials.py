"""What mints or reveals a credential is refused by default, and no catalogue may forget that."""

import re
from typing import Any

import pytest

from runcap.decision import Code, Refused
from runcap.vendors.base import Request
from runcap.vendors.catalogue import data
from tests.vendors.stripe import helpers as stripe

_MINTS = {
    "stripe": re.compile(
        r"(ephemeral_keys|apps/secrets|connection_tokens|/tokens|webhook_endpoints(/\{\w+\})?|event_destinations(/\{\w+\})?"
        r"|login_links|account_links|file_links(/\{\w+\})?|account_sessions|customer_sessions|portal/sessions"
        r"|meter_event_session|onboarding_links)$"
    ),
    "twilio": re.compile(
        r"(/Accounts|/Accounts/\{Sid\}|/Keys|/Keys/\{Sid\}|/SigningKeys|/SigningKeys/\{Sid\}|/Tokens|Credentials"
        r"|Credentials/\{Sid\})\.json$"
    ),
    "resend": re.compile(r"^(/api-keys|/webhooks)(/\{\w+\})?$"),
}
"""Paths whose POST, PUT or PATCH makes or changes a key, a token, a secret, or a link that works without one."""

_REVEALS = (
    ("twilio", "GET", "/2010-04-01/Accounts.json"),  # auth_token of each account
    ("twilio", "GET", "/2010-04-01/Accounts/{Sid}.json"),
    ("resend", "GET", "/webhooks/{webhook_id}"),  # signing_secret
    ("resend", "GET", "/logs/{log_id}"),  # the answers of other calls
)


def rows(vendor: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = data(f"{vendor}_catalogue.json")["operations"]
    return found


@pytest.mark.parametrize("vendor", _MINTS)
def test_what_mints_a_credential_is_denied(vendor: str) -> None:
    """By the shape of its path; each pattern is known to match several operations."""
    minting = [
        row
        for row in rows(vendor)
        if row["method"] in ("POST", "PUT", "PATCH") and _MINTS[vendor].search(row["template"])
    ]
    assert {"stripe": 13, "twilio": 9, "resend": 4}[vendor] <= len(minting)
    assert [] == [f"{row['method']} {row['template']}" for row in minting if row["kind"] != "denied"]


def test_what_reveals_a_credential_is_denied() -> None:
    """Answers that hold a secret by themselves."""
    kinds = {(vendor, row["method"], row["template"]): row["kind"] for vendor in _MINTS for row in rows(vendor)}
    assert ["denied"] * len(_REVEALS) == [kinds[operation] for operation in _REVEALS]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/v1/issuing/cards/ic_1", "expand[]=number"),
        ("/v1/issuing/cards/ic_1", "expand[0]=cvc"),
        ("/v1/issuing/cards", "expand[]=data.number"),
        ("/v1/issuing/authorizations/iauth_1", "expand[]=card.cvc"),
        ("/v1/apps/secrets/find", "expand[]=payload&name=x&scope[type]=account"),
        ("/v1/apps/secrets", "expand[]=data.payload&scope[type]=account"),
        ("/v2/core/event_destinations/ed_1", "include[0]=webhook_endpoint.signing_secret"),
        ("/v2/core/event_destinations", "include[]=webhook_endpoint.signing_secret"),
    ],
)
def test_an_expand_that_reveals_is_refused(path: str, query: str) -> None:
    """The reads are free, and what a parameter adds to their answers is not."""
    with pytest.raises(Refused) as refused:
        stripe.VENDOR.plan(Request("GET", path, query, (), b""))
    assert Code.OPERATION_NOT_ALLOWED is refused.value.deny.code
