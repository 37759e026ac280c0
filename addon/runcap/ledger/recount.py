"""What the ledger must hold, according to the audit: its rows replayed in their order, by the scripts' own rules.

Pure. The ledger's stream has one order for all that the scripts do, and the audit keeps it, so the replay comes to the
very counters that the scripts came to: what they add when a call ends (scripts/ending.lua, objects.lua), from when on
a fleet is counted (set_caps.lua), what an operator has changed. A rebuild writes the result into an empty ledger;
`runcap ledger check` compares it with one that is in use.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec.structs import replace

from runcap.ledger.model import WINDOWS, Caps, Run, Window

OBJECT_TTL_MS = 400 * 86_400_000
"""As in scripts/objects.lua."""
ADJUSTED_TTL_MS = 30 * 86_400_000
"""As in scripts/adjust.lua."""
_FORGET_FROM = 50_000

type Entries = tuple[tuple[str, int], ...]
"""What has been counted for an object, oldest first: day and micros."""


@dataclass(frozen=True, slots=True)
class CallRow:
    """What a replay needs of a call that was allowed."""

    run_id: str
    vendor: str
    day: str
    """UTC, on which it was decided and counted."""
    outcome: str
    settled_micros: int
    ended_ms: int
    """By its stream id."""
    facts: dict[str, str]
    """What scripts/ending.lua wrote for this: reservation, object, object_micros, final, idem, replay, …"""


@dataclass(frozen=True, slots=True)
class AdminRow:
    """An act of administration."""

    action: str
    run_id: str
    at_ms: int
    detail: dict[str, Any]


@dataclass(slots=True)
class CountedObject:
    """What has been counted for a vendor's object, by selector."""

    entries: dict[str, Entries] = field(default_factory=dict)
    touched_ms: int = 0


@dataclass(slots=True)
class Retried:
    """An idempotency record of a call that has ended."""

    fingerprint: str
    reservation: str
    loose: Entries
    until_ms: int


