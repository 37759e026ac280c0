"""What an operator does to the ledger: runs, caps, freezes. Each change holds for the very next call everywhere.

Each change and its audit row are one script. The row's detail names who did it (`actor`, such as ``cli:ann@host``),
and that of ``key_issued`` holds all that bringing the run back into an empty ledger needs; never the vault key. A
rebuild brings changes back with an empty `actor`: their rows are in the audit already.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from runcap.ledger import keys
from runcap.ledger.listings import Listings
from runcap.ledger.model import Caps, Level, Run, Window
from runcap.money import MAX_LEDGER_MICROS
from runcap.runs import check_label

_ACTION = re.compile(r"[a-z]{1,24}(?:_[a-z]{1,24}){1,4}", re.ASCII)


class Admin(Listings):
    """The methods that change who may spend what."""

    async def clock_ms(self) -> int:
        """The ledger's clock, in ms since 1970 (UTC): expiries and windows go by it.

        Raises:
            Refused: ``ledger_unavailable``.
        """
        seconds, microseconds = await self._client.command("TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def issue(self, run: Run, actor: str, *, ttl_ms: int | None = None) -> Run:
        """Add a run.

        Args:
            run: `created_at_ms` 0 means now.
            actor: who issues it; empty in a rebuild.
            ttl_ms: sets `expires_at_ms` to that long from now, by the ledger's clock.

        Returns:
            The run with its times filled in.

        Raises:
            ValueError: the label, a name or a cap is not acceptable, or the run or its key exists.
            Refused: ``ledger_unavailable`` or ``ledger_untrusted``.
        """
        _check_run(run)
        if not run.created_at_ms or ttl_ms is not None:
            now = await self.clock_ms()
            run = replace(
                run,
                created_at_ms=run.created_at_ms or now,
                expires_at_ms=run.expires_at_ms if ttl_ms is None else now + ttl_ms,
            )
        reply = await self._client.run(
            "issue",
            (
                run.key_digest,
                run.run_id,
                run.label,
                _listing(run.vendors),
                run.policy.document(),
                *map(_optional, (run.caps.day, run.caps.month, run.caps.total)),
                run.created_at_ms,
                _optional(run.expires_at_ms),
                _optional(run.revoked_at_ms),
                _json(actor, run=run),
            ),
        )
        if reply[0] == "EXISTS":
            raise ValueError(f"the run {run.run_id} or its key exists already")
        return run

    async def revoke(self, run_id: str, actor: str) -> Run | None:
        """Revoke a run's key. Doing it again is no error and keeps the first time.

        Returns:
            The run as it is now; None if there is no such run.

        Raises:
            Refused: ``ledger_unavailable`` or ``ledger_untrusted``.
        """
        reply = await self._client.run("revoke", (run_id, _json(actor)))
        return None if reply[0] == "NONE" else await self.get_run(run_id)

    async def freeze(self, level: Level | str, selector: str, actor: str) -> bool:
        """Let nothing of a run, fleet or vendor through; level ``all`` (selector ``""``) freezes everything.

        Returns:
            Whether that changed anything.

        Raises:
            LookupError: there is no such run.
            ValueError: there is no such level.
            Refused: ``ledger_unavailable`` or ``ledger_untrusted``.
        """
        return await self._set_frozen(level, selector, actor, frozen=True)

    async def unfreeze(self, level: Level | str, selector: str, actor: str) -> bool:
        """Undo `freeze`; returns and raises what that does."""
        return await self._set_frozen(level, selector, actor, frozen=False)

    async def note(self, action: str, detail: Mapping[str, Any], actor: str) -> None:
        """Write an admin row about a change that is not the ledger's own, such as a sealed secret or imported prices.

        Args:
            action: what was done, in snake_case; none that a rebuild brings back.
            detail: JSON values that say more; never a secret.
            actor: who did it.

        Raises:
            ValueError: the action is no such name, or nobody did it.
            Refused: ``ledger_unavailable`` or ``ledger_untrusted``: there is no row then.
        """
        if _ACTION.fullmatch(action) is None or not actor:
            raise ValueError(f"a note needs an actor and an action in snake_case, not {action!r}")
        await self._client.run("note", (action, _json(actor, **detail)))

    async def _set_frozen(self, level: str, selector: str, actor: str, *, frozen: bool) -> bool:
        what = "all" if level == "all" else _selector(level, selector)
        detail = _json(actor, level=level, selector=selector)
        reply = await self._client.run("freeze", (what, "1" if frozen else "0", detail))
        if reply[0] == "NONE":
            raise LookupError(f"there is no run {selector}")
        return reply[1] == "1"

    async def set_cap(self, level: Level, selector: str, caps: Caps, actor: str) -> bool:
        """Set caps of a run, a fleet or a vendor; a window that is None in `caps` stays as it is.

        A fleet is counted from its first cap on, starting with what its runs have counted in the current windows.

        Returns:
            Whether that changed anything: setting what is set already writes no audit row.

        Raises:
            LookupError: there is no such run.
            ValueError: there is no such level, or a cap is out of range.
            Refused: ``ledger_unavailable`` or ``ledger_untrusted``.
        """
        _check_caps(caps)
        wishes = [_optional(caps.day), _optional(caps.month), _optional(caps.total)]
        detail = _json(actor, level=level, selector=selector, caps=caps)
        return await self._change_caps(level, selector, wishes, "cap_set", detail)

    async def remove_cap(self, level: Level, selector: str, window: Window | None, actor: str) -> bool:
        """Remove one cap of a run, a fleet or a vendor, or all of its caps; returns and raises what `set_cap` does."""
        wishes = ["none" if window in (None, name) else "" for name in ("day", "month", "total")]
        detail = _json(actor, level=level, selector=selector, window=window)
        return await self._change_caps(level, selector, wishes, "cap_removed", detail)

    async def _change_caps(self, level: str, selector: str, wishes: list[str], action: str, detail: str) -> bool:
        args = (_selector(level, selector), *wishes, action, detail)
        reply = await self._client.run("set_caps", args)
        if reply[0] == "NONE":
            raise LookupError(f"there is no run {selector}")
        return reply[1] == "1"

    async def initialise(self, epoch: str, actor: str) -> bool:
        """Make an empty namespace a ledger that can be trusted.

        Args:
            epoch: random; tells this ledger from one that it replaces.
            actor: who does it.

        Returns:
            False, and nothing is changed, if the namespace is not wholly empty.

        Raises:
            Refused: ``ledger_unavailable``.
        """
        reply = await self._client.run("initialise", (epoch, _json(actor, epoch=epoch)))
        return reply[0] == "OK"

    async def epoch(self) -> str | None:
        """The ledger's epoch; None if it has none and therefore refuses everything.

        Raises:
            Refused: ``ledger_unavailable``.
        """
        epoch: str | None = await self._client.command("HGET", keys.meta(self._client.prefix), "epoch")
        return epoch

    async def is_initialised(self) -> bool:
        """Whether the ledger has an epoch."""
        return await self.epoch() is not None


def _check_run(run: Run) -> None:
    check_label(run.label)
    _check_caps(run.caps)
    if not run.vendors:
        raise ValueError("a run needs at least one vendor that it may use")
    run.policy.check()
    for name in (run.run_id, run.key_digest, *run.vendors):
        if not name or not name.isprintable() or not name.isascii():
            raise ValueError(f"{name!r} is no name: it has to be printable ASCII")


def _check_caps(caps: Caps) -> None:
    for cap_micros in (caps.day, caps.month, caps.total):
        if cap_micros is not None and not 0 <= cap_micros <= MAX_LEDGER_MICROS:
            raise ValueError(f"a cap of {cap_micros} micro-USD is out of the ledger's range")


def _selector(level: str, name: str) -> str:
    if level not in ("run", "fleet", "vendor"):
        raise ValueError(f"{level!r} is no level: it is run, fleet or vendor")
    if not (name or level == "fleet") or len(name) > 100 or (name and not (name.isprintable() and name.isascii())):
        raise ValueError(f"{name!r} names no {level}: it has to be printable ASCII, 100 characters at the most")
    return f"{level}:{name}"


def _listing(items: tuple[str, ...]) -> str:
    return "\n" + "\n".join(items) + "\n" if items else ""


def _optional(number: int | None) -> str:
    return "" if number is None else str(number)


def _json(actor: str, **detail: Any) -> str:
    """A row's detail; empty, and so no row, for what a rebuild brings back."""
    return "" if not actor else msgspec.json.encode({"actor": actor, **detail}).decode()
