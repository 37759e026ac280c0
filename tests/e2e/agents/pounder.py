"""An agent that charges on and on, whatever happens around it, until its stdin closes; then one JSON report.

Each charge has an idempotency key and is tried again under it when the connection breaks, as an SDK does. Its metadata
names the run (RUN_ID), so that the vendor's side of it can be told apart.
"""

import asyncio
import collections
import json
import os
import random
import ssl
import sys
import uuid

import aiohttp

_TRIES = 3
_PAUSE_SECONDS = 0.1


class Pounder:
    """Charges side by side and counts how that ended."""

    def __init__(self, seed: int) -> None:
        self.statuses: collections.Counter[str] = collections.Counter()
        self.codes: collections.Counter[str] = collections.Counter()
        self.request_ids: list[str] = []
        self._random = random.Random(seed)  # noqa: S311 (amounts, not secrets)
        self._stop = asyncio.Event()

    async def pound(self, side_by_side: int) -> None:
        """Charge until stdin closes."""
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._stop.set)
        tls = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
        connector = aiohttp.TCPConnector(limit=0, ssl=tls)
        timeout = aiohttp.ClientTimeout(total=15)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            await asyncio.gather(*(self._charge_on(session) for _ in range(side_by_side)))

    async def _charge_on(self, session: aiohttp.ClientSession) -> None:
        while not self._stop.is_set():
            key, cents = str(uuid.uuid4()), self._random.randint(100, 500)
            for _ in range(_TRIES):
                try:
                    await self._charge(session, key, cents)
                except (aiohttp.ClientError, OSError) as error:
                    self.statuses[type(error).__name__] += 1
                    await asyncio.sleep(_PAUSE_SECONDS)
                else:
                    break

    async def _charge(self, session: aiohttp.ClientSession, key: str, cents: int) -> None:
        body = (
            f"amount={cents}&currency=usd&payment_method=pm_card_visa&confirm=true&metadata[run]={os.environ['RUN_ID']}"
        )
        headers = {
            "Authorization": f"Bearer {os.environ['STRIPE_API_KEY']}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Idempotency-Key": key,
        }
        async with session.post(
            "https://api.stripe.com/v1/payment_intents", data=body, headers=headers, proxy=os.environ["HTTPS_PROXY"]
        ) as answer:
            found = await answer.json()
        self.statuses[str(answer.status)] += 1
        if "code" in found:
            self.codes[found["code"]] += 1
            await asyncio.sleep(_PAUSE_SECONDS)
        if "request-id" in answer.headers and "idempotent-replayed" not in answer.headers:
            self.request_ids.append(answer.headers["request-id"])


def main() -> None:
    """``pounder.py SEED SIDE_BY_SIDE``."""
    seed, side_by_side = map(int, sys.argv[1:3])
    pounder = Pounder(seed)
    asyncio.run(pounder.pound(side_by_side))
    report = {"statuses": pounder.statuses, "codes": pounder.codes, "request_ids": pounder.request_ids}
    print(json.dumps(report), flush=True)  # noqa: T201 (its report)


main()
