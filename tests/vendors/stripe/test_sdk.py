"""What Stripe's own SDK sends is understood as it stands."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import stripe

from runcap.vendors.base import Plan, Request
from tests.vendors.stripe.helpers import VENDOR


@contextmanager
def _recorded() -> Iterator[tuple[stripe.StripeClient, list[Request]]]:
    """A client of a server that keeps what it is sent."""
    requests: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = tuple((name.lower(), value) for name, value in self.headers.items())
            requests.append(Request(self.command, path, query, headers, body))
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815 (the parent's names)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the parent's name)
            """Keep quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        http = stripe.RequestsClient()
        base = {"api": f"http://127.0.0.1:{server.server_port}"}
        try:
            yield stripe.StripeClient("vk_abc", base_addresses=base, http_client=http), requests  # type: ignore[arg-type]
        finally:
            http.close()  # type: ignore[no-untyped-call]  # stripe's own
            server.shutdown()
            thread.join()


def _create(client: stripe.StripeClient) -> object:
    return client.v1.payment_intents.create(
        {
            "amount": 2000,
            "currency": "USD",
            "confirm": True,
            "allowed_payment_method_types": ["card", "link"],
            "metadata": {"order id": "a&b=c ü"},
            "transfer_data": {"destination": "acct_1", "amount": 5},
            "expand": ["latest_charge"],
        },
        {"idempotency_key": "order-1"},
    )


@pytest.mark.parametrize(
    ("call", "operation", "params"),
    [
        (
            _create,
            "POST /v1/payment_intents",
            {
                "amount": "2000",
                "currency": "usd",
                "confirm": "true",
                "allowed_payment_method_types[0]": "card",
                "allowed_payment_method_types[1]": "link",
                "metadata[order id]": "a&b=c ü",
                "transfer_data[destination]": "acct_1",
                "transfer_data[amount]": "5",
                "expand[0]": "latest_charge",
            },
        ),
        (
            lambda client: client.v1.payment_intents.capture("pi_1"),
            "POST /v1/payment_intents/{intent}/capture",
            {},
        ),
        (
            lambda client: client.v1.customers.delete("cus_1"),
            "DELETE /v1/customers/{customer}",
            {},
        ),
        (
            lambda client: client.v1.customers.search({"query": "email:'a@b.c' AND metadata['k']:'v'"}),
            "GET /v1/customers/search",
            {"query": "email:'a@b.c' AND metadata['k']:'v'"},
        ),
        (
            lambda client: client.v1.charges.list({"created": {"gte": 5}, "expand": ["data.customer"]}),
            "GET /v1/charges",
            {"created[gte]": "5", "expand[0]": "data.customer"},
        ),
        (
            lambda client: client.v2.core.events.retrieve("evt_1"),
            "GET /v2/core/events/{id}",
            {},
        ),
        (
            lambda client: client.v2.billing.meter_events.create({"event_name": "x", "payload": {"value": "1"}}),
            "POST /v2/billing/meter_events",
            {"event_name": "x", "payload": {"value": "1"}},
        ),
    ],
)
def test_sdk_calls_are_planned(
    call: Callable[[stripe.StripeClient], object], operation: str, params: dict[str, Any]
) -> None:
    """Forms with brackets, queries and v2's JSON, with the credential where the SDK puts it."""
    with _recorded() as (client, requests):
        call(client)
    plan: Plan = VENDOR.plan(requests[0])

    assert (operation, params) == (plan.operation.name, plan.params)
    assert "vk_abc" == VENDOR.credential(requests[0])
    assert "vk_abc" not in str(plan)


def test_the_sdks_idempotency_key_is_kept() -> None:
    """The one that the caller gave, or the one that the SDK made up."""
    with _recorded() as (client, requests):
        _create(client)
        client.v1.payment_intents.cancel("pi_1")
        client.v1.balance.retrieve()
    keys = [VENDOR.plan(request).idempotency_key for request in requests]

    assert ("order-1", None) == (keys[0], keys[2])
    assert keys[1]
