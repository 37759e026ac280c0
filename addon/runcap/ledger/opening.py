"""What happens to a ledger before it is used: a new one is told so, and the configuration's caps are set."""

import logging
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

from runcap.config import Config
from runcap.decision import Code, Refused
from runcap.ledger.ledger import Ledger

logger = logging.getLogger(__name__)

_ACTOR = "runcap.toml"
"""Who the audit says has set the configuration's caps."""


async def open_for_use(ledger: Ledger, config: Config) -> None:
    """Check the server, initialise a ledger that is new, set the caps of the configuration.

    Raises:
        RuntimeError: the server may evict keys.
        Refused: ``ledger_unavailable``.
    """
    await ledger.check_server()
    await initialise_if_new(ledger, config.audit_path, _ACTOR)
    try:
        for cap in config.caps:
            await ledger.set_cap(cap.level, cap.selector, cap.caps, _ACTOR)
    except Refused as refused:
        if refused.deny.code is not Code.LEDGER_UNTRUSTED:
            raise
        logger.error("%s", refused)


async def initialise_if_new(ledger: Ledger, audit_path: Path, actor: str) -> bool:
    """Make a new ledger usable; returns whether the ledger is usable now.

    A ledger is new only if the audit has no rows. An empty ledger behind an audit that has some is a loss: it stays
    untrusted, and every call is refused, until it is rebuilt.

    Raises:
        Refused: ``ledger_unavailable``.
    """
    if await ledger.is_initialised():
        return True
    if audit_has_rows(audit_path):
        return False
    return await ledger.initialise(secrets.token_hex(16), actor)


def audit_has_rows(path: Path) -> bool:
    """Whether there is an audit file, and something in it."""
    if not path.exists():
        return False
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        tables = "SELECT count(*) FROM sqlite_master WHERE name IN ('calls', 'admin')"
        rows = "SELECT EXISTS (SELECT 1 FROM calls) OR EXISTS (SELECT 1 FROM admin)"
        return bool(db.execute(tables).fetchone() == (2,) and db.execute(rows).fetchone() == (1,))
