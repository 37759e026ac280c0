"""The right to write the audit, where several hosts share one ledger: a lease in the ledger, by the ledger's clock.

On one host the lock on the file decides, as ever. Between hosts, each with a file of its own, only the holder of the
lease reads the stream and writes. It renews the lease with every round; if it dies or hangs, another takes over after
`LEASE_MS`. Who has lost the lease must not write any more, and cannot know it at once: so no transaction is committed
later than the lease is sure to last, and the ledger takes an anchor from its holder alone.
"""

import os
import re
import secrets
import time
from pathlib import Path
from typing import Protocol

LEASE_MS = 5000
_MARGIN_SECONDS = 1.0
"""The lease ends that much sooner for us than for the ledger, which has begun to count later than we have."""

_HOLDER = re.compile(r"[0-9a-f]{32}", re.ASCII)


class LeasingLedger(Protocol):
    """What is asked of the ledger (`runcap.ledger.ledger.Ledger`)."""

    async def lease(self, holder: str, ttl_ms: int) -> bool:
        """Take or renew the lease; 0 gives it back."""


class Lease:
    """One holder's lease, or its wait for it."""

    def __init__(self, ledger: LeasingLedger, lock_file: Path) -> None:
        """The holder is who has the lock file, which knows its name."""
        self._ledger = ledger
        self._lock_file = lock_file
        self._until = 0.0
        self.holder = ""
        """Set by `hold`."""

    async def hold(self) -> bool:
        """Take or renew it; False: another has it.

        Raises:
            Refused: ``ledger_unavailable``.
        """
        self.holder = self.holder or holder_of(self._lock_file)
        began = time.monotonic()
        if await self._ledger.lease(self.holder, LEASE_MS):
            self._until = began + LEASE_MS / 1000 - _MARGIN_SECONDS
            return True
        self._until = 0.0
        return False

    def lasts(self) -> bool:
        """Whether it is sure to last at this moment."""
        return time.monotonic() < self._until

    async def give_back(self) -> None:
        """Let another take it at once.

        Raises:
            Refused: ``ledger_unavailable``; it ends by itself then.
        """
        if self._until:
            self._until = 0.0
            await self._ledger.lease(self.holder, 0)


def holder_of(lock_file: Path) -> str:
    """The name by which whoever writes this host's file holds the lease; kept in the lock file, and made at first."""
    found = lock_file.read_text("ascii", "replace") if lock_file.exists() else ""
    if _HOLDER.fullmatch(found):
        return found
    made = secrets.token_hex(16)
    descriptor = os.open(lock_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 (of a descriptor with its mode)
        file.write(made)
    return made