@dataclass(slots=True)
class Recount:
    """The replayed state. Feed it rows in the audit's order."""

    runs: dict[str, Run] = field(default_factory=dict)
    caps: dict[str, Caps] = field(default_factory=dict)
    """Of fleets and vendors, by selector; also those that have none any more."""
    frozen: set[str] = field(default_factory=set)
    spent: dict[str, dict[str, int]] = field(default_factory=dict)
    """Selector → day → micros."""
    objects: dict[tuple[str, str], CountedObject] = field(default_factory=dict)
    retried: dict[tuple[str, str], Retried] = field(default_factory=dict)
    adjusted: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    """Vendor and resource whose real cost is known → the difference in micros, and when it was counted, in ms."""
    unreadable: list[str] = field(default_factory=list)
    """What could not be replayed, one sentence each."""
    lately: list[str] = field(default_factory=list)
    """The reservations that ended last."""
    wanted: frozenset[str] = frozenset()
    """Reservations whose end is looked for."""
    lately_from_ms: int = 2**63
    """Which of them are kept in `lately`."""
    ended: set[str] = field(default_factory=set)
    """Those of them that have ended."""
    _forget_at: int = _FORGET_FROM
    _selectors: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    def feed(self, rows: Iterable[CallRow | AdminRow]) -> None:
        """Replay rows."""
        for row in rows:
            if isinstance(row, CallRow):
                self._call(row)
            else:
                self._admin(row)

    def total(self, selector: str) -> dict[str, int]:
        """A selector's counters by the ledger's fields, such as ``day:2026-11-24:spent``."""
        fields = {"total:spent": 0}
        for day, micros in self.spent.get(selector, {}).items():
            for name in (f"day:{day}:spent", f"month:{day[:7]}:spent", "total:spent"):
                fields[name] = fields.get(name, 0) + micros
        return fields

    def _call(self, row: CallRow) -> None:
        facts = row.facts
        if (reservation := facts.get("reservation")) is not None:
            if reservation in self.wanted:
                self.ended.add(reservation)
            if row.ended_ms >= self.lately_from_ms:
                self.lately.append(reservation)
        if row.outcome == "released":
            return
        selectors = self._selectors.get((row.run_id, row.vendor)) or self._selectors_of(row.run_id, row.vendor)
        known_by = facts.get("idem")
        if "object" in facts:
            self._count_object(row, selectors)
        elif row.settled_micros:
            for selector in selectors:
                self._add(selector, row.day, row.settled_micros)
        if known_by is not None and "fingerprint" in facts:
            loose = () if "object" in facts else ((row.day, row.settled_micros),)
            until_ms = row.ended_ms + int(facts["idem_ttl_ms"])
            self.retried[row.run_id, known_by] = Retried(facts["fingerprint"], facts["reservation"], loose, until_ms)
            if len(self.retried) >= self._forget_at:
                self._forget(row.ended_ms)

    def _forget(self, now_ms: int) -> None:
        """Drop what the ledger has dropped by itself by now, so that memory grows with a day's calls, not with all."""
        self.retried = {key: record for key, record in self.retried.items() if record.until_ms > now_ms}
        self._forget_at = max(_FORGET_FROM, 2 * len(self.retried))

    def _count_object(self, row: CallRow, selectors: tuple[str, ...]) -> None:
        """As count_end and count_object do; what a retry had counted without its object belongs to it."""
        facts, key = row.facts, (row.vendor, row.facts["object"])
        total, final = int(facts["object_micros"]), "final" in facts
        known = self.objects.get(key)
        if known is None or row.ended_ms - known.touched_ms > OBJECT_TTL_MS:
            known = self.objects[key] = CountedObject()
        retried = self.retried.get((row.run_id, facts["idem"])) if "replay" in facts and "idem" in facts else None
        loose = retried.loose if retried is not None else ()
        own = known.entries.get(selectors[0])
        before: Entries | None = None
        after: Entries = ()
        changes: tuple[tuple[str, int], ...] = ()
        for selector in selectors:
            entries = known.entries.get(selector)
            if entries is None and selector.startswith("fleet:"):
                entries = own
            if entries is None:
                entries = loose
            if entries is not before:  # mostly all selectors have counted the same
                before, (after, changes) = entries, _brought_to(entries, row.day, total, final=final)
            known.entries[selector] = after
            for day, micros in changes:
                self._add(selector, day, micros)
        known.touched_ms = row.ended_ms
        if retried is not None:
            retried.loose = ()

    def _add(self, selector: str, day: str, micros: int) -> None:
        days = self.spent.get(selector)
        if days is None:
            days = self.spent[selector] = {}
        days[day] = max(0, days.get(day, 0) + micros)

    def _selectors_of(self, run_id: str, vendor: str) -> tuple[str, ...]:
        """Who counts a call: the run, its vendor, and each fleet that has been counted since its first cap."""
        run = self.runs.get(run_id)
        label = "" if run is None else run.label
        fleets = (f"fleet:{label[:length]}" for length in range(len(label) + 1)) if run is not None else ()
        found = (f"run:{run_id}", f"vendor:{vendor}", *(fleet for fleet in fleets if fleet in self.caps))
        self._selectors[run_id, vendor] = found
        return found

    def _admin(self, row: AdminRow) -> None:
        detail = row.detail
        level, name = detail.get("level", ""), detail.get("selector", "")
        what = "all" if level == "all" else f"{level}:{name}"
        match row.action:
            case "key_issued":
                self.runs[row.run_id] = self._issued(row)
                self._selectors.clear()
            case "key_revoked" if row.run_id in self.runs:
                self._revoke(row.run_id, row.at_ms)
            case "cap_set":
                caps = detail["caps"]
                self._set_caps(what, {window: caps[window] for window in WINDOWS if caps[window] is not None})
            case "cap_removed":
                gone = WINDOWS if detail["window"] is None else (detail["window"],)
                self._set_caps(what, dict.fromkeys(gone))
            case "frozen":
                self.frozen.add(what)
            case "unfrozen":
                self.frozen.discard(what)
            case "adjusted":
                self._adjust(row)

    def _adjust(self, row: AdminRow) -> None:
        """As scripts/adjust.lua does."""
        vendor, micros = row.detail["vendor"], row.detail["micros"]
        for selector in self._selectors_of(row.run_id, vendor):
            self._add(selector, row.detail["day"], micros)
        self.adjusted[vendor, row.detail["resource"]] = (micros, row.at_ms)

    def _issued(self, row: AdminRow) -> Run:
        """The run as it was issued; one whose row has what we do not know comes back revoked: unclear is refused."""
        document = row.detail["run"]
        try:
            run = msgspec.convert(document, Run)
            if set(document) <= set(msgspec.to_builtins(run)):
                return run
        except msgspec.ValidationError:
            run = msgspec.convert({name: value for name, value in document.items() if name != "policy"}, Run)
        self.unreadable.append(f"Run {row.run_id} was issued by another version of runcap: its key counts as revoked.")
        return replace(run, revoked_at_ms=row.at_ms)

    def _revoke(self, run_id: str, at_ms: int) -> None:
        run = self.runs[run_id]
        if run.revoked_at_ms is None:
            self.runs[run_id] = replace(run, revoked_at_ms=at_ms)

    def _set_caps(self, selector: str, changes: dict[Window, int | None]) -> None:
        level, _, name = selector.partition(":")
        if level == "run":
            if run := self.runs.get(name):
                self.runs[name] = replace(run, caps=replace(run.caps, **changes))
            return
        if level == "fleet" and selector not in self.caps:
            self._begin_fleet(selector, name)
        self.caps[selector] = replace(self.caps.get(selector, Caps()), **changes)

    def _begin_fleet(self, selector: str, prefix: str) -> None:
        """From its first cap on a fleet is counted, beginning with what its runs have counted so far."""
        self._selectors.clear()
        days: dict[str, int] = {}
        for run in self.runs.values():
            if run.label.startswith(prefix):
                for day, micros in self.spent.get(f"run:{run.run_id}", {}).items():
                    days[day] = days.get(day, 0) + micros
        self.spent[selector] = days


def _brought_to(entries: Entries, day: str, total: int, *, final: bool) -> tuple[Entries, Entries]:
    """As count_object does: the entries after a call, and what it adds to the counters, by day."""
    difference = total - sum(micros for _, micros in entries)
    if difference > 0:
        change = (day, difference)
        if entries and entries[-1][0] == day:
            return (*entries[:-1], (day, entries[-1][1] + difference)), (change,)
        return (*entries, change), (change,)
    left, changes = list(entries), list[tuple[str, int]]()
    while final and difference < 0 and left:
        last_day, micros = left.pop()
        part = min(-difference, micros)
        changes.append((last_day, -part))
        difference += part
        if micros > part:
            left.append((last_day, micros - part))
    return tuple(left), tuple(changes)
