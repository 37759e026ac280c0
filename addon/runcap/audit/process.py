"""The auditor as a process of its own: `python -m runcap.audit.auditor`.

It prints ``auditor ready`` when it holds the file's lock and has compared the file with the ledger. SIGTERM, or with
``--watch-stdin`` the end of its standard input (whoever started it has gone), lets it write what the stream still
holds and end with 0. It ends with 1 if it must not write, or could not write to the end.
"""

import argparse
import asyncio
import logging
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from runcap.audit.auditor import Auditor
from runcap.audit.schema import AuditFileError
from runcap.audit.store import Store
from runcap.decision import Refused
from runcap.hardening import harden

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the auditor; returns the exit code."""
    options = _options(argv)
    harden()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s runcap auditor %(levelname)s %(message)s")
    try:
        asyncio.run(_run(options))
    except (AuditFileError, Refused, sqlite3.Error, OSError) as error:
        logger.error("the auditor ends: %s", error)
        return 1
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="runcap.audit.auditor", description="Writes the ledger's stream to the audit."
    )
    parser.add_argument("--config", type=Path, help="runcap.toml, for what the options below do not say")
    parser.add_argument("--audit", type=Path, help="the SQLite file")
    parser.add_argument(
        "--ledger-url", default=os.environ.get("RUNCAP_LEDGER_URL"), help="redis://, rediss://, unix://"
    )
    parser.add_argument("--namespace", help="the ledger's namespace")
    parser.add_argument("--rebuild", action="store_true", help="rebuild a lost ledger without being asked")
    parser.add_argument("--watch-stdin", action="store_true", help="end when standard input does")
    options = parser.parse_args(argv)
    if options.audit is None or options.ledger_url is None or options.namespace is None:
        from runcap.config import ConfigError, load

        try:
            config = load(options.config)
        except ConfigError as error:
            parser.error(str(error))
        options.audit = options.audit or config.audit_path
        options.ledger_url = options.ledger_url or config.ledger.url
        options.namespace = options.namespace or config.ledger.namespace
    if not options.ledger_url:
        parser.error("--ledger-url is needed: the address of the embedded ledger is known to who started it")
    return options


async def _run(options: argparse.Namespace) -> None:
    from runcap.ledger.ledger import Ledger
    from runcap.ledger.rebuild import rebuild

    ledger = Ledger.connect(options.ledger_url, namespace=options.namespace)
    auditor = Auditor(
        ledger,
        Store(options.audit),
        rebuild=partial(rebuild, ledger, options.audit, "auditor"),
        unasked=options.rebuild,
    )
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, auditor.stop)
    if options.watch_stdin:
        watch_stdin(loop, auditor.stop)
    try:
        announcing = asyncio.create_task(_announce(auditor))
        await auditor.run()
        announcing.cancel()
    finally:
        await ledger.close()


async def _announce(auditor: Auditor) -> None:
    await auditor.ready.wait()
    sys.stdout.write("auditor ready\n")
    sys.stdout.flush()


def watch_stdin(loop: asyncio.AbstractEventLoop, stop: Callable[[], object]) -> None:
    """Stop at the end of standard input. A thread, since an event loop can wait for pipes, but not for every file."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(stop)

    threading.Thread(target=watch, name="stdin", daemon=True).start()
