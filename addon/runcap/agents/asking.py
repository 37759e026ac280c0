"""How runcap's own tools ask the proxy: with the standard library alone, so that no SDK's ways get in between."""

import base64
import http.client
import json
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from runcap.agents.canary import CANARY_PATH
from runcap.agents.environment import OWN_HOST

_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    fields: dict[str, Any]
    """The JSON object; empty if it is anything else."""

    @property
    def from_runcap(self) -> bool:
        """Nobody else answers so."""
        return "run_id" in self.fields


def ask_runcap(proxy: str, path: str, vault_key: str) -> Answer:
    """Ask runcap itself, through the proxy (`runcap.agents.budget` has the paths).

    Raises:
        OSError, http.client.HTTPException: nobody answers there, or not in HTTP.
    """
    address = urlsplit(proxy)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=_SECONDS)
    headers = {"Authorization": f"Bearer {vault_key}", "Host": OWN_HOST}
    return _ask(connection, f"http://{OWN_HOST}{path}", headers)


def ask_canary(proxy: str, bundle: str, host: str, vault_key: str, account_sid: str) -> Answer:
    """Ask a vendor's host for the canary, through the proxy, trusting the bundle alone.

    Raises:
        ssl.SSLError: the proxy's certificate for that host is not vouched for by the bundle.
        OSError, http.client.HTTPException: the bundle cannot be read, nobody answers, or not in HTTP.
    """
    address = urlsplit(proxy)
    context = ssl.create_default_context(cafile=bundle)
    connection = http.client.HTTPSConnection(str(address.hostname), address.port, context=context, timeout=_SECONDS)
    connection.set_tunnel(host, 443, headers=_proxy_headers(address))
    basic = base64.b64encode(f"{account_sid}:{vault_key}".encode()).decode()
    authorization = f"Basic {basic}" if "twilio" in host else f"Bearer {vault_key}"
    return _ask(connection, CANARY_PATH, {"Authorization": authorization})


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    """For a proxy that wants to know whose connection it is (``proxy.auth``)."""
    if proxy.username is None:
        return {}
    credential = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(credential.encode()).decode()}"}


def _ask(connection: http.client.HTTPConnection, target: str, headers: dict[str, str]) -> Answer:
    try:
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        status, body = response.status, response.read(65536)
    finally:
        connection.close()
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    return Answer(status, found if isinstance(found, dict) else {})
