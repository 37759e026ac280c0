"""The reconciler as a process of its own: ``python -m runcap.audit.reconciling``.

It needs a vendor's real secret, which the auditor does not have and shall not: the auditor is the one process that has
to outlive everything, and it reads what agents have written. A worker has the secret, but there are several, and none
of them may read the audit. So this is a small process beside them, which `runcap.proxy.backstage` starts if there is
anything to reconcile, with the secret of that vendor alone in its environment. If it dies, prices come later; nothing
else depends on it.

It ends with 0 at SIGTERM, or with ``--watch-stdin`` at the end of its standard input.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runcap.audit.process import watch_stdin
from runcap.audit.reconciler import Reconciler
from runcap.config import Config, ConfigError, load
from runcap.forwarder import Forwarder, NoAnswer, NotSent
from runcap.hardening import harden
from runcap.ledger.ledger import Ledger
from runcap.parts import make_forwarder
from runcap.proxy.backstage import LEDGER_URL, RECONCILED
from runcap.rates.inforce import exchange_rates, twilio_prices
from runcap.secretstore import SecretError, SecretStore
from runcap.vendors.base import Upstream, Vendor
from runcap.vendors.twilio import Twilio
from runcap.vendors.twilio.late import LatePrices

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the reconciler; returns the exit code."""
    parser = argparse.ArgumentParser(prog="runcap.audit.reconciling", description="Settles prices that come later.")
    parser.add_argument("--config", type=Path, help="runcap.toml")
    parser.add_argument("--watch-stdin", action="store_true", help="end when standard input does")
    options = parser.parse_args(argv)
    harden()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s runcap reconciler %(levelname)s %(message)s")
    url = os.environ.get(LEDGER_URL)
    try:
        config = load(options.config)
        url = url or config.ledger.url
        if not url or not config.vendors[RECONCILED].account_sid:
            parser.error(f"{LEDGER_URL} and vendors.{RECONCILED}.account_sid are needed")
        asyncio.run(_run(config, url, watch=options.watch_stdin))
    except (ConfigError, ValueError, OSError) as error:
        logger.error("the reconciler ends: %s", error)
        return 1
    return 0


async def _run(config: Config, ledger_url: str, *, watch: bool) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stopping.set)
    if watch:
        watch_stdin(loop, stopping.set)
    ledger = Ledger.connect(ledger_url, namespace=config.ledger.namespace)
    try:
        async with make_forwarder(config) as forwarder:
            working = asyncio.create_task(make_reconciler(config, ledger, forwarder).run())
            waiting = asyncio.create_task(stopping.wait())
            await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
            working.cancel()
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            try:
                await working
            except asyncio.CancelledError:
                return
    finally:
        await ledger.close()


def make_reconciler(config: Config, ledger: Ledger, forwarder: Forwarder, **changes: Any) -> Reconciler:
    """Put it together from the configuration; `changes` are arguments of `Reconciler`.

    Raises:
        ValueError, OSError: a table of rates or prices cannot be used.
    """
    account_sid = config.vendors[RECONCILED].account_sid
    prices, rates = twilio_prices(config), exchange_rates(config)
    asking = _Asking(forwarder, Twilio(account_sid, prices, rates), SecretStore(config))
    return Reconciler(ledger, config.audit_path, LatePrices(account_sid, prices, rates), asking.ask, **changes)


class _Asking:
    """GETs with the real secret."""

    def __init__(self, forwarder: Forwarder, vendor: Vendor, store: SecretStore) -> None:
        self._forwarder = forwarder
        self._vendor = vendor
        self._store = store

    async def ask(self, path: str) -> dict[str, Any] | None:
        """The JSON object; None if there is no secret, no answer, or no 200."""
        try:
            secret = self._store.get(RECONCILED).reveal()
            response = await self._forwarder.send(
                RECONCILED, Upstream("GET", path), self._vendor.lookup_headers(secret)
            )
        except (NotSent, NoAnswer, SecretError) as error:
            logger.warning("%s was not asked for a price: %s", RECONCILED, error)
            return None
        if response.status == 401:
            await asyncio.to_thread(self._store.refresh)  # the secret may have been changed since it was read
        return (response.json() or None) if response.status == 200 else None


if __name__ == "__main__":
    sys.exit(main())
