import base64
import json
import re

import pytest
from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped]
from twilio.http import HttpClient  # type: ignore[import-untyped]
from twilio.http.response import Response as SdkResponse  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

from runcap.decision import CapHit, Code, Deny, Refused
from runcap.vendors.base import FREE, Kind, Request
from runcap.vendors.catalogue import known
from runcap.vendors.twilio import Twilio, pricing
from tests.vendors.twilio.helpers import FORM, MESSAGES, SID, US, basic, get, post, quote, refusal, twilio

ACCOUNT = f"/2010-04-01/Accounts/{SID}"
KEY = "vk_" + "a" * 40


def credential_refusal(*headers: tuple[str, str]) -> Code:
    with pytest.raises(Refused) as refused:
        twilio.credential(Request("GET", MESSAGES, "", headers, b""))
    return refused.value.deny.code


def test_the_vault_key_is_the_password() -> None:
    """As TWILIO_AUTH_TOKEN is."""
    assert KEY == twilio.credential(Request("GET", MESSAGES, "", (basic(f"{SID}:{KEY}"),), b""))


def test_no_credential_is_key_missing() -> None:
    """Nothing was sent."""
    assert Code.KEY_MISSING == credential_refusal()


@pytest.mark.parametrize(
    "value",
    [
        basic(f"{SID}:{KEY}:x")[1],
        basic(SID)[1],
        basic(f"{SID}:")[1],
        basic(f":{KEY}")[1],
        basic(f"SK0123:{KEY}")[1],
        basic(f"AC{'f' * 32}:{KEY}")[1],
        basic(f"{SID}:{KEY} x")[1],
        basic(f"{SID}:é")[1],
        f"Bearer {KEY}",
        "Basic !!!",
        "Basic",
        "",
    ],
)
def test_credentials_that_cannot_be_read_in_one_way(value: str) -> None:
    """A second colon, no colon, another user, another scheme, no Base64."""
    assert Code.MALFORMED == credential_refusal(("authorization", value))


def test_two_authorization_headers() -> None:
    """Which one counts is anyone's guess."""
    assert Code.MALFORMED == credential_refusal(basic(f"{SID}:{KEY}"), basic(f"{SID}:other"))


def test_the_real_secret_goes_in_as_basic() -> None:
    """User is the account, password the real token; an idempotency key is not sent, Twilio has none."""
    signature = twilio.sign(twilio.plan(get(MESSAGES)), "real", "key")
    expected = base64.b64encode(f"{SID}:real".encode()).decode()
    assert (("authorization", f"Basic {expected}"),) == signature


def test_without_an_account_every_call_is_refused() -> None:
    """The operator has not said which account to protect."""
    with pytest.raises(Refused) as refused:
        Twilio(None).credential(get(MESSAGES))
    assert Code.INTERNAL == refused.value.deny.code


@pytest.mark.parametrize("path", ["/2010-04-01/Accounts/{}.json", "/2010-04-01/Accounts/{}/Messages.json"])
def test_another_account_in_the_path(path: str) -> None:
    """The secret's power over subaccounts is not lent out."""
    assert Code.OPERATION_NOT_ALLOWED == refusal(get(path.format("AC" + "f" * 32)))[0]


@pytest.mark.parametrize(
    "path",
    [
        f"{ACCOUNT}/Messages",
        f"{ACCOUNT}/Messages.csv",
        f"{ACCOUNT}/messages.json",
        f"{ACCOUNT}/Messages.json/",
        f"{ACCOUNT}/Messages/SM1.json.json",
        f"{ACCOUNT}/SMS/Messages.json",
        "/2008-08-01/Accounts/" + SID + "/Messages.json",
        "/v1/Services",
    ],
)
def test_unknown_paths(path: str) -> None:
    """XML, other versions, other spellings: not in the catalogue, refused."""
    assert Code.OPERATION_UNKNOWN == refusal(post(path, ("To", US)))[0]
    assert Code.OPERATION_UNKNOWN == refusal(get(path))[0]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ACCOUNT + ".json"),
        ("GET", "/2010-04-01/Accounts.json"),
        ("POST", "/2010-04-01/Accounts.json"),
        ("POST", ACCOUNT + ".json"),
        ("POST", ACCOUNT + "/Keys.json"),
        ("POST", ACCOUNT + "/SigningKeys.json"),
        ("POST", ACCOUNT + "/Tokens.json"),
        ("POST", ACCOUNT + "/Calls/CA1/Recordings.json"),
        ("POST", ACCOUNT + "/Calls/CA1/Transcriptions.json"),
        ("POST", ACCOUNT + "/IncomingPhoneNumbers/PN1/AssignedAddOns.json"),
        ("POST", ACCOUNT + "/SIP/Domains.json"),
        ("DELETE", ACCOUNT + "/Messages/SM1.json"),
    ],
)
def test_what_is_denied_by_default(method: str, path: str) -> None:
    """Credentials, recurring costs, further legs, destruction: planned as denied, with a reason."""
    request = Request(method, path, "", (FORM,), b"")
    operation = twilio.plan(request).operation
    assert Kind.DENIED == operation.kind
    assert operation.reason


