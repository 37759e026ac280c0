"""A Pricing API on loopback, over TLS with a certificate for Twilio's own name."""

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest

from runcap.rates.twilio_api import HOST
from runcap.upstream.pool import Route
from tests.fakes.certificates import FakeAuthority


class FakePricing:
    """Answers by path; what it was asked is kept, with the credential. A context manager."""

    def __init__(self, folder: Path) -> None:
        self.answers: dict[str, Any] = account()
        """By path and query; an int is a status to answer once."""
        self.asked: list[tuple[str, str | None]] = []
        self.ca_file = folder / "pricing-ca.pem"
        authority = FakeAuthority.create()
        authority.write_certificate(self.ca_file)
        leaf = folder / "pricing.pem"
        authority.write_leaf(leaf, HOST)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(leaf)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def route(self) -> Route:
        """How a forwarder gets here."""
        return Route(HOST, "127.0.0.1", self.port, self.ca_file)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fake.asked.append((self.path, self.headers["authorization"]))
                answer = fake.answers.get(self.path.removesuffix("?PageSize=300"), 404)
                if isinstance(answer, list):
                    answer = answer.pop(0) if len(answer) > 1 else answer[0]
                body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                self.send_response(answer if isinstance(answer, int) else 200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        return Handler


def listed(*regions: str, following: str | None = None) -> dict[str, Any]:
    """A page of a list of countries."""
    return {"countries": [{"iso_country": region} for region in regions], "meta": {"next_page_url": following}}


def account() -> dict[str, Any]:
    """What an account pays in two countries, in Twilio's own forms: prices are strings or numbers."""
    return {
        "/v1/Messaging/Countries": listed("US", following=f"https://{HOST}/v1/Messaging/Countries?Page=1&PageToken=x"),
        "/v1/Messaging/Countries?Page=1&PageToken=x": listed("AT"),
        "/v1/Messaging/Countries/US": {
            "iso_country": "US",
            "price_unit": "USD",
            "outbound_sms_prices": [
                {"carrier": "a", "prices": [{"number_type": "local", "base_price": "0.01", "current_price": "0.0070"}]},
                {"carrier": "b", "prices": [{"number_type": "short code", "current_price": "0.00750001"}]},
            ],
        },
        "/v1/Messaging/Countries/AT": {
            "iso_country": "AT",
            "price_unit": "usd",
            "outbound_sms_prices": [{"carrier": "a", "prices": [{"current_price": 0.09}]}],
        },
        "/v2/Voice/Countries": listed("AT"),
        "/v2/Voice/Countries/AT": {
            "iso_country": "AT",
            "price_unit": "USD",
            "outbound_prefix_prices": [
                {"destination_prefixes": ["43"], "origination_prefixes": ["ALL"], "current_price": "0.155"},
                {"destination_prefixes": ["43"], "origination_prefixes": ["1"], "current_price": "0.016"},
                {"destination_prefixes": ["43664"], "origination_prefixes": ["ALL"], "current_price": "0.24"},
            ],
        },
        "/v1/PhoneNumbers/Countries": listed("US"),
        "/v1/PhoneNumbers/Countries/US": {
            "iso_country": "US",
            "price_unit": "USD",
            "phone_number_prices": [
                {"number_type": "local", "current_price": "1.00"},
                {"number_type": "toll free", "current_price": "2.00"},
            ],
        },
    }


@pytest.fixture
def pricing(tmp_path: Path) -> Iterator[FakePricing]:
    with FakePricing(tmp_path) as running:
        yield running
