"""What the ledger has to count, in a few lines of Python: no Redis, no scripts, no concurrency."""

from collections import defaultdict
from dataclasses import dataclass, field

from runcap.ledger.model import WINDOWS, Caps

type Bucket = tuple[str, str]
"""Selector and period: ``day:2026-11-24``, ``month:2026-11`` or ``total``."""


def periods(day: str) -> tuple[str, str, str]:
    """What a day is counted in."""
    return f"day:{day}", f"month:{day[:7]}", "total"


@dataclass
class Open:
    """A reservation that has not ended."""

    run: int
    label: str
    micros: int
    day: str
    object_id: str | None
    amounts: dict[str, int]
    """What it holds, by selector, the run's own first."""


@dataclass
class Model:
    """Held, spent, caps and objects of all selectors."""

    held: dict[Bucket, int] = field(default_factory=lambda: defaultdict(int))
    spent: dict[Bucket, int] = field(default_factory=lambda: defaultdict(int))
    caps: dict[str, Caps] = field(default_factory=dict)
    """Of runs, fleets and vendors; a fleet is counted if it is in here."""
    objects: dict[tuple[str, str], list[tuple[str, int]]] = field(default_factory=dict)
    open: dict[str, Open] = field(default_factory=dict)

    def selectors(self, run_selector: str, label: str) -> list[str]:
        """Who counts a call of that run."""
        fleets = [f"fleet:{label[:length]}" for length in range(len(label) + 1)]
        return [run_selector, "vendor:stripe", *(fleet for fleet in fleets if fleet in self.caps)]

    def used(self, selector: str, period: str) -> int:
        """Held and spent."""
        return self.held[selector, period] + self.spent[selector, period]

    def deltas(self, selectors: list[str], micros: int, object_id: str | None) -> dict[str, int]:
        """What a call adds to each selector."""
        if object_id is None:
            return dict.fromkeys(selectors, micros)
        known = {
            selector: sum(part for _, part in self.entries(selectors, selector, object_id)) for selector in selectors
        }
        return {selector: max(0, micros - known[selector]) for selector in selectors}

    def fits(self, deltas: dict[str, int], day: str) -> bool:
        """Whether no cap is passed."""
        for selector, delta in deltas.items():
            caps = self.caps.get(selector, Caps())
            for window, period in zip(WINDOWS, periods(day), strict=True):
                cap = getattr(caps, window)
                if cap is not None and delta > 0 and self.used(selector, period) + delta > cap:
                    return False
        return True

    def hold(self, name: str, call: Open) -> None:
        """Open a reservation."""
        self.open[name] = call
        for selector, amount in call.amounts.items():
            for period in periods(call.day):
                self.held[selector, period] += amount

    def end(self, name: str, total: int | None, *, final: bool) -> None:
        """End one; `total` None: released."""
        call = self.open.pop(name)
        for selector, amount in call.amounts.items():
            for period in periods(call.day):
                self.held[selector, period] -= amount
        if total is None:
            return
        selectors = list(call.amounts)
        if call.object_id is None:
            for selector in selectors:
                self._spend(selector, call.day, total)
            return
        before = {selector: list(self.entries(selectors, selector, call.object_id)) for selector in selectors}
        for selector, entries in before.items():
            self._bring_to(selector, entries, call.day, total, final=final)
            self.objects[selector, call.object_id] = entries

    def entries(self, selectors: list[str], selector: str, object_id: str) -> list[tuple[str, int]]:
        """What was counted for an object; a fleet that came later begins with the run's."""
        found = self.objects.get((selector, object_id))
        if found is None and selector.startswith("fleet:"):
            found = self.objects.get((selectors[0], object_id))
        return found or []

    def begin_fleet(self, fleet: str, runs: dict[str, str]) -> None:
        """A fleet's first cap: it begins with what its runs have counted, and holds what they hold."""
        mine = [selector for selector, label in runs.items() if label.startswith(fleet.removeprefix("fleet:"))]
        for counters in (self.held, self.spent):
            for (selector, period), amount in list(counters.items()):
                if selector in mine:
                    counters[fleet, period] += amount
        for call in self.open.values():
            if call.label.startswith(fleet.removeprefix("fleet:")):
                call.amounts[fleet] = next(iter(call.amounts.values()))

    def _spend(self, selector: str, day: str, micros: int) -> None:
        for period in periods(day):
            self.spent[selector, period] += micros

    def _bring_to(self, selector: str, entries: list[tuple[str, int]], day: str, total: int, *, final: bool) -> None:
        difference = total - sum(part for _, part in entries)
        if difference > 0:
            self._spend(selector, day, difference)
            entries.append((day, difference))
        while final and difference < 0 and entries:
            last_day, part = entries.pop()
            taken = min(part, -difference)
            self._spend(selector, last_day, -taken)
            difference += taken
            if part > taken:
                entries.append((last_day, part - taken))
