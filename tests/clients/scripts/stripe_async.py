"""Charges with the Stripe SDK's asynchronous clients: ``httpx`` or ``aiohttp``, as the argument says."""

import asyncio
import json
import os
import sys

import stripe

CLIENTS = {"httpx": stripe.HTTPXClient, "aiohttp": stripe.AIOHTTPClient}


async def main() -> None:
    """One call that is allowed, one that is not."""
    http_client = CLIENTS[sys.argv[1]]()
    client = stripe.StripeClient(os.environ["STRIPE_API_KEY"], http_client=http_client)
    charge = {"currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    print((await client.v1.payment_intents.create_async({**charge, "amount": 2000})).status)  # type: ignore[typeddict-item] # noqa: T201
    try:
        await client.v1.payment_intents.create_async({**charge, "amount": 9000})  # type: ignore[typeddict-item]
    except stripe.RateLimitError as error:
        print(json.dumps(error.json_body))  # noqa: T201
    finally:
        await http_client.close_async()


asyncio.run(main())
