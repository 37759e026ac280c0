# ruff: noqa: INP001 (it runs in the agent's own Python, where runcap is not installed)
"""Lets each client library of this Python ask for the canary, as its users would; prints one JSON line for each.

Arguments: the libraries to try. One that is not installed is passed over in silence. Python 3.8 and later.
"""

import importlib.util
import json
import os
import sys
from typing import Any, Callable, Dict  # noqa: UP035 (Python 3.8)

SECONDS = 5
PATH = "/runcap/canary"
STRIPE = "https://api.stripe.com" + PATH
BEARER = {"Authorization": "Bearer " + os.environ.get("STRIPE_API_KEY", "")}


def ask_stripe() -> Any:
    """Stripe's SDK with its default client."""
    import stripe

    client = stripe.StripeClient(os.environ["STRIPE_API_KEY"], max_network_retries=0)
    return client.raw_request("get", PATH).body


def ask_twilio() -> Any:
    """Twilio's SDK."""
    from twilio.rest import Client  # type: ignore[import-untyped]

    client = Client(os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"])
    return client.request("GET", "https://api.twilio.com" + PATH, timeout=SECONDS).text


def ask_resend() -> Any:
    """Resend's SDK."""
    import resend

    resend.api_key = os.environ["RESEND_API_KEY"]
    return resend.request.Request(path=PATH, params={}, verb="get").perform()


def ask_requests() -> Any:
    """What Twilio's and Resend's SDKs stand on."""
    import requests

    return requests.get(STRIPE, headers=BEARER, timeout=SECONDS).text


def ask_httpx() -> Any:
    """With its defaults."""
    import httpx

    return httpx.get(STRIPE, headers=BEARER, timeout=SECONDS).text


def ask_aiohttp() -> Any:
    """With its defaults, among which is to take no proxy from the environment."""
    import asyncio

    import aiohttp

    async def ask() -> str:
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(STRIPE, headers=BEARER) as answer:
            return await answer.text()

    return asyncio.run(ask())


LIBRARIES: Dict[str, Callable[[], Any]] = {  # noqa: UP006 (Python 3.8)
    "stripe": ask_stripe,
    "twilio": ask_twilio,
    "resend": ask_resend,
    "requests": ask_requests,
    "httpx": ask_httpx,
    "aiohttp": ask_aiohttp,
}


def report(name: str) -> Dict[str, Any]:  # noqa: UP006
    """Try one library."""
    try:
        answer = LIBRARIES[name]()
    except Exception as error:  # noqa: BLE001 (each has errors of its own)
        root: BaseException = error
        while root.__cause__ or root.__context__:
            root = root.__cause__ or root.__context__ or root
        return {"sdk": name, "ok": False, "error": " ".join([type(error).__name__, str(root) or type(root).__name__])}
    text = answer if isinstance(answer, str) else json.dumps(answer, default=str)
    return {"sdk": name, "ok": "runcap.canary" in text, "error": text[:300]}


for wanted in sys.argv[1:]:
    if wanted in LIBRARIES and importlib.util.find_spec(wanted) is not None:
        sys.stdout.write(json.dumps(report(wanted)) + "\n")
        sys.stdout.flush()
