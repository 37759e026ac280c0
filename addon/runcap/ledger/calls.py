"""The ledger's part in the way of a call: reserve, finish, sweep, and the audit rows of what was refused."""

import logging
from dataclasses import dataclass
from typing import Any

import msgspec

from runcap.decision import Code, Deny, Refused, refuse
from runcap.ledger.client import UNREPLICATED, Client
from runcap.ledger.denials import read_denial
from runcap.ledger.model import Ask, End, Ended, Held, UnderWay
from runcap.vendors.base import Ending

logger = logging.getLogger(__name__)

_NOTHING = ("",) * 6

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Authorized:
    """Whose key it is."""

    run_id: str
    label: str


class Calls:
    """The methods that handling a call needs, each one script and one round trip."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._under_way: dict[str, tuple[str, ...]] = {}
        """What a ledger that is rebuilt meanwhile needs to count a call of ours that it has never heard of."""

    async def reserve(self, ask: Ask) -> Held:
        """Hold a quote against every cap that applies, or against none.

        Raises:
            Refused: for any reason at all. The script has written the audit row, unless the code is
                ``ledger_unavailable``, ``ledger_untrusted`` or ``audit_unavailable``.
            UnderWay: a first call under the same idempotency key has not ended; only if the ask waits for it.
        """
        asked_row, client, replicated = _json(ask.row), self._client, True
        args = (
            ask.reservation_id,
            ask.key_digest,
            ask.vendor,
            ask.operation,
            ask.micros,
            ask.deadline_ms,
            asked_row,
            ask.object_id or "",
            "1" if ask.needs_allow else "0",
            ask.idempotency_digest or "",
            ask.fingerprint,
            ask.account,
            ask.country,
            ask.currency,
            "1" if ask.refund else "0",
            ask.send_digest,
            "1" if ask.waits else "0",
        )
        if client.wait_replicas:
            reply, replicated = await client.run_replicated("reserve", args)
        else:
            reply = await client.run("reserve", args)
        if reply[0] == "UNDER_WAY":
            raise UnderWay
        _raise_denial(reply, ask.vendor, ask.operation)
        if not replicated:
            row = {"status": 503, "code": str(Code.LEDGER_UNAVAILABLE)}
            await self.finish(End(ask.reservation_id, Ending.RELEASED, row=row))
            raise refuse(Code.LEDGER_UNAVAILABLE, UNREPLICATED)
        _, run_id, label, held, spent, remaining, epoch, ends_matter = reply
        if int(held) or ask.object_id:  # what adds nothing now never does
            micros = ask.micros if ask.object_id else int(held)
            self._under_way[ask.reservation_id] = (
                epoch, run_id, ask.vendor, str(micros), ask.object_id or "", asked_row,
            )  # fmt: skip
        return Held(
            ask.reservation_id,
            run_id,
            label,
            int(held),
            int(spent),
            int(remaining) if remaining else None,
            ends_matter=ends_matter == "1",
        )

    async def authorize(
        self, digest: str, vendor: str, operation: str, *, needs_allow: bool, row: dict[str, Any], account: str = ""
    ) -> Authorized:
        """Check a key and its policy alone, before a lookup that the price depends on.

        Args:
            digest: SHA-256 of the vault key, hex.
            vendor: its name.
            operation: ``METHOD /path/{template}``.
            needs_allow: the operation is refused unless the run's policy names it.
            row: the audit row, written only if this refuses.
            account: the account that the call acts on, if it is not the secret's own; else empty.

        Raises:
            Refused: as `reserve` does.
        """
        allow = "1" if needs_allow else "0"
        reply = await self._client.run("authorize", (digest, vendor, operation, allow, _json(row), account))
        _raise_denial(reply, vendor, operation)
        return Authorized(reply[1], reply[2])

    async def identify(self, digest: str) -> Authorized:
        """Say whose key it is, if it is good, whatever its run may do. Writes no audit row.

        Args:
            digest: SHA-256 of the vault key, hex.

        Raises:
            Refused: ``key_unknown``, ``key_revoked``, ``key_expired``, or as `reserve`.
        """
        reply = await self._client.run("identify", (digest,))
        _raise_denial(reply, "", "")
        return Authorized(reply[1], reply[2])

    async def finish(self, end: End, *, patient: bool = False) -> Ended:
        """End a reservation and write the call's audit row. Ending it again is no error and changes nothing.

        Args:
            end: how it ends.
            patient: nobody waits for it: it may go with the next command.

        Raises:
            Refused: ``ledger_unavailable`` or ``ledger_untrusted``; it may be tried again.
        """
        reply = await self._client.run(
            "finish",
            (
                end.reservation_id,
                str(end.ending),
                end.micros if end.micros is not None and end.ending is Ending.SETTLED else "",
                end.object_id or "",
                "1" if end.final else "0",
                _json(end.row),
                *self._under_way.get(end.reservation_id, _NOTHING),
            ),
            patient=patient,
        )
        self._under_way.pop(end.reservation_id, None)
        if reply[0] == "ALREADY":
            return Ended(0, 0, already=True)
        return Ended(int(reply[1]), int(reply[2]))

    async def sweep(self, limit: int = 100) -> int:
        """End reservations past their deadline as unknown, at most `limit`; returns how many.

        Raises:
            Refused: ``ledger_unavailable`` or ``ledger_untrusted``.
        """
        _, ended, unreadable = await self._client.run("sweep", (limit,))
        if unreadable != "0":
            logger.error("%s reservations past their deadline cannot be read: see `runcap ledger check`", unreadable)
        return int(ended)

    async def record(
        self, row: dict[str, Any], deny: Deny, digest: str | None, *, strangers: bool = True
    ) -> tuple[str, str] | None:
        """Write the audit row of a call that was refused before the ledger was asked.

        Args:
            row: the audit fields that are known.
            deny: the refusal.
            digest: SHA-256 of the vault key, hex, if the call had one.
            strangers: also if no run has that key.

        Returns:
            run_id and label, or None if no run has that key.

        Raises:
            Refused: ``ledger_unavailable``, ``ledger_untrusted`` or ``audit_unavailable``: there is no row then.
        """
        args = (digest or "", deny.decision, str(deny.code), _json(row), "1" if strangers else "0")
        _, run_id, label = await self._client.run("record", args)
        return (run_id, label) if run_id else None


def _raise_denial(reply: list[str], vendor: str, operation: str) -> None:
    if reply[0] == "DENY":
        raise Refused(read_denial(reply, vendor, operation))


def _json(row: dict[str, Any]) -> str:
    return _encode(row).decode()
