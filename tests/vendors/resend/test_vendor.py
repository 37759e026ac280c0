import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import resend as sdk
from resend.exceptions import MissingApiKeyError, RateLimitError, ResendError, ValidationError

from runcap.decision import CapHit, Code, Deny, Refused
from runcap.vendors.base import FREE, Ending, Kind, Quote, Request, Response
from runcap.vendors.catalogue import known
from tests.vendors.resend.helpers import EMAIL, JSON, post, quote, refusal, resend

KEY = "re_vk_" + "a" * 40


def credential_refusal(*headers: tuple[str, str]) -> Code:
    with pytest.raises(Refused) as refused:
        resend.credential(Request("GET", "/emails", "", headers, b""))
    return refused.value.deny.code


def test_the_vault_key_is_the_bearer() -> None:
    """As RESEND_API_KEY is."""
    assert KEY == resend.credential(Request("GET", "/emails", "", (("authorization", f"Bearer {KEY}"),), b""))


def test_credentials_that_are_missing_or_cannot_be_read() -> None:
    """None, another scheme, two tokens, two headers."""
    assert Code.KEY_MISSING == credential_refusal()
    for value in (f"Basic {KEY}", f"Bearer {KEY} x", "Bearer", "Bearer ", KEY, ""):
        assert Code.MALFORMED == credential_refusal(("authorization", value))
    assert Code.MALFORMED == credential_refusal(("authorization", f"Bearer {KEY}"), ("authorization", "Bearer x"))


def test_the_real_secret_goes_in_last() -> None:
    """With the idempotency key that the guard gives, if it gives one."""
    plan = resend.plan(post("/emails", EMAIL))
    assert (("authorization", "Bearer real"),) == resend.sign(plan, "real", None)
    assert ("idempotency-key", "k") in resend.sign(plan, "real", "k")


def test_the_idempotency_key_is_read_where_resend_has_one() -> None:
    """Emails and batches, nothing else; it is not among the forwarded headers."""
    header = ("idempotency-key", "order-1")
    for path, body in (("/emails", EMAIL), ("/emails/batch", [EMAIL])):
        plan = resend.plan(post(path, body, header))
        assert "order-1" == plan.idempotency_key
        assert header not in plan.upstream.headers
    assert resend.plan(post("/segments", {"name": "x"}, header)).idempotency_key is None


@pytest.mark.parametrize("key", ["", " ", "k" * 257, "é"])
def test_idempotency_keys_that_resend_would_not_take(key: str) -> None:
    """1 to 256 printable characters."""
    assert Code.MALFORMED == refusal(post("/emails", EMAIL, ("idempotency-key", key)))[0]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/emails/"),
        ("GET", "/Emails"),
        ("GET", "/inboxes"),
        ("PUT", "/emails"),
        ("POST", "/emails/batch/x"),
        ("POST", "/v1/emails"),
        ("DELETE", "/emails/1"),
    ],
)
def test_unknown_operations(method: str, path: str) -> None:
    """Not in the catalogue, refused."""
    assert Code.OPERATION_UNKNOWN == refusal(Request(method, path, "", (), b""))[0]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api-keys"),
        ("POST", "/webhooks"),
        ("GET", "/webhooks/1"),
        ("GET", "/logs/1"),
        ("POST", "/emails/1/share"),
        ("PATCH", "/broadcasts/1"),
        ("POST", "/broadcasts/1/cancel"),
        ("POST", "/events/send"),
        ("POST", "/contacts"),
        ("DELETE", "/domains/1"),
        ("PATCH", "/automations/1"),
    ],
)
def test_what_is_denied_by_default(method: str, path: str) -> None:
    """Credentials, exfiltration, sending to audiences: planned as denied, with a reason."""
    operation = resend.plan(Request(method, path, "", (JSON,), b"")).operation
    assert Kind.DENIED == operation.kind
    assert operation.reason


def test_every_denied_operation_has_a_reason() -> None:
    """The agent's developer is told why; only four operations are priced."""
    operations = known("resend_catalogue.json").operations.operations
    assert [] == [op.name for op in operations if op.kind is Kind.DENIED and not op.reason]
    priced = ["POST /broadcasts", "POST /broadcasts/{id}/send", "POST /emails", "POST /emails/batch"]
    assert priced == [op.name for op in operations if op.kind is Kind.PRICED]


def test_a_read_is_free_and_keeps_its_filters() -> None:
    """The query is read strictly and written anew; the SDK's empty object is dropped."""
    request = Request("GET", "/emails/metrics", "metrics=sent&metrics=opened&timezone=Europe%2FVienna", (JSON,), b"{}")
    assert FREE == quote(request)
    upstream = resend.plan(request).upstream
    assert "metrics=sent&metrics=opened&timezone=Europe%2FVienna" == upstream.query
    assert b"" == upstream.body


def test_a_contact_is_found_by_address() -> None:
    """An @ in the path is no trick."""
    assert "GET /contacts/{id}" == resend.plan(Request("GET", "/contacts/a@b.com", "", (), b"")).operation.name


