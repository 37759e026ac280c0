"""A bare HTTP client through the proxy, for what the SDKs hide: kept-alive connections, statuses, headers."""

import base64
import http.client
import json
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from tests.e2e.harness import IssuedRun, RuncapUp
from tests.fakes.vendors import ACCOUNT_SID, HOSTS


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer."""

    status: int
    headers: dict[str, str]
    """Lower-case names."""
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """runcap's code, if this is a refusal."""
        found = self.json
        return found.get("code") if isinstance(found, dict) and "run_id" in found else None


class Caller:
    """One kept-alive connection of one run to one vendor."""

    def __init__(
        self,
        up: RuncapUp,
        run: IssuedRun,
        vendor: str = "stripe",
        *,
        timeout: float = 20,
        tunnel_key: str | None = None,
    ) -> None:
        """Prepare; `tunnel_key` is the vault key that the CONNECT shows, the run's own by default, "" for none."""
        address = urlsplit(up.proxy)
        context = ssl.create_default_context(cafile=up.ca_bundle())
        self._connection = http.client.HTTPSConnection(
            str(address.hostname), address.port, context=context, timeout=timeout
        )
        shown = base64.b64encode(f"run:{run.vault_key if tunnel_key is None else tunnel_key}".encode()).decode()
        self._connection.set_tunnel(
            HOSTS[vendor], 443, {"Proxy-Authorization": f"Basic {shown}"} if tunnel_key != "" else {}
        )
        token = base64.b64encode(f"{ACCOUNT_SID}:{run.vault_key}".encode()).decode()
        self._authorization = f"Basic {token}" if vendor == "twilio" else f"Bearer {run.vault_key}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._connection.close()

    def get(self, path: str) -> Reply:
        """GET."""
        return self.request("GET", path)

    def post(self, path: str, **params: str | int) -> Reply:
        """POST a form."""
        return self.request("POST", path, urlencode(params), {"Content-Type": "application/x-www-form-urlencoded"})

    def charge(self, cents: int, **params: str | int) -> Reply:
        """Charge a card at Stripe."""
        fields = {"amount": cents, "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true", **params}
        return self.post("/v1/payment_intents", **fields)

    def request(self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None) -> Reply:
        """Send a request and read the whole answer."""
        self._connection.request(method, path, body, {"Authorization": self._authorization, **(headers or {})})
        answer = self._connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, found, answer.read())
