"""One load on one candidate, and the rounds in which all are visited by turns.

Whatever else the machine does meanwhile hits all alike; a ratio is taken within each round, and what is reported is
the median of the rounds, with the lowest and the highest beside it.
"""

import json
import sqlite3
import statistics
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable
from contextlib import closing
from dataclasses import dataclass

from scripts.bench.candidates import REPOSITORY, Candidate, environment
from scripts.bench.processes import usage

ONE, EIGHT, NEW = "1 kept alive", "8 kept alive", "new connections"
_PACED, _PACED_TWICE = "8 kept alive, paced", "16 kept alive, paced"
_ARGUMENTS: dict[str, list[str]] = {
    ONE: ["--connections", "1"],
    EIGHT: ["--connections", "8"],
    NEW: ["--connections", "4", "--new-connections"],
    _PACED: ["--connections", "8"],
    _PACED_TWICE: ["--connections", "16"],
}
_WARM_UP_SECONDS = "0.4"
_PATIENCE_SECONDS = 30.0
LOADS = (ONE, EIGHT, NEW)

type Figures = dict[str, float]
type Results = dict[str, dict[str, list[Figures]]]
"""Candidate → load → the figures of each round."""


@dataclass(frozen=True, slots=True)
class Span:
    """A figure of all rounds."""

    value: float
    """The median."""
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Span":
        """The span of at least one value."""
        found = list(values)
        return cls(statistics.median(found), min(found), max(found))


def measure(candidate: Candidate, load: str, seconds: float, *, vendor_pid: int, rate: float = 0.0) -> Figures:
    """One load on one candidate, after a warm-up that does not count; CPU in ms a call, by role.

    Args:
        candidate: settled before and after, so that what it does later for these calls is theirs.
        load: which.
        seconds: how long.
        vendor_pid: of the fake vendor, whose CPU is reported beside the client's.
        rate: calls a second, of all connections; 0: as many as they can.

    Raises:
        subprocess.SubprocessError: a call failed, whose answer is on stderr then, or was never answered.
    """
    options = [*_ARGUMENTS[load], "--seconds", str(seconds), "--warm-up", _WARM_UP_SECONDS, "--rate", str(rate)]
    command = [sys.executable, "-m", "scripts.bench.load", *candidate.load_arguments(), *options]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, env=environment()
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        candidate.settle()
        before, vendor_before = candidate.cpu_by_role(), usage(vendor_pid).cpu_seconds
        try:
            answer, _ = process.communicate("go\n", timeout=seconds + _PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    vendor_used = usage(vendor_pid).cpu_seconds - vendor_before
    candidate.settle()
    figures: Figures = json.loads(answer)
    calls = figures["calls"]
    figures["calls_per_second"] = calls / figures["seconds"]
    figures["vendor_cpu_ms"] = vendor_used / calls * 1000
    for role, cpu_seconds in candidate.cpu_by_role().items():
        figures[f"{role}_cpu_ms"] = (cpu_seconds - before.get(role, 0.0)) / calls * 1000
    figures["rss_mb"] = candidate.rss_mb()
    if candidate.audit is not None:
        figures["overhead_p50_ms"], figures["overhead_p99_ms"] = _overhead_ms(candidate, int(calls))
    return figures


def _overhead_ms(candidate: Candidate, calls: int) -> tuple[float, float]:
    """What the audit says of the last calls: runcap's own part of each."""
    with closing(sqlite3.connect(f"file:{candidate.audit}?mode=ro", uri=True)) as db:
        query = "SELECT overhead_us FROM calls ORDER BY seq DESC LIMIT ?"
        times = sorted(us for (us,) in db.execute(query, (calls,)) if us is not None)
    return times[len(times) // 2] / 1000, times[len(times) * 99 // 100] / 1000


def visit_all(
    candidates: list[Candidate],
    rounds: int,
    seconds: float,
    vendor_pid: int,
    say: Callable[[str], None],
    *,
    optional: Collection[str] = (),
) -> tuple[Results, dict[str, str]]:
    """Every candidate with every load in each round, in alternating order.

    Returns:
        The figures; and which of the optional candidates failed on the way and have none, with the reason.

    Raises:
        subprocess.SubprocessError: one that is not optional failed.
    """
    results: Results = {candidate.name: {load: [] for load in LOADS} for candidate in candidates}
    failed: dict[str, str] = {}
    for number in range(rounds):
        for load in LOADS:
            for candidate in candidates if number % 2 == 0 else candidates[::-1]:
                if candidate.name in failed:
                    continue
                try:
                    figures = measure(candidate, load, seconds, vendor_pid=vendor_pid)
                except subprocess.SubprocessError:
                    if candidate.name not in optional:
                        raise
                    failed[candidate.name] = f"it failed in round {number + 1}, {load}"
                    continue
                results[candidate.name][load].append(figures)
                say(
                    f"round {number + 1}/{rounds}: {load:16} {candidate.name:26} {figures['calls_per_second']:7,.0f}/s"
                    f"  p50 {figures['p50_ms']:6.2f} ms  worker {figures.get('worker_cpu_ms', 0.0):.2f} ms a call"
                )
    return {name: loads for name, loads in results.items() if name not in failed}, failed


def second_worker(
    one: Candidate, two: Candidate, rate: float, *, rounds: int, seconds: float, vendor_pid: int
) -> tuple[Span, Span]:
    """Worker CPU per call of the second candidate, which has two workers, over the first's, which has one.

    Args:
        one: takes this many calls a second, on eight connections.
        two: takes the same on each worker, that is twice as many in all, and then the same in all.
        rate: calls a second.
        rounds: how many.
        seconds: of one load on one candidate.
        vendor_pid: of the fake vendor.

    Returns:
        With the same load on each worker, and with the same in all. In the second each worker has half the load, and
        for any proxy on an event loop a call costs more where fewer come at once.
    """
    on_each, in_all = [], []
    for _ in range(rounds):
        alone, twice, half = (
            measure(candidate, load, seconds, vendor_pid=vendor_pid, rate=pace)["worker_cpu_ms"]
            for candidate, load, pace in ((one, _PACED, rate), (two, _PACED_TWICE, 2 * rate), (two, _PACED, rate))
        )
        on_each.append(twice / alone)
        in_all.append(half / alone)
    return Span.of(on_each), Span.of(in_all)


def ratio(results: Results, of: str, to: str, load: str, figure: str) -> Span:
    """One candidate's figure over another's, round by round."""
    pairs = zip(results[of][load], results[to][load], strict=True)
    return Span.of(ours[figure] / theirs[figure] for ours, theirs in pairs)


def spans(results: Results, candidate: str, load: str) -> dict[str, Span]:
    """All figures of a candidate under a load."""
    rounds = results[candidate][load]
    return {name: Span.of(round_[name] for round_ in rounds) for name in rounds[0]}
