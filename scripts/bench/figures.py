"""Every figure that the benchmark is for: its name, what it must be, what it aims at, and how it is written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scripts.bench.rounds import Span


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    key: str
    title: str
    shape: str
    """A format with ``{}``, which takes the value: ``{:.2f} ms``."""
    must: float | None = None
    aim: float | None = None
    at_most: bool = True
    """Whether less is better."""

    def written(self, value: float) -> str:
        """The value with its unit."""
        return self.shape.format(value)

    def bound(self, value: float | None) -> str:
        """A must or an aim: ``≤ 0.40``."""
        return "" if value is None else f"{'≤' if self.at_most else '≥'} {self.written(value)}"

    def verdict(self, value: float | None) -> str:
        """``short``, ``met``, or ``aim met``; empty if there is nothing to meet."""
        if value is None:
            return "not measured"
        if self.must is None:
            return ""
        if not self._reaches(value, self.must):
            return "short"
        return "aim met" if self.aim is not None and self._reaches(value, self.aim) else "met"

    def _reaches(self, value: float, bound: float) -> bool:
        return value <= bound if self.at_most else value >= bound


_STOCK = "against stock mitmdump"
_LARGE = "1,000,000 runs and 100,000 fleet caps in the ledger"

_OWN = "runcap's own part of a call (`overhead_us`) at 8 connections"

FIGURES: tuple[Figure, ...] = (
    Figure("cpu_kept", f"worker CPU per kept-alive call, {_STOCK}", "{:.2f}", 0.40, 0.25),
    Figure("cpu_new", f"worker CPU per call on a new connection, {_STOCK}", "{:.2f}", 0.40, 0.25),
    Figure("rate", f"calls a second at 8 kept-alive connections, {_STOCK}", "{:.2f}", 2.5, 4, at_most=False),
    Figure("p50_one", f"p50 on one kept-alive connection, {_STOCK}", "{:.2f}", 0.75, 0.5),
    Figure("overhead_p50", f"{_OWN}, p50", "{:.2f} ms", 0.6, 0.25),
    Figure("overhead_p99", f"{_OWN}, p99", "{:.2f} ms", 3, 1),
    Figure("overhead_one", "the same on one connection, where a call waits for no other, p50", "{:.2f} ms"),
    Figure("first_call", "first call of a fresh process, vendor 40 ms away, against direct", "{:.2f}", 0.8, 0.6),
    Figure("two_workers", "CPU per call, two workers against one, the same load on each", "{:.2f}", 1.1, 1),
    Figure("pairs", "reserve + finish pairs a second, 32 in flight", "{:,.0f}", 6000, 15000, at_most=False),
    Figure("pairs_large", f"the same, {_LARGE}, against an empty ledger", "{:.2f}", 0.9, 1, at_most=False),
    Figure("auditor", "auditor, rows a second into SQLite with the chain", "{:,.0f}", 20000, 60000, at_most=False),
    Figure("rss", "RSS of a worker", "{:.0f} MB", 130, 90),
    Figure("growth", "growth of that RSS over 200,000 calls", "{:.1f} %", 5, 0),
    Figure("up_ready", "`runcap up` ready", "{:.2f} s", 3, 1.5),
    Figure("issue", "`runcap keys issue`", "{:.2f} s", 0.4, 0.2),
    Figure("two_workers_in_all", "CPU per call, two workers against one, the same load in all", "{:.2f}"),
    Figure("fdatasync", "the disk's own part: one append of 1 kB and its fdatasync, p50", "{:.2f} ms"),
    Figure("reserve", "one reserve at a time, on disk before it is answered, p50", "{:.2f} ms"),
    Figure("reserve_lazy", "one reserve at a time, if the ledger did not wait for the disk, p50", "{:.2f} ms"),
)
BY_KEY: Mapping[str, Figure] = {figure.key: figure for figure in FIGURES}


def record(span: Span | float, note: str = "") -> dict[str, Any]:
    """A figure as it stands in bench.json.

    Args:
        span: the figure, of several rounds or of one.
        note: what else one has to know, such as that a quick run took less of it.
    """
    if not isinstance(span, Span):
        span = Span(span, span, span)
    return {"value": span.value, "low": span.low, "high": span.high, "note": note}


def compared(rounds: Mapping[str, Span], rss_mb: float) -> dict[str, dict[str, Any]]:
    """Those figures that come out of the rounds; `rounds` has them by key."""
    return {key: record(span) for key, span in rounds.items()} | {"rss": record(rss_mb)}
