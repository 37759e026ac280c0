"""Whether the ledger is still the one that the audit knows, and what brings a lost one back, a script for each step.

`runcap.ledger.standing` decides by these, `runcap.ledger.rebuild` puts the steps in order.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import batched
from typing import Any, cast

import msgspec

from runcap.ledger.client import Client
from runcap.ledger.model import Caps

_ITEMS_AT_ONCE = 500
"""Items in one script: some 10 ms, for which the server does nothing else."""
_BATCHES_AHEAD = 3
"""Sent while the server works on the first: neither waits for the other."""
_WIPED_AT_ONCE = 5000

type Item = list[str | int]
"""One argument group of scripts/restore.lua."""


@dataclass(frozen=True, slots=True)
class LedgerState:
    """Where the ledger stands."""

    epoch: str
    """Empty: there is no ledger, or it has lost everything."""
    rebuilding: str
    """Empty: no; ``1``: it is not trusted until it has been rebuilt; ``asked``: an operator wants that."""
    anchor_seq: int | None
    anchor_hash: str
    anchor_id: str
    server: str
    """Which process of which server answers."""
    vouched: bool
    """Somebody has compared this very server with the audit: it takes calls."""
    anchored_by: str = ""
    """Whose file has the anchor's row (`runcap.audit.lease`); empty: nobody knows."""


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A reservation that is open in a ledger about to be rebuilt."""

    reservation_id: str
    deadline_ms: int
    text: str
    """As the ledger keeps it (scripts/reservations.lua)."""
    idempotency_key: str
    """Key of its idempotency record without prefix; empty: none."""
    idempotency_ttl_ms: int
    idempotency_fields: tuple[str, ...]
    """Names and values by turns."""

    @property
    def day(self) -> str:
        """UTC, ``2026-11-24``: where it is held, and will be counted."""
        return self.text.split("\n", 5)[4]


@dataclass(slots=True)
class Snapshot:
    """What the audit can vouch for, as the ledger has it in one moment."""

    last_id: str
    """The stream's last entry: what the audit must say up to it."""
    spent: dict[str, dict[str, str]] = field(default_factory=dict)
    """Selector → field (``day:2026-11-24:spent``) → micros, as they stand there."""
    runs: dict[str, tuple[str, Caps, bool]] = field(default_factory=dict)
    """run_id → key digest, caps, whether it is revoked."""
    caps: dict[str, Caps] = field(default_factory=dict)
    frozen: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)


