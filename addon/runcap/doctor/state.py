"""The ledger, where it can be seen from here."""

import asyncio

from runcap.config import Config
from runcap.decision import Refused
from runcap.doctor.finding import Finding, Mends, fault, ok, skipped
from runcap.ledger.embedded import EmbeddedLedger
from runcap.ledger.ledger import Ledger


def check_ledger(config: Config | None, mends: Mends) -> Finding:
    """It answers, can be trusted, and what is held agrees with what is open. It is never started for this."""
    if config is None or config.source is None:
        return skipped("ledger", "there is no configuration here that says where it is")
    url = config.ledger.url or EmbeddedLedger(config.home).url
    try:
        differences = asyncio.run(_differences(url, config.ledger.namespace))
    except Refused as error:
        return fault("ledger", str(error), mends.start() if not config.ledger.url else mends.ledger())
    if differences:
        return fault("ledger", differences[0], mends.ledger())
    return ok("ledger", "it answers, and what is held is what is open")


async def _differences(url: str, namespace: str) -> list[str]:
    ledger = Ledger.connect(url, namespace=namespace)
    try:
        return await ledger.check()
    finally:
        await ledger.close()
