"""Entries as the ledger's scripts write them, and a ledger that is a list in memory."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from runcap.decision import Code, refuse
from runcap.ledger.restoring import LedgerState

Entry = tuple[str, dict[str, str]]

FIRST_MS = 1_795_514_400_000
"""2026-11-24T10:00:00Z."""


def call(number: int, *, row: dict[str, Any] | None = None, end: dict[str, Any] | None = None, **flat: str) -> Entry:
    """The entry of a call: 20 dollars to Stripe, allowed and settled, unless told otherwise."""
    row = {
        "vendor": "stripe",
        "method": "POST",
        "path": "/v1/charges",
        "operation": "POST /v1/charges",
        "cost_micros": 20_000_000,
        "amount_minor": 2000,
        "currency": "USD",
        "idempotency_digest": "d" * 64,
    } | (row or {})
    end = {"status": 200, "vendor_request_id": f"req_{number}", "duration_ms": 120, "overhead_us": 900} | (end or {})
    at_ms = FIRST_MS + number
    fields = {
        "kind": "call", "at_ms": str(at_ms), "run_id": "01JDRUN", "label": "billing-nightly", "decision": "allowed",
        "code": "", "outcome": "settled", "settled_micros": "20000000", "spent_micros": "20000000",
        "cap_micros": "500000000", "cap_level": "run", "cap_selector": "01JDRUN", "cap_window": "day",
        "row": json.dumps(row), "end": json.dumps(end),
    }  # fmt: skip
    return f"{at_ms}-0", fields | flat


def blocked(number: int, **flat: str) -> Entry:
    """The entry of a call that a cap has stopped."""
    stream_id, fields = call(number)
    stopped = {"decision": "blocked", "code": "cap_exhausted", "outcome": "", "settled_micros": "", "end": ""}
    return stream_id, fields | stopped | {"spent_micros": "490000000"} | flat


def admin(number: int, action: str = "key_issued", **flat: str) -> Entry:
    """The entry of an act of administration."""
    at_ms = FIRST_MS + number
    fields = {
        "kind": "admin", "at_ms": str(at_ms), "action": action, "run_id": "01JDRUN", "label": "billing-nightly",
        "detail": '{"actor":"ann@host"}',
    }  # fmt: skip
    return f"{at_ms}-0", fields | flat


class FakeLedger:
    """The methods that the auditor uses, on a list."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.entries = list(entries)
        self.anchored: tuple[int, str, str] | None = None
        self.epoch = "epoch"
        self.server = "server"
        """Which process of which server answers."""
        self.vouched = ""
        """The server that somebody has vouched for."""
        self.rebuilding = ""
        self.stale = 0
        """Reservations that wait for the sweeper."""
        self.down = False
        self.fails_once: set[str] = set()
        """Methods whose next call fails."""

    async def read_audit(self, after_id: str, count: int, block_ms: int = 0) -> list[Entry]:
        self._answer("read_audit")
        return [entry for entry in self.entries if _order(entry[0]) > _order(after_id)][:count]

    async def trim_audit(self, through_id: str) -> int:
        self._answer("trim_audit")
        kept = [entry for entry in self.entries if _order(entry[0]) > _order(through_id)]
        trimmed = len(self.entries) - len(kept)
        self.entries = kept
        return trimmed

    async def lease(self, holder: str, ttl_ms: int) -> bool:
        self._answer("lease")
        return ttl_ms > 0

    async def set_anchor(self, seq: int, hash: str, stream_id: str, after: str, holder: str) -> bool:  # noqa: A002
        self._answer("set_anchor")
        if after and (self.anchored is None or self.anchored[1] != after):
            return False
        self.anchored = seq, hash, stream_id
        return True

    async def state(self) -> LedgerState:
        self._answer("state")
        seq, digest, stream_id = self.anchored or (None, "", "")
        vouched = self.vouched == self.server
        return LedgerState(self.epoch, self.rebuilding, seq, digest, stream_id, self.server, vouched=vouched)

    async def vouch(self, state: LedgerState) -> bool:
        self._answer("vouch")
        self.vouched = state.server
        return True

    async def distrust(self, state: LedgerState) -> bool:
        self._answer("distrust")
        self.rebuilding = "1"
        return True

    async def note(self, action: str, detail: Mapping[str, Any], actor: str) -> None:
        self._answer("note")
        ms = max([FIRST_MS, *(_order(stream_id)[0] for stream_id, _ in self.entries)]) + 1_000_000
        fields = {"kind": "admin", "at_ms": str(ms), "action": action, "detail": json.dumps({"actor": actor, **detail})}
        self.entries.append((f"{ms}-0", fields))

    async def audit_backlog(self) -> int:
        self._answer("audit_backlog")
        return len(self.entries)

    async def sweep(self, limit: int) -> int:
        self._answer("sweep")
        swept = min(limit, self.stale)
        self.stale -= swept
        return swept

    def _answer(self, method: str) -> None:
        if self.down or method in self.fails_once:
            self.fails_once.discard(method)
            raise refuse(Code.LEDGER_UNAVAILABLE, "The ledger does not answer.")


def _order(stream_id: str) -> tuple[int, int]:
    ms, _, sequence = stream_id.partition("-")
    return int(ms), int(sequence or 0)
