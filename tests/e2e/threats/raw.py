"""Raw bytes to the proxy: what no HTTP client would send."""

import base64
import json
import re
import socket
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.e2e.harness import IssuedRun, RuncapUp
from tests.fakes.vendors import ACCOUNT_SID

STRIPE, TWILIO, RESEND = "api.stripe.com", "api.twilio.com", "api.resend.com"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
CHARGE = b"amount=100&currency=usd&payment_method=pm_card_visa&confirm=true"
CHARGE_MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came over the wire."""

    status: int
    head: bytes
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """runcap's code for a refusal."""
        return str(self.json["code"])


class Raw:
    """One connection to the proxy's port, or to the gateway's."""

    def __init__(self, url: str, *, timeout: float = 10.0) -> None:
        address = urlsplit(url)
        self.socket: socket.socket = socket.create_connection((address.hostname, address.port), timeout)
        self._read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.socket.close()

    def send(self, data: bytes) -> Self:
        """Send bytes."""
        self.socket.sendall(data)
        return self

    def connect(self, authority: str, host: str | None = None) -> Answer:
        """Send a CONNECT; a Host header of its own, if given."""
        self.send(f"CONNECT {authority} HTTP/1.1\r\nHost: {host or authority}\r\n\r\n".encode())
        return self.answer(bodiless=(200,))

    def handshake(self, up: RuncapUp, name: str | None, *, alpn: tuple[str, ...] = ()) -> Self:
        """Begin TLS, trusting runcap's root; without a name, or with another than the vendor's, nothing is verified."""
        context = ssl.create_default_context(cafile=str(up.ca_bundle()))
        if name not in (STRIPE, TWILIO, RESEND):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if alpn:
            context.set_alpn_protocols(list(alpn))
        self.socket = context.wrap_socket(self.socket, server_hostname=name)
        return self

    def answer(self, *, bodiless: tuple[int, ...] = ()) -> Answer:
        """Read one answer.

        Raises:
            EOFError: the connection ended before.
        """
        head = self._until(lambda data: data.find(b"\r\n\r\n") + 4 if b"\r\n\r\n" in data else 0)
        status = int(head[9:12])
        length = re.search(rb"\r\ncontent-length: ([0-9]+)\r\n", head, re.IGNORECASE)
        if status in bodiless or length is None:
            return Answer(status, head, b"")
        size = int(length[1])
        return Answer(status, head, self._until(lambda data: size if len(data) >= size else 0) if size else b"")

    def rest(self) -> bytes:
        """Everything until the other side closes; a reset is an end too."""
        data, self._read = self._read, b""
        try:
            while more := self.socket.recv(65536):
                data += more
        except (ConnectionError, ssl.SSLError):
            pass
        return data

    def _until(self, end: Any) -> bytes:
        while not (size := end(self._read)):
            more = self.socket.recv(65536)
            if not more:
                raise EOFError(f"the connection ended after {self._read!r}")
            self._read += more
        data, self._read = self._read[:size], self._read[size:]
        return data


def tunnel(up: RuncapUp, host: str = STRIPE, *, alpn: tuple[str, ...] = ()) -> Raw:
    """A TLS connection to a vendor through the proxy."""
    raw = Raw(up.proxy)
    opened = raw.connect(f"{host}:443")
    assert 200 == opened.status, opened
    return raw.handshake(up, host, alpn=alpn)


def authorization(run: IssuedRun, host: str = STRIPE) -> bytes:
    """The header with a run's key, as the vendor's SDK would send it."""
    if host == TWILIO:
        return b"Authorization: Basic " + base64.b64encode(f"{ACCOUNT_SID}:{run.vault_key}".encode()) + b"\r\n"
    return f"Authorization: Bearer {run.vault_key}\r\n".encode()


def charge(run: IssuedRun, *, headers: bytes = b"", path: str = "/v1/payment_intents", body: bytes = CHARGE) -> bytes:
    """A charge of a dollar at Stripe, whole and correct but for what is added."""
    head = f"POST {path} HTTP/1.1\r\nHost: {STRIPE}\r\nContent-Length: {len(body)}\r\n".encode()
    return head + authorization(run) + FORM + headers + b"\r\n" + body


def email(run: IssuedRun, to: str = "somebody@example.com") -> bytes:
    """An email to one recipient at Resend."""
    body = json.dumps({"from": "a@example.com", "to": [to], "subject": "s", "text": "t"}).encode()
    head = f"POST /emails HTTP/1.1\r\nHost: {RESEND}\r\nContent-Length: {len(body)}\r\n".encode()
    return head + authorization(run) + b"Content-Type: application/json\r\n\r\n" + body
