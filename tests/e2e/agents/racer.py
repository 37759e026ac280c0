"""An agent in a hurry: many charges side by side. Says ``ready``, waits for a line, races, prints one JSON report.

Not an SDK, so that hundreds of calls are in flight at once instead of queueing in the client.
"""

import asyncio
import collections
import json
import os
import ssl
import sys

import aiohttp


async def race(cents: int, calls: int, side_by_side: int) -> dict[str, object]:
    """Make the calls and count how they ended."""
    statuses: collections.Counter[str] = collections.Counter()
    codes: collections.Counter[str] = collections.Counter()
    request_ids: list[str] = []
    turns = asyncio.Semaphore(side_by_side)
    body = f"amount={cents}&currency=usd&payment_method=pm_card_visa&confirm=true"
    headers = {
        "Authorization": f"Bearer {os.environ['STRIPE_API_KEY']}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    connector = aiohttp.TCPConnector(limit=0, ssl=ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"]))
    async with aiohttp.ClientSession(connector=connector) as session:

        async def call() -> None:
            async with turns:
                try:
                    async with session.post(
                        "https://api.stripe.com/v1/payment_intents", data=body, headers=headers,
                        proxy=os.environ["HTTPS_PROXY"],
                    ) as answer:  # fmt: skip
                        found = await answer.json()
                except (aiohttp.ClientError, OSError) as error:
                    statuses[type(error).__name__] += 1
                    return
            statuses[str(answer.status)] += 1
            if "request-id" in answer.headers:
                request_ids.append(answer.headers["request-id"])
            if "code" in found:
                codes[found["code"]] += 1

        await asyncio.gather(*(call() for _ in range(calls)))
    return {"statuses": statuses, "codes": codes, "request_ids": request_ids}


print("ready", flush=True)  # noqa: T201 (its report)
sys.stdin.readline()
print(json.dumps(asyncio.run(race(*map(int, sys.argv[1:4])))), flush=True)  # noqa: T201
