"""`runcap audit rotate`: asks for the next file, and waits until whoever writes the audit has begun it."""

import asyncio
from pathlib import Path

import click

from runcap.audit.auditor import Auditor
from runcap.audit.files import ROTATION, closed_files
from runcap.audit.store import Store
from runcap.cli._context import actor, open_ledger
from runcap.config import Config

_WAIT_SECONDS = 30.0
_LOOK_SECONDS = 0.05


async def close_current_file(config: Config) -> Path:
    """Have the current file closed; returns where it is now.

    Raises:
        click.ClickException: it was not closed in time.
        Refused: the ledger cannot be reached or trusted.
        AuditFileError: the file is not the one that the ledger has seen grow.
    """
    async with open_ledger(config) as ledger:
        before = closed_files(config.audit_path)
        await ledger.note(ROTATION, {"file": config.audit_path.name}, actor())
        # Where `runcap up` runs, its auditor has the file and does it; where it does not, we are the auditor.
        auditor = Auditor(ledger, Store(config.audit_path))
        writing = asyncio.create_task(auditor.run())
        looking = asyncio.create_task(_wait_for_another(config.audit_path, len(before)))
        try:
            await asyncio.wait({writing, looking}, timeout=_WAIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            looking.cancel()
            auditor.stop()
            await writing
    found = closed_files(config.audit_path)
    if len(found) == len(before):
        raise click.ClickException(
            f"{config.audit_path} could not be closed: somebody else, such as Datasette, has it open. Ask again later."
        )
    return found[-1]


async def _wait_for_another(path: Path, count: int) -> None:
    while len(closed_files(path)) == count:  # noqa: ASYNC110 (another process's doing)
        await asyncio.sleep(_LOOK_SECONDS)
