"""What the ledger can be asked about runs, caps, freezes and spend. Nothing here changes anything."""

from typing import Any

from runcap.ledger import keys
from runcap.ledger.client import Client
from runcap.ledger.model import WINDOWS, Caps, CapSetting, Level, Run, Spend, Window
from runcap.ledger.policy import read_policy

_LOOKED_AT_ONCE = 5000
"""Keys in one page of a walk through the namespace: some ms, for which the server does nothing else."""


class Listings:
    """The methods that only read."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def get_run(self, run_id: str) -> Run | None:
        """One run, or None.

        Raises:
            Refused: ``ledger_unavailable``.
        """
        found = await self._runs([run_id])
        return found[0] if found else None

    async def list_runs(self, prefix: str = "", limit: int = 1000) -> list[Run]:
        """Runs whose label starts with `prefix`, by label and then by age, at most `limit`.

        Raises:
            Refused: ``ledger_unavailable``.
        """
        labels = keys.labels(self._client.prefix)
        members = await self._client.command("ZRANGEBYLEX", labels, f"[{prefix}", f"({prefix}\x7f", "LIMIT", 0, limit)
        return await self._runs([member.partition("\0")[2] for member in members])

    async def list_frozen(self) -> list[tuple[str, str]]:
        """What is frozen, as level and selector; level ``all`` has the selector ``""``.

        Raises:
            Refused: ``ledger_unavailable``.
        """
        fields = await self._client.command("HKEYS", keys.frozen(self._client.prefix))
        return sorted((level, name) for level, _, name in (field.partition(":") for field in fields))

    async def list_caps(self) -> list[CapSetting]:
        """All caps of fleets and vendors, with what the current windows have counted. A run's caps are in `Run`.

        Raises:
            Refused: ``ledger_unavailable`` or ``ledger_untrusted``.
        """
        stored: dict[str, str] = await self._client.command("HGETALL", keys.caps(self._client.prefix))
        spends = await self._spends(sorted(stored))
        return [
            CapSetting(_level(selector), selector.partition(":")[2], window, int(text), spends[selector][window])
            for selector in sorted(stored)
            for window, text in zip(WINDOWS, stored[selector].split("|"), strict=True)
            if text
        ]

    async def spend(self, level: Level, selector: str) -> dict[Window, Spend]:
        """What a run, fleet or vendor has counted in the current windows; zeros for a fleet that has had no cap.

        Raises:
            Refused: ``ledger_unavailable`` or ``ledger_untrusted``.
        """
        name = f"{level}:{selector}"
        return (await self._spends([name]))[name]

    async def check(self) -> list[str]:
        """Compare all that is held with the open reservations: differences in plain English, none if it is sound.

        The server stands still for it, about 0.1 s for 10,000 runs.

        Raises:
            Refused: ``ledger_unavailable`` or ``ledger_untrusted``.
        """
        _, *differences = await self._client.run("check", ())
        cursor, orphans = "0", dict[str, None]()  # a page may name a key twice
        while True:
            _, cursor, *found = await self._client.run("orphans", (cursor, _LOOKED_AT_ONCE))
            orphans |= dict.fromkeys(found)
            if cursor == "0":
                return [*differences, *orphans]

    async def _spends(self, selectors: list[str]) -> dict[str, dict[Window, Spend]]:
        _, *numbers = await self._client.run("spend", selectors)
        spends = [Spend(int(held), int(spent)) for held, spent in zip(numbers[::2], numbers[1::2], strict=True)]
        rows = (spends[start : start + len(WINDOWS)] for start in range(0, len(spends), len(WINDOWS)))
        return {selector: dict(zip(WINDOWS, row, strict=True)) for selector, row in zip(selectors, rows, strict=True)}

    async def _runs(self, run_ids: list[str]) -> list[Run]:
        if not run_ids:
            return []
        prefix = self._client.prefix
        digests = await self._client.command("HMGET", keys.run_ids(prefix), *run_ids)
        known = [(run_id, digest) for run_id, digest in zip(run_ids, digests, strict=True) if digest]
        if not known:
            return []
        frozen = await self._client.command("HMGET", keys.frozen(prefix), *(f"run:{run_id}" for run_id, _ in known))
        stored = await self._client.many([("HGETALL", keys.run(prefix, digest)) for _, digest in known])
        return [
            _read_run(digest, fields, frozen=since is not None)
            for (_, digest), fields, since in zip(known, stored, frozen, strict=True)
            if fields
        ]


def _read_run(digest: str, fields: dict[str, Any], *, frozen: bool) -> Run:
    return Run(
        run_id=fields["run_id"],
        label=fields["label"],
        key_digest=digest,
        caps=Caps(*(_optional(fields[f"cap_{window}"]) for window in WINDOWS)),
        vendors=_items(fields["vendors"]),
        policy=read_policy(fields["policy"]),
        created_at_ms=int(fields["created_ms"]),
        expires_at_ms=_optional(fields["expires_ms"]),
        revoked_at_ms=_optional(fields["revoked_ms"]),
        frozen=frozen,
    )


def _level(selector: str) -> Level:
    return "fleet" if selector.startswith("fleet:") else "vendor"


def _items(listing: str) -> tuple[str, ...]:
    return tuple(item for item in listing.split("\n") if item)


def _optional(text: str) -> int | None:
    return int(text) if text else None