class Restoring:
    """The methods that auditor and rebuild need."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def state(self) -> LedgerState:
        """Where the ledger stands.

        Raises:
            Refused: ``ledger_unavailable``.
        """
        _, epoch, rebuilding, seq, digest, stream_id, server, by, vouched = await self._client.run("state", ())
        return LedgerState(epoch, rebuilding, int(seq) if seq else None, digest, stream_id, server, vouched == "1", by)

    async def vouch(self, state: LedgerState) -> bool:
        """Say that this server holds all that the audit knows; False if it is not the compared one any more.

        Raises:
            Refused: ``ledger_unavailable``.
        """
        reply = await self._client.run("vouch", (state.epoch, state.server))
        return reply[1] == "1"

    async def distrust(self, state: LedgerState) -> bool:
        """Stop all calls of a ledger that was found behind the audit; False if it is not that ledger any more.

        Raises:
            Refused: ``ledger_unavailable``.
        """
        seq = "" if state.anchor_seq is None else state.anchor_seq
        return (await self._client.run("distrust", ("seen", state.epoch, seq)))[1] == "1"

    async def ask_for_rebuild(self) -> None:
        """Stop all calls until whoever writes the audit has rebuilt the ledger.

        Raises:
            Refused: ``ledger_unavailable``.
        """
        await self._client.run("distrust", ("asked", "", ""))

    async def stop_for_rebuild(self) -> None:
        """Stop all calls and ends of calls: a rebuild begins.

        Raises:
            Refused: ``ledger_unavailable``.
        """
        await self._client.run("distrust", ("begin", "", ""))

    async def open_calls(self) -> list[OpenCall]:
        """All reservations that are open, whatever state the ledger is in.

        Raises:
            Refused: ``ledger_unavailable``.
        """
        _, *items = cast("list[Any]", await self._client.run("open_calls", ()))
        return [
            OpenCall(number, int(deadline), text, key, int(ttl), tuple(fields))
            for number, deadline, text, key, ttl, *fields in items
        ]

    async def wipe(self) -> None:
        """Delete the namespace, all but the mark that keeps it untrusted.

        Raises:
            RuntimeError: no rebuild is under way.
            Refused: ``ledger_unavailable``.
        """
        cursor = "0"
        while True:
            status, *rest = await self._client.run("wipe", (cursor, _WIPED_AT_ONCE))
            _check_rebuilding(status)
            [cursor] = rest
            if cursor == "0":
                return

    async def begin_rebuild(self, epoch: str, actor: str, anchor: tuple[int, str, str]) -> None:
        """Make the wiped namespace a ledger that continues the audit behind `anchor`: seq, hash and stream id.

        Raises:
            RuntimeError: no rebuild is under way, or somebody has written to the namespace meanwhile.
            Refused: ``ledger_unavailable``.
        """
        detail = msgspec.json.encode({"actor": actor, "epoch": epoch}).decode()
        [status] = await self._client.run("begin_rebuild", (epoch, *anchor, detail))
        _check_rebuilding(status)
        if status == "NOT_EMPTY":
            raise RuntimeError("something was written to the ledger while it was rebuilt: try again")

    async def restore(self, items: Iterable[Item]) -> None:
        """Put back what the audit says the ledger held; after the runs and caps are back.

        Raises:
            RuntimeError: no rebuild is under way: it would be put on top of what the ledger knows.
            Refused: ``ledger_unavailable`` or ``ledger_untrusted``.
        """
        under_way: set[asyncio.Task[None]] = set()
        try:
            for some in batched(items, _ITEMS_AT_ONCE):
                if len(under_way) == _BATCHES_AHEAD:
                    done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                    await asyncio.gather(*done)  # raises if one of them failed
                under_way.add(asyncio.create_task(self._restore([part for item in some for part in item])))
                await asyncio.sleep(0)  # it is sent now, and the server works while the next batch is made
            await asyncio.gather(*under_way)
        finally:
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _restore(self, args: Sequence[str | int]) -> None:
        [status] = await self._client.run("restore", args)
        _check_rebuilding(status)

    async def ready(self, actor: str) -> None:
        """End a rebuild: calls are decided from now on.

        Raises:
            Refused: ``ledger_unavailable`` or ``ledger_untrusted``.
        """
        await self._client.run("ready", (msgspec.json.encode({"actor": actor}).decode(),))

    async def snapshot(self) -> Snapshot:
        """All that the audit can vouch for, as it is in one moment.

        Raises:
            Refused: ``ledger_unavailable`` or ``ledger_untrusted``.
        """
        _, last_id, *items = cast("list[Any]", await self._client.run("snapshot", ()))
        found = Snapshot(last_id)
        for kind, name, *rest in items:
            match kind:
                case "spend":
                    found.spent[name] = {
                        key: value for key, value in zip(rest[::2], rest[1::2], strict=True) if key.endswith(":spent")
                    }
                case "run":
                    found.runs[name] = (rest[0], _caps(rest[1:4]), rest[4] != "")
                case "cap":
                    found.caps[name] = _caps(rest[0].split("|"))
                case "frozen":
                    found.frozen.add(name)
                case "open":
                    found.open.add(name)
        return found


def _check_rebuilding(status: str) -> None:
    if status == "NOT_REBUILDING":
        raise RuntimeError("only a ledger that is being rebuilt can be wiped or filled")


def _caps(texts: Sequence[str]) -> Caps:
    return Caps(*(int(text) if text else None for text in texts))
