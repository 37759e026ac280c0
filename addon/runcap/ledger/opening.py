"""What happens to a ledger before it is used.

A new one is told so, a lost one is found and, if it is the embedded one, rebuilt, and the configuration's caps are set.
"""

import asyncio
import contextlib
import logging
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

from runcap.audit.lease import holder_of
from runcap.audit.lock import exclusive, lock_path
from runcap.config import Config
from runcap.decision import Code, Refused
from runcap.ledger.ledger import Ledger
from runcap.ledger.rebuild import Rebuilt, rebuild
from runcap.ledger.standing import Standing, compare, looking_at

logger = logging.getLogger(__name__)

_ACTOR = "runcap.toml"
"""Who the audit says has set the configuration's caps."""
_START_ACTOR = "runcap"
_WAIT_SECONDS = 60.0
"""For somebody else who writes the audit, and so is the one who rebuilds the embedded ledger."""
_LOCK_SECONDS = 0.5
"""For the audit's lock, before it is taken for granted that somebody is writing the audit."""
_LOOK_SECONDS = 0.1


async def open_for_use(ledger: Ledger, config: Config) -> None:
    """Check the server, initialise a ledger that is new, rebuild an embedded one that is lost, set the caps.

    Raises:
        RuntimeError: the server may evict keys.
        Refused: ``ledger_unavailable``.
    """
    await ledger.check_server()
    await initialise_if_new(ledger, config.audit_path, _ACTOR)
    await make_current(ledger, config.audit_path, embedded=not config.ledger.url)
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


async def make_current(ledger: Ledger, audit_path: Path, *, embedded: bool) -> bool:
    """Compare the ledger with the audit, and vouch for it if it has lost nothing.

    One that has refuses all calls from here on. The embedded one is rebuilt at once; any other waits for an operator,
    who knows whether this audit is the right one for it.

    Returns:
        Whether calls can be decided now.

    Raises:
        Refused: ``ledger_unavailable``.
    """
    standing, state = await compare(ledger, looking_at(audit_path))
    if standing is Standing.CURRENT:
        return state.vouched or await ledger.vouch(state)
    if standing is Standing.LOST:
        await ledger.distrust(state)
    if standing is Standing.FOREIGN and state.anchored_by not in ("", holder_of(lock_path(audit_path))):
        return state.vouched  # the audit is written on another host: who writes it there compares
    if standing is Standing.FOREIGN:
        logger.error("%s is not the audit that the ledger has seen grow: see `runcap audit verify`", audit_path)
        return False
    if embedded and standing is not Standing.NEW:
        logger.error("the embedded ledger lacks what the audit knows: rebuilding it from %s", audit_path)
        return await _rebuild_alone(ledger, audit_path)
    logger.error("the ledger lacks what the audit knows and takes no calls: `runcap ledger rebuild` makes it whole")
    return False


async def _rebuild_alone(ledger: Ledger, audit_path: Path) -> bool:
    """Rebuild, or wait until whoever writes the audit already has done so."""
    give_up = asyncio.Event()
    asyncio.get_running_loop().call_later(_WAIT_SECONDS, give_up.set)
    async with exclusive(lock_path(audit_path), give_up) as held:
        standing, state = await compare(ledger, looking_at(audit_path))
        if held and standing in (Standing.LOST, Standing.REBUILDING):
            try:
                await rebuild(ledger, audit_path, _START_ACTOR)
            except RuntimeError as error:
                logger.error("the embedded ledger could not be rebuilt: %s", error)
                return False
            return True
        return standing is Standing.CURRENT and (state.vouched or await ledger.vouch(state))


async def rebuild_on_request(
    ledger: Ledger, audit_path: Path, actor: str, *, unverified: bool = False
) -> Rebuilt | None:
    """Rebuild because an operator says so, whatever the ledger holds; whoever writes the audit is asked to, if any.

    Returns:
        What came back; None if it was done by who writes the audit.

    Raises:
        LookupError: there is no audit to rebuild from.
        RuntimeError: the audit is another ledger's, or not whole, or who writes it has not rebuilt the ledger in time.
        Refused: ``ledger_unavailable``.
    """
    standing, before = await compare(ledger, looking_at(audit_path))
    if standing is Standing.FOREIGN:
        raise RuntimeError(f"{audit_path} is not the audit that the ledger has seen grow: see `runcap audit verify`")
    if not audit_has_rows(audit_path):
        raise LookupError(f"there is nothing in {audit_path} to rebuild a ledger from")
    give_up = asyncio.Event()
    asyncio.get_running_loop().call_later(_LOCK_SECONDS, give_up.set)
    async with exclusive(lock_path(audit_path), give_up) as held:
        if held:
            return await rebuild(ledger, audit_path, actor, unverified=unverified)
    if unverified:
        raise RuntimeError("runcap is running: stop it first, since it only rebuilds from an audit that is whole")
    await ledger.ask_for_rebuild()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_WAIT_SECONDS):
            while (state := await ledger.state()).rebuilding or state.epoch in ("", before.epoch):  # noqa: ASYNC110 (another process)
                await asyncio.sleep(_LOOK_SECONDS)
            return None
    raise RuntimeError(f"whoever writes {audit_path} has not rebuilt the ledger: its log says why")


def audit_has_rows(path: Path) -> bool:
    """Whether there is an audit file, and something in it."""
    if not path.exists():
        return False
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        tables = "SELECT count(*) FROM sqlite_master WHERE name IN ('calls', 'admin')"
        rows = "SELECT EXISTS (SELECT 1 FROM calls) OR EXISTS (SELECT 1 FROM admin)"
        return bool(db.execute(tables).fetchone() == (2,) and db.execute(rows).fetchone() == (1,))
