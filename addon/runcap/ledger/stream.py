"""The ledger's audit stream, as the auditor reads it, and the anchor that it leaves."""

from dataclasses import dataclass
from typing import Any

from runcap.ledger import keys
from runcap.ledger.client import Client


@dataclass(frozen=True, slots=True)
class Anchor:
    """The last row that the audit file holds, kept outside of it: a file that was cut has less."""

    seq: int
    hash: str
    stream_id: str


class AuditStream:
    """The methods that the auditor needs."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def read_audit(self, after_id: str, count: int, block_ms: int = 0) -> list[tuple[str, dict[str, str]]]:
        """Read the rows behind an entry, oldest first.

        Args:
            after_id: the last entry that is known already; ``"0"`` or ``""`` for the very first.
            count: how many at most.
            block_ms: how long to wait if there is none; 0: not at all. Bounded by half the ledger's timeout, so that
                a wait is never taken for a server that hangs.

        Raises:
            Refused: ``ledger_unavailable``.
        """
        parts: list[str | int] = ["XREAD", "COUNT", count]
        if block_ms > 0:
            parts += ["BLOCK", max(1, min(block_ms, int(self._client.timeout_seconds * 500)))]
        reply = await self._client.command(*parts, "STREAMS", keys.audit(self._client.prefix), after_id or "0")
        return [(entry_id, _pairs(fields)) for _, entries in _streams(reply) for entry_id, fields in entries]

    async def trim_audit(self, through_id: str) -> int:
        """Drop the rows up to and including an entry; returns how many.

        Raises:
            Refused: ``ledger_unavailable``.
        """
        ms, _, sequence = through_id.partition("-")
        first_kept = f"{ms}-{int(sequence or 0) + 1}"
        return int(await self._client.command("XTRIM", keys.audit(self._client.prefix), "MINID", "=", first_kept))

    async def audit_backlog(self) -> int:
        """How many rows wait for the auditor.

        Raises:
            Refused: ``ledger_unavailable``.
        """
        return int(await self._client.command("XLEN", keys.audit(self._client.prefix)))

    async def set_anchor(self, seq: int, hash: str, stream_id: str, after: str = "", holder: str = "") -> bool:  # noqa: A002 (the audit's own word)
        """Keep what the audit's last row is. It never moves back.

        Args:
            seq: the row's number.
            hash: the row's hash.
            stream_id: the row's entry.
            after: hash of the anchor that the ledger must have now; empty: whichever.
            holder: who must hold the lease; empty: whoever.

        Returns:
            False, and nothing is changed, if the ledger has another anchor than the expected one, or another
            holds the lease.

        Raises:
            Refused: ``ledger_unavailable`` or ``ledger_untrusted``.
        """
        reply = await self._client.run("set_anchor", (seq, hash, stream_id, after, holder))
        return reply[0] != "OTHER"

    async def lease(self, holder: str, ttl_ms: int) -> bool:
        """Take or renew the right to write the audit, or give it back with 0 ms; False: another has it.

        Raises:
            Refused: ``ledger_unavailable``.
        """
        return (await self._client.run("lease", (holder, ttl_ms)))[1] == "1"

    async def anchor(self) -> Anchor | None:
        """The audit's last row as it was told; None if there has been none.

        Raises:
            Refused: ``ledger_unavailable``.
        """
        fields = ("anchor_seq", "anchor_hash", "anchor_id")
        seq, digest, stream_id = await self._client.command("HMGET", keys.meta(self._client.prefix), *fields)
        return None if seq is None else Anchor(int(seq), digest, stream_id)


def _streams(reply: Any) -> list[Any]:
    """What XREAD found by stream: redis-py gives a list or a dict, by version, and None or nothing for no row."""
    if not reply:
        return []
    return list(reply.items()) if isinstance(reply, dict) else list(reply)


def _pairs(fields: Any) -> dict[str, str]:
    return dict(fields)
