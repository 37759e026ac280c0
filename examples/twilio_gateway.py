"""Twilio's SDK through the gateway: it knows no base URL, but takes an HTTP client, and that one can name another.

Only for where the proxy cannot be used; under `runcap exec` and `runcap env` the SDK needs nothing.
"""

import os
from typing import Any

from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client


class GatewayHttpClient(TwilioHttpClient):
    """Twilio's own, with runcap's gateway in front of each path."""

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        """Make the SDK's call, at the gateway."""
        path = url.removeprefix("https://api.twilio.com")
        return super().request(method, f"{os.environ['RUNCAP_GATEWAY']}/twilio{path}", *args, **options)


def twilio_client() -> Client:
    """The client as ever, with the vault key where the auth token would be."""
    return Client(os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"], http_client=GatewayHttpClient())


if __name__ == "__main__":
    print(twilio_client().messages.create(to="+14155552671", from_="+14155552672", body="Hello").status)
