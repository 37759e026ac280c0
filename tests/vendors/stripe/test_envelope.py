"""Refusals, raised by Stripe's own SDK from a real answer over HTTP."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import stripe

from runcap.decision import CapHit, Code, Deny
from tests.vendors.stripe.helpers import VENDOR

CAP = CapHit("run", "01RUN", "day", 500_000_000, 490_000_000, "2026-11-25T00:00:00Z")


@contextmanager
def _refusing(deny: Deny) -> Iterator[tuple[stripe.StripeClient, list[str]]]:
    """A client of a server that answers everything with one refusal, and the paths that it was asked for."""
    body, headers = VENDOR.error(deny)
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(deny.status)
            encoded = json.dumps(body).encode()
            for name, value in (*headers, ("content-length", str(len(encoded)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(encoded)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the parent's name)
            """Keep quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        http = stripe.RequestsClient()
        try:
            client = stripe.StripeClient(
                "sk_test_x",
                base_addresses={"api": f"http://127.0.0.1:{server.server_port}"},
                http_client=http,
                max_network_retries=2,
            )
            yield client, asked
        finally:
            http.close()  # type: ignore[no-untyped-call]  # stripe's own
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (Code.CAP_EXHAUSTED, stripe.RateLimitError),
        (Code.KEY_EXPIRED, stripe.AuthenticationError),
        (Code.OPERATION_NOT_ALLOWED, stripe.PermissionError),
        (Code.UNPRICED, stripe.APIError),
        (Code.MALFORMED, stripe.APIError),
        (Code.IDEMPOTENCY_MISMATCH, stripe.APIError),
        (Code.INTERNAL, stripe.APIError),
    ],
)
def test_the_sdk_raises_its_own_error_at_once(code: Code, error: type[stripe.StripeError]) -> None:
    """By the class that the status has in the SDK, without a retry, and with our code and message in it."""
    with _refusing(Deny(code, "No.")) as (client, asked), pytest.raises(error) as caught:
        client.v1.payment_intents.create({"amount": 2000, "currency": "usd"})

    raised = caught.value
    assert ("No.", ["/v1/payment_intents"]) == (raised.user_message, asked)
    assert raised.error is not None
    assert str(code) == raised.error.code


def test_a_full_cap_says_how_full() -> None:
    """The fields of the contract are in ``json_body``, as strings in dollars."""
    deny = Deny(Code.CAP_EXHAUSTED, "No.", "01RUN", "billing", 20_000_000, CAP)
    with _refusing(deny) as (client, _), pytest.raises(stripe.RateLimitError) as caught:
        client.v1.payment_intents.create({"amount": 2000, "currency": "usd"})

    body = caught.value.json_body
    assert isinstance(body, dict)
    assert ("cap_exhausted", "490.00", "500.00", "10.00", "20.00", "stripe", "01RUN") == tuple(
        body[name] for name in ("code", "spent_usd", "cap_usd", "remaining_usd", "requested_usd", "vendor", "run_id")
    )


@pytest.mark.parametrize(
    ("code", "error_type", "should_retry"),
    [
        (Code.CAP_EXHAUSTED, "rate_limit_error", "false"),
        (Code.KEY_MISSING, "authentication_error", "false"),
        (Code.FROZEN, "invalid_request_error", "false"),
        (Code.MALFORMED, "invalid_request_error", "false"),
        (Code.TOO_LARGE, "invalid_request_error", "false"),
        (Code.IDEMPOTENCY_MISMATCH, "idempotency_error", "false"),
        (Code.IDEMPOTENCY_IN_PROGRESS, "idempotency_error", "true"),
        (Code.LEDGER_UNAVAILABLE, "api_error", "true"),
        (Code.LEDGER_UNTRUSTED, "api_error", "false"),
        (Code.UPSTREAM_UNKNOWN, "api_error", "false"),
    ],
)
def test_types_and_retries(code: Code, error_type: str, should_retry: str) -> None:
    """Only what was never sent and may soon work is worth a retry."""
    body, headers = VENDOR.error(Deny(code, "No."))

    assert (error_type, (("stripe-should-retry", should_retry),)) == (body["error"]["type"], headers)
