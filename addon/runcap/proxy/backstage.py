"""What stands behind the proxy's workers: the embedded ledger, the caps of the configuration, the auditor.

`runcap up`'s supervisor holds one for all its workers; under mitmdump the addon holds one itself. Several of them on
one home get along: the embedded ledger is shared, and only one auditor at a time has the audit file's lock.
"""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from runcap.config import Config
from runcap.home import prepare
from runcap.ledger.embedded import EmbeddedLedger
from runcap.ledger.ledger import Ledger
from runcap.ledger.opening import open_for_use
from runcap.pki.ca import Authority
from runcap.pki.trust import write_bundle
from runcap.secretstore import hidden_variables, without_secrets

logger = logging.getLogger(__name__)

LEDGER_URL = "RUNCAP_LEDGER_URL"
"""Tells a child where the ledger is (not on its command line: the URL may carry a password), and that somebody else
looks after it and the auditor."""

RECONCILED = "twilio"
"""The only vendor whose prices come later (`runcap.audit.reconciling`)."""

_WATCH_SECONDS = 0.5
_AUDITOR_PAUSE_SECONDS = 0.5
"""Between an auditor that died and the next."""
_RECONCILER_DELAY_SECONDS = 3.0
"""It starts behind what calls wait for: no price is asked for in a call's first minute."""
_RECONCILER_PAUSE_SECONDS = 30.0
"""Longer: nothing waits for it."""


class Backstage:
    """Starts ledger and auditor, and keeps them alive until it is left."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._embedded = None if config.ledger.url else EmbeddedLedger(config.home)
        self._tasks: list[asyncio.Task[None]] = []
        self._auditor: asyncio.subprocess.Process | None = None
        self._reconciler: asyncio.subprocess.Process | None = None
        self._leaving = False

    @property
    def ledger_url(self) -> str:
        """Where the ledger is."""
        return self._config.ledger.url if self._embedded is None else self._embedded.url

    async def __aenter__(self) -> Self:
        prepare(self._config.home)
        # For agents in containers: the bundle is there to be mounted before anybody asks for it.
        authority = Authority.load_or_create(self._config.home / "ca")
        for warning in authority.warnings():
            logger.warning("%s", warning)
        write_bundle(authority)
        if self._embedded is not None:
            await asyncio.to_thread(self._embedded.acquire)
        try:
            await self._prepare_ledger()
            await self._start_auditor()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        self._tasks = [asyncio.create_task(self._watch_auditor())]
        if self._config.vendors[RECONCILED].account_sid:
            self._tasks.append(asyncio.create_task(self._keep_reconciler()))
        if self._embedded is not None:
            self._tasks.append(asyncio.create_task(self._watch_ledger(self._embedded)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the auditor write what is left, then leave the ledger to whoever else uses it."""
        self._leaving = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # The reconciler first: what it has settled is for the auditor to write. It may be ended anywhere.
        if self._reconciler is not None:
            with contextlib.suppress(ProcessLookupError):
                self._reconciler.terminate()
        for process in (self._reconciler, self._auditor):
            await self._end(process)
        if self._embedded is not None:
            await asyncio.to_thread(self._embedded.release)

    async def _prepare_ledger(self) -> None:
        ledger = Ledger.connect(self.ledger_url, namespace=self._config.ledger.namespace)
        try:
            await open_for_use(ledger, self._config)
        finally:
            await ledger.close()

    async def _start_auditor(self) -> None:
        """Start it; it ends by itself, after its last row, when the pipe to its stdin closes."""
        self._auditor = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "runcap.audit.auditor", "--audit", str(self._config.audit_path),
            "--namespace", self._config.ledger.namespace, "--watch-stdin",
            *(["--rebuild"] if self._embedded is not None else []),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            env=without_secrets(os.environ, self._config) | {LEDGER_URL: self.ledger_url},
            start_new_session=True,
            pass_fds=self.lock_fds,
        )  # fmt: skip

    async def _start_reconciler(self) -> None:
        """Start it; only of the vendor that it asks does it get the secret. It ends as the auditor does."""
        config = [] if self._config.source is None else ["--config", str(self._config.source)]
        self._reconciler = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "runcap.audit.reconciling", "--watch-stdin", *config,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            env=reconciler_environment(os.environ, self._config)
            | {LEDGER_URL: self.ledger_url, "RUNCAP_HOME": str(self._config.home)},
            start_new_session=True,
            pass_fds=self.lock_fds,
        )  # fmt: skip

    async def _end(self, process: asyncio.subprocess.Process | None) -> None:
        """Close its standard input, and wait until it has ended; kill it if that takes too long."""
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), self._config.proxy.drain_seconds)
        if process.returncode is None:
            process.kill()
            await process.wait()

    @property
    def lock_fds(self) -> tuple[int, ...]:
        """Descriptors that a child must inherit to keep the embedded ledger alive should we die before it."""
        return () if self._embedded is None else self._embedded.lock_fds

    async def _watch_auditor(self) -> None:
        while True:
            assert self._auditor is not None
            code = await self._auditor.wait()
            logger.error("the auditor ended with %s; starting another", code)
            await asyncio.sleep(_AUDITOR_PAUSE_SECONDS)
            await self._start_auditor()

    async def _keep_reconciler(self) -> None:
        await asyncio.sleep(_RECONCILER_DELAY_SECONDS)
        while True:
            await self._start_reconciler()
            assert self._reconciler is not None
            code = await self._reconciler.wait()
            logger.error("the reconciler ended with %s; starting another", code)
            await asyncio.sleep(_RECONCILER_PAUSE_SECONDS)

    async def _watch_ledger(self, embedded: EmbeddedLedger) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            try:
                restarted = await asyncio.to_thread(embedded.ensure_running)
            except (RuntimeError, OSError) as error:
                logger.error("the embedded ledger does not run: %s", error)
            else:
                if restarted:
                    logger.error("the embedded ledger had ended and was started again")


def reconciler_environment(environment: Mapping[str, str], config: Config) -> dict[str, str]:
    """An environment with what the secret of the reconciled vendor takes, and without the other vendors' secrets."""
    own = config.vendors[RECONCILED].secret
    others = {vendor.secret.removeprefix("env:") for vendor in config.vendors.values() if vendor.secret != own}
    return without_secrets(environment, config, hidden_variables(config) - others)
