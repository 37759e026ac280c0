"""The rules that a request must meet before vendor code reads it."""

from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from runcap.decision import Code, Refused
from runcap.entrance.admission import admit, audit_path
from runcap.entrance.wire import Message

STRIPE: Any = SimpleNamespace(name="stripe", host="api.stripe.com")
GOOD = Message("POST", "/v1/charges", (("host", "api.stripe.com"), ("authorization", "Bearer x")), b"amount=1", True)


def test_a_plain_request_is_admitted() -> None:
    """Host, path and body of an ordinary call pass unchanged."""
    request = admit(GOOD, STRIPE, gateway=False)

    assert (request.method, request.path, request.query, request.body) == (
        "POST",
        "/v1/charges",
        "",
        b"amount=1",
    )


def test_a_get_keeps_its_query() -> None:
    """Reads may have a query."""
    message = replace(GOOD, method="GET", target="/v1/charges?limit=3&expand[]=data.customer", body=b"")

    assert admit(message, STRIPE, gateway=False).query == "limit=3&expand[]=data.customer"


def test_an_empty_object_with_a_get_is_no_body() -> None:
    """resend-python sends one with every read; it is dropped."""
    assert admit(replace(GOOD, method="GET", body=b"{}"), STRIPE, gateway=False).body == b""


def with_header(name: str, value: str) -> Message:
    return replace(GOOD, headers=(*GOOD.headers, (name, value)))


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(replace(GOOD, headers=(("authorization", "x"),)), id="no-host"),
        pytest.param(replace(GOOD, headers=(("host", "api.twilio.com"),)), id="other-vendor"),
        pytest.param(replace(GOOD, headers=(("host", "api.stripe.com."),)), id="trailing-dot"),
        pytest.param(replace(GOOD, headers=(("host", "api.stripe.com:8443"),)), id="other-port"),
        pytest.param(with_header("host", "api.stripe.com"), id="two-hosts"),
        pytest.param(with_header("authorization", "Bearer y"), id="two-authorizations"),
        pytest.param(with_header("content-encoding", "gzip"), id="gzip"),
        pytest.param(with_header("x-http-method-override", "GET"), id="override"),
        pytest.param(with_header("upgrade", "h2c"), id="upgrade"),
        pytest.param(replace(GOOD, target="/v1/charges?amount=1"), id="query-on-post"),
        pytest.param(replace(GOOD, method="GET"), id="get-with-body"),
        pytest.param(replace(GOOD, method="TRACE"), id="trace"),
        pytest.param(replace(GOOD, method="OPTIONS"), id="options"),
        *(
            pytest.param(replace(GOOD, target=target), id=target)
            for target in (
                "https://api.stripe.com/v1/charges", "*", "/", "//v1/charges", "/v1//charges", "/v1/charges/",
                "/v1/%63harges", "/v1/../v1/charges", "/v1/%2e%2e/x", "/v1/./charges", "/v1/charges;x", "/v1/charges#x",
            )
        ),
    ],
)  # fmt: skip
def test_what_could_be_read_differently_is_refused(message: Message) -> None:
    """Anything with a second reading is malformed."""
    with pytest.raises(Refused) as caught:
        admit(message, STRIPE, gateway=False)

    assert caught.value.deny.code is Code.MALFORMED


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("/v1/payment_intents/pi_3Mtw/capture?x=1", "/v1/payment_intents/pi_3Mtw/capture"),
        ("/audiences/a-1/contacts/jane@example.com", "/audiences/a-1/contacts/{hidden}"),
        ("/v1/customers/4242424242424242", "/v1/customers/{hidden}"),
        ("/v1/phone/+15005550006", "/v1/phone/{hidden}"),
        ("/2010-04-01/Accounts/AC1/Messages.json", "/2010-04-01/Accounts/AC1/Messages.json"),
        ("/2010-04-01/Accounts/2010-04-02", "/2010-04-01/Accounts/{hidden}"),
    ],
)
def test_the_audit_keeps_no_address_and_no_number(target: str, kept: str) -> None:
    """A path segment that could be a person's is hidden; ids and words stay."""
    assert kept == audit_path(target)
