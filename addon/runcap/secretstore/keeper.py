"""Keeps a process's secrets fresh: commands run again when their secrets are too old, and everything on SIGHUP.

Commands take their time, so they run in a thread; calls meanwhile go on with the secret that is known.
"""

import asyncio
import logging
from types import TracebackType
from typing import Self

from runcap.secretstore import SecretStore

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 30
"""After a command that failed, at the latest."""


class SecretKeeper:
    """Looks after a store until it is left."""

    def __init__(self, store: SecretStore, max_age_seconds: int) -> None:
        """Take the store, and how old a command's secret may get; 0: as old as it likes."""
        self._store = store
        self._max_age_seconds = max_age_seconds
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Run all commands once, so that no call ever waits for one."""
        fresh = await asyncio.to_thread(self._store.refresh)
        self._task = asyncio.create_task(self._keep(fresh=fresh))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def reload(self) -> None:
        """Read everything anew, soon."""
        self._asked.set()

    async def _keep(self, *, fresh: bool) -> None:
        while True:
            try:
                async with asyncio.timeout(self._pause_seconds(fresh=fresh)):
                    await self._asked.wait()
            except TimeoutError:
                pass
            self._asked.clear()
            try:
                fresh = await asyncio.to_thread(self._store.refresh)
            except Exception:
                logger.exception("the secrets could not be read anew; those that are known stay in use")
                fresh = False

    def _pause_seconds(self, *, fresh: bool) -> int | None:
        if not self._store.has_commands:
            return None
        if not fresh:
            return min(_RETRY_SECONDS, self._max_age_seconds or _RETRY_SECONDS)
        return self._max_age_seconds or None
