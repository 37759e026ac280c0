"""What the auditor asks of the ledger."""

from collections.abc import Mapping
from typing import Any, Protocol

from runcap.ledger.restoring import LedgerState


class AuditLedger(Protocol):
    """What the auditor asks of the ledger (`runcap.ledger.ledger.Ledger`); each raises `Refused` if it fails."""

    async def read_audit(self, after_id: str, count: int, block_ms: int = 0) -> list[tuple[str, dict[str, str]]]:
        """The next entries of the stream."""

    async def trim_audit(self, through_id: str) -> object:
        """Drop the entries up to and with this one."""

    async def set_anchor(self, seq: int, hash: str, stream_id: str, after: str, holder: str) -> bool:  # noqa: A002 (the ledger's own name)
        """Remember the last row; False if the anchor is not the row with the hash `after`, or another has the lease."""

    async def lease(self, holder: str, ttl_ms: int) -> bool:
        """Take or renew the right to write; 0 gives it back."""

    async def state(self) -> LedgerState:
        """Where the ledger stands."""

    async def vouch(self, state: LedgerState) -> bool:
        """Say that it holds all that the audit knows."""

    async def distrust(self, state: LedgerState) -> bool:
        """Have it refuse all calls."""

    async def note(self, action: str, detail: Mapping[str, Any], actor: str) -> None:
        """Write an admin row."""

    async def audit_backlog(self) -> int:
        """How many entries the stream holds."""

    async def sweep(self, limit: int) -> int:
        """End stale reservations; how many there were."""