def test_a_read_with_a_body_and_a_write_with_a_query() -> None:
    """Neither is what Resend's API has."""
    assert Code.MALFORMED == refusal(Request("GET", "/emails", "", (JSON,), b'{"to": "a@b.com"}'))[0]
    assert Code.MALFORMED == refusal(Request("POST", "/emails", "to=a@b.com", (JSON,), json.dumps(EMAIL).encode()))[0]


@pytest.mark.parametrize("media_type", [None, "text/plain", "application/json; charset=utf-16", "multipart/form-data"])
def test_the_body_must_be_what_it_says(media_type: str | None) -> None:
    """Only JSON in UTF-8."""
    headers = () if media_type is None else (("content-type", media_type),)
    assert Code.MALFORMED == refusal(Request("POST", "/emails", "", headers, json.dumps(EMAIL).encode()))[0]


def test_headers_are_an_allow_list() -> None:
    """Accept, user-agent and the batch's validation mode pass."""
    passed = (("user-agent", "resend-python"), ("x-batch-validation", "permissive"))
    plan = resend.plan(post("/emails/batch", [EMAIL], *passed, ("cookie", "a=b"), ("x-forwarded-for", "1.2.3.4")))
    assert (*passed, JSON) == plan.upstream.headers


@pytest.mark.parametrize(
    ("status", "ending"),
    [
        (200, Ending.SETTLED),
        (201, Ending.SETTLED),
        *((status, Ending.RELEASED) for status in (400, 401, 403, 404, 405, 422, 429)),
        *((status, Ending.UNKNOWN) for status in (302, 408, 409, 451, 500, 503)),
    ],
)
def test_outcome(status: int, ending: Ending) -> None:
    """2xx settles at the quote, a rejection releases, anything else stays counted."""
    plan = resend.plan(post("/emails", EMAIL))
    outcome = resend.outcome(plan, Quote(900), Response(status, (), b'{"id": "49a3999c-0ce1"}'))
    assert (ending, None) == (outcome.ending, outcome.micros)


def test_the_emails_id_is_the_request_id() -> None:
    """Resend has none of its own; a batch has many."""
    plan = resend.plan(post("/emails", EMAIL))
    one = resend.outcome(plan, Quote(900), Response(200, (), b'{"id": "49a3999c-0ce1"}'))
    many = resend.outcome(plan, Quote(900), Response(200, (), b'{"data": [{"id": "49a3999c-0ce1"}]}'))
    assert ("49a3999c-0ce1", None) == (one.vendor_request_id, many.vendor_request_id)


@contextmanager
def refusing(deny: Deny) -> Iterator[None]:
    """Point the SDK at a server that answers as runcap would."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            body = json.dumps(resend.error(deny)[0]).encode()
            self.send_response(deny.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    before = (sdk.api_url, sdk.api_key)
    sdk.api_url, sdk.api_key = f"http://127.0.0.1:{server.server_port}", KEY
    try:
        yield
    finally:
        sdk.api_url, sdk.api_key = before
        server.shutdown()
        server.server_close()
        thread.join()


def cap_reached(window: str) -> Deny:
    cap = CapHit("run", "01X", window, 500_000_000, 490_000_000, None)
    return Deny(Code.CAP_EXHAUSTED, "The cap is reached.", "01X", "mail-bot", 20_000_000, cap)


@pytest.mark.parametrize(
    ("deny", "error", "name"),
    [
        (cap_reached("day"), RateLimitError, "daily_quota_exceeded"),
        (cap_reached("month"), RateLimitError, "monthly_quota_exceeded"),
        (cap_reached("total"), RateLimitError, "monthly_quota_exceeded"),
        (Deny(Code.UNPRICED, "No price."), ValidationError, "validation_error"),
        (Deny(Code.MALFORMED, "Not clear."), ValidationError, "validation_error"),
        (Deny(Code.KEY_MISSING, "No key."), MissingApiKeyError, "missing_api_key"),
        (Deny(Code.KEY_EXPIRED, "Too late."), ResendError, "invalid_api_key"),
        (Deny(Code.OPERATION_NOT_ALLOWED, "Not this."), ResendError, "restricted_api_key"),
        (Deny(Code.IDEMPOTENCY_MISMATCH, "Other body."), ResendError, "invalid_idempotent_request"),
        (Deny(Code.LEDGER_UNAVAILABLE, "Later."), ResendError, "application_error"),
    ],
)
def test_the_sdk_raises_its_own_error(deny: Deny, error: type[ResendError], name: str) -> None:
    """resend-python, over HTTP, chooses the class by status and name."""
    with refusing(deny), pytest.raises(error) as raised:
        sdk.Emails.send({"from": "a@example.com", "to": ["b@example.com"], "subject": "s", "text": "t"})
    assert (name, deny.status) == (raised.value.error_type, raised.value.code)


def test_the_error_carries_runcaps_own_fields() -> None:
    """The contract's fields stand at the top level beside Resend's."""
    body, headers = resend.error(cap_reached("day"))
    assert ("cap_exhausted", 429, "daily_quota_exceeded", "10.00") == (
        body["code"],
        body["statusCode"],
        body["name"],
        body["remaining_usd"],
    )
    assert () == headers
