"""Calls without an SDK: requests, httpx and aiohttp, each with nothing set up but what it does not do by itself.

All take the proxy and the CA from the environment; aiohttp has to be told to (`trust_env`), where the shim of
`runcap exec` does not do it for calls to the vendors.
"""

import asyncio
import os
import sys
from collections.abc import Callable

import aiohttp
import httpx
import requests

URL = "https://api.stripe.com/v1/payment_intents"
HEADERS = {"Authorization": f"Bearer {os.environ['STRIPE_API_KEY']}"}
CHARGE = {"amount": "2000", "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true"}


def with_requests() -> int:
    """It reads HTTPS_PROXY and REQUESTS_CA_BUNDLE."""
    return requests.post(URL, data=CHARGE, headers=HEADERS, timeout=90).status_code


def with_httpx() -> int:
    """It reads HTTPS_PROXY and SSL_CERT_FILE."""
    return httpx.post(URL, data=CHARGE, headers=HEADERS, timeout=90).status_code


def with_aiohttp() -> int:
    """It reads SSL_CERT_FILE, and HTTPS_PROXY with `trust_env`."""

    async def post() -> int:
        async with (
            aiohttp.ClientSession(trust_env=True) as session,
            session.post(URL, data=CHARGE, headers=HEADERS) as answer,
        ):
            return answer.status

    return asyncio.run(post())


CLIENTS: dict[str, Callable[[], int]] = {"requests": with_requests, "httpx": with_httpx, "aiohttp": with_aiohttp}

if __name__ == "__main__":
    for name in sys.argv[1:] or CLIENTS:
        print(name, CLIENTS[name]())
