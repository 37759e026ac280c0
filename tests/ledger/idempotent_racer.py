"""One process of the race for one idempotency key: asks as fast as it can and prints what it was told, as JSON."""

import asyncio
import json
import sys
from collections import Counter

from runcap.decision import Refused
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Ask, End
from runcap.vendors.base import Ending

_CALLS = 100
_SIDE_BY_SIDE = 10


async def main(url: str, namespace: str, digest: str, name: str, fingerprint: str) -> None:
    """Ask under the same key each time; whoever is let through ends at once, and may ask again."""
    ledger = Ledger.connect(url, namespace=namespace)
    told: Counter[str] = Counter()

    async def call(number: int) -> None:
        reservation = f"{name}-{number}"
        asked = Ask(
            reservation, digest, "stripe", "POST /v1/charges", 100, 60_000, {}, idempotency_digest="key",
            fingerprint=fingerprint,
        )  # fmt: skip
        try:
            held = await ledger.reserve(asked)
        except Refused as refused:
            told[str(refused.deny.code)] += 1
            return
        told[f"held_{held.held_micros}"] += 1
        await asyncio.sleep(0)
        await ledger.finish(End(reservation, Ending.SETTLED))

    for start in range(0, _CALLS, _SIDE_BY_SIDE):
        await asyncio.gather(*(call(number) for number in range(start, start + _SIDE_BY_SIDE)))
    await ledger.close()
    print(json.dumps(told))  # noqa: T201 (read by the test)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
