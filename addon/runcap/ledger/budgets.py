"""What a run may still spend, asked with its own vault key. Nothing here changes anything."""

from dataclasses import dataclass

from runcap.ledger import keys
from runcap.ledger.listings import Listings
from runcap.ledger.model import WINDOWS, Level, Run, Spend, Window


@dataclass(frozen=True, slots=True)
class Allowance:
    """One cap that a run's calls have to fit under; or, without a cap, what the run has counted in a window."""

    level: Level
    selector: str
    window: Window
    cap_micros: int | None
    """None only for the run's own windows: it has no cap there."""
    spend: Spend


class Budgets(Listings):
    """The methods behind the budget that an agent can ask for."""

    async def run_of_key(self, key_digest: str) -> Run | None:
        """The run of a vault key (its SHA-256, hex), whatever its state; None if no run has that key.

        Raises:
            Refused: ``ledger_unavailable``.
        """
        run_id = await self._client.command("HGET", keys.run(self._client.prefix, key_digest), "run_id")
        return await self.get_run(run_id) if run_id else None

    async def allowances(self, run: Run) -> list[Allowance]:
        """All that bounds a run: its own windows, then the fleets that its label belongs to, then its vendors.

        Fleets are found by looking up each prefix of the label, as for a call: other runs' caps cost nothing.

        Raises:
            Refused: ``ledger_unavailable`` or ``ledger_untrusted``.
        """
        own = f"run:{run.run_id}"
        wider = [f"fleet:{run.label[:length]}" for length in range(len(run.label) + 1)]
        wider += [f"vendor:{vendor}" for vendor in run.vendors]
        stored = await self._client.command("HMGET", keys.caps(self._client.prefix), *wider)
        capped = {selector: text for selector, text in zip(wider, stored, strict=True) if text}
        spends = await self._spends([own, *capped])
        found = [
            Allowance("run", run.run_id, window, cap, spends[own][window])
            for window, cap in zip(WINDOWS, (run.caps.day, run.caps.month, run.caps.total), strict=True)
        ]
        for selector, text in capped.items():
            level: Level = "fleet" if selector.startswith("fleet:") else "vendor"
            name = selector.partition(":")[2]
            found += [
                Allowance(level, name, window, int(cap), spends[selector][window])
                for window, cap in zip(WINDOWS, text.split("|"), strict=True)
                if cap
            ]
        return found

    async def freezes_of(self, run: Run) -> list[str]:
        """What stops a run's calls just now: ``run``, ``fleet:billing-``, ``vendor:twilio``, ``all``.

        Raises:
            Refused: ``ledger_unavailable``.
        """
        found = []
        for level, name in await self.list_frozen():
            concerned = {
                "run": name == run.run_id,
                "fleet": run.label.startswith(name),
                "vendor": name in run.vendors,
                "all": True,
            }
            if concerned.get(level, False):
                found.append(level if level in ("run", "all") else f"{level}:{name}")
        return found
