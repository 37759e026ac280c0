"""Charges through the gateway: Stripe's SDK with another base address, by the HTTP client that the argument names."""

import asyncio
import json
import os
import sys

import stripe

CLIENTS = {"requests": stripe.RequestsClient, "httpx": stripe.HTTPXClient, "aiohttp": stripe.AIOHTTPClient}
CHARGE = {"currency": "usd", "payment_method": "pm_card_visa", "confirm": True}


async def main(name: str) -> None:
    """One call that is allowed, one that is not."""
    http_client = CLIENTS[name]()
    client = stripe.StripeClient(
        os.environ["STRIPE_API_KEY"],
        base_addresses={"api": f"{os.environ['RUNCAP_GATEWAY']}/stripe"},
        http_client=http_client,
    )
    intents = client.v1.payment_intents

    async def charge(cents: int) -> stripe.PaymentIntent:
        params = {**CHARGE, "amount": cents}
        if name == "requests":
            return intents.create(params)  # type: ignore[arg-type]
        return await intents.create_async(params)  # type: ignore[arg-type]

    print((await charge(2000)).status)  # noqa: T201
    try:
        await charge(9000)
    except stripe.RateLimitError as error:
        said = {"type": type(error).__name__, "status": error.http_status, "message": error.user_message}
        print(json.dumps({**said, "code": error.error and error.error.code}))  # noqa: T201
    finally:
        if name != "requests":
            await http_client.close_async()


asyncio.run(main(sys.argv[1]))