def test_a_read_is_free_and_keeps_its_filters() -> None:
    """The query is read strictly and written anew."""
    request = get(MESSAGES, "DateSent%3E=2026-01-01&PageSize=50")
    assert FREE == quote(request)
    assert "DateSent%3E=2026-01-01&PageSize=50" == twilio.plan(request).upstream.query


def test_a_post_takes_no_query() -> None:
    """A server might merge it with the body."""
    request = Request("POST", MESSAGES, "To=%2B14165551234", (FORM,), b"To=%2B14155550100&Body=hi")
    assert Code.MALFORMED == refusal(request)[0]


@pytest.mark.parametrize(
    "media_type",
    [None, "application/json", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded; charset=utf-16"],
)
def test_the_body_must_be_what_it_says(media_type: str | None) -> None:
    """JSON, multipart, another charset, nothing: refused."""
    headers = () if media_type is None else (("content-type", media_type),)
    assert Code.MALFORMED == refusal(Request("POST", MESSAGES, "", headers, b"To=%2B14155550100&Body=hi"))[0]


def test_headers_are_an_allow_list() -> None:
    """Only accept and user-agent pass; the content type is our own."""
    request = post(MESSAGES, ("To", US), ("Body", "hi"))
    extra = (("user-agent", "twilio-python"), ("cookie", "a=b"), ("i-twilio-idempotency-token", "x"))
    request = Request(request.method, request.path, "", (*request.headers, *extra), request.body)
    assert (("user-agent", "twilio-python"), FORM) == twilio.plan(request).upstream.headers


@pytest.mark.parametrize(
    ("method", "template", "pricer"),
    [
        ("POST", "/Messages.json", "message"),
        ("POST", "/Calls.json", "call"),
        ("POST", "/Calls/{Sid}.json", "call_update"),
        ("POST", "/Calls/{CallSid}/Payments.json", "payment"),
        ("POST", "/Conferences/{ConferenceSid}/Participants.json", "participant"),
        ("POST", "/IncomingPhoneNumbers.json", "purchase"),
        ("POST", "/IncomingPhoneNumbers/Local.json", "purchase"),
        ("POST", "/IncomingPhoneNumbers/Mobile.json", "purchase"),
        ("POST", "/IncomingPhoneNumbers/TollFree.json", "purchase"),
    ],
)
def test_what_is_priced(method: str, template: str, pricer: str) -> None:
    """Each by its pricer."""
    path = re.sub(r"\{[A-Za-z]+\}", "XX1", template)
    operation, _ = known("twilio_catalogue.json").find(method, ACCOUNT + path)
    assert (Kind.PRICED, pricer) == (operation.kind, operation.pricer)


def test_nothing_else_is_priced() -> None:
    """What is not in the list above is free or denied."""
    operations = known("twilio_catalogue.json").operations.operations
    assert 9 == sum(operation.kind is Kind.PRICED for operation in operations)


def test_every_pricer_exists() -> None:
    """A catalogue that names another one would fail on the first call; none is left over."""
    named = {operation.pricer for operation in known("twilio_catalogue.json").operations.operations}
    assert named == {"", *pricing._READERS, *pricing._CHECKS}


def test_every_denied_operation_has_a_reason() -> None:
    """The agent's developer is told why."""
    operations = known("twilio_catalogue.json").operations.operations
    assert [] == [op.name for op in operations if op.kind is Kind.DENIED and not op.reason]


class Refusing(HttpClient):  # type: ignore[misc]
    """The SDK's transport, answering as runcap would."""

    def __init__(self, deny: Deny) -> None:
        self.deny = deny

    def request(self, *args: object, **kwargs: object) -> SdkResponse:
        body, _ = twilio.error(self.deny)
        return SdkResponse(self.deny.status, json.dumps(body))


def test_the_sdk_raises_its_own_error() -> None:
    """twilio-python hands on status, message and runcap's code."""
    cap = CapHit("run", "01X", "day", 500_000_000, 490_000_000, "2026-11-25T00:00:00Z")
    deny = Deny(Code.CAP_EXHAUSTED, "The cap is reached.", "01X", "sms-bot", 20_000_000, cap)
    client = Client(SID, KEY, http_client=Refusing(deny))
    with pytest.raises(TwilioRestException) as raised:
        client.messages.create(to=US, from_="+14155550199", body="hi")
    assert (429, "cap_exhausted") == (raised.value.status, raised.value.code)
    assert "The cap is reached." in str(raised.value)


def test_the_error_carries_runcaps_own_fields() -> None:
    """The contract's fields stand at the top level beside Twilio's."""
    body, headers = twilio.error(Deny(Code.UNPRICED, "No price.", "01X", "sms-bot"))
    assert ("unpriced", "No price.", "01X", "sms-bot", "twilio", 422) == (
        body["code"],
        body["message"],
        body["run_id"],
        body["label"],
        body["vendor"],
        body["status"],
    )
    assert "more_info" in body
    assert () == headers
