"""One process of the race: asks for many reservations at once and prints how many were granted."""

import asyncio
import sys

from runcap.decision import Code, Refused
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Ask


async def main(url: str, namespace: str, digest: str, name: str, calls: int) -> None:
    """Ask; whatever is not granted has to be refused by a cap."""
    ledger = Ledger.connect(url, namespace=namespace)
    asked = [Ask(f"{name}-{number}", digest, "stripe", "POST /v1/charges", 100, 60_000, {}) for number in range(calls)]
    answers = await asyncio.gather(*map(ledger.reserve, asked), return_exceptions=True)
    await ledger.close()
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    wrong = [answer for answer in refused if answer.deny.code is not Code.CAP_EXHAUSTED]
    if wrong:
        raise wrong[0]
    print(calls - len(refused))  # noqa: T201 (read by the test)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])))
