"""`make bench`: runcap with everything on against the same proxy without any, side by side in one run.

All candidates are up at once and visited by turns; what the machine does meanwhile hits all alike. The targets are
ratios against stock mitmdump in this very run: milliseconds are the machine's, ratios are ours.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from scripts.bench import audits, ledgers, machine, others, report, rounds, startup
from scripts.bench.candidates import ONE_WORKER, REPOSITORY, STOCK, TWO_WORKERS, Candidate, Field
from scripts.bench.figures import compared, record
from scripts.bench.rounds import EIGHT, NEW, ONE, Results, ratio

_PACE = 0.3
"""Of what one worker can do: the load of one worker when it is compared with two, which take twice of it."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rounds: int
    seconds: float
    """Of one load on one candidate."""
    repeats: int
    """Of what takes a process each."""
    runs: int
    caps: int
    stream_rows: int
    audit_rows: int
    growth_calls: int
    """0: not measured."""

    def note(self, text: str) -> str:
        """What a quick run took less of."""
        return text if self == QUICK else ""


FULL = Size(3, 3.0, 7, 1_000_000, 100_000, 200_000, 5_000_000, 200_000)
QUICK = Size(1, 1.0, 2, 20_000, 2_000, 20_000, 100_000, 0)


def main() -> None:
    """Measure, and write bench.json, the tables and the chart to the folder that is named."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--quick", action="store_true", help="one short round and smaller sizes, about 90 seconds")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "build" / "bench")
    parser.add_argument("--readme", action=argparse.BooleanOptionalAction, help="replace the README's table; "
                        "a full run does, a quick one does not")  # fmt: skip
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="where ledgers and audits are: a disk")  # noqa: S108
    arguments = parser.parse_args()
    if not machine.on_disk(arguments.folder):
        parser.error(f"{arguments.folder} is in memory, where writing to disk costs nothing: name another --folder")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # all that was started is ended on the way out
    document = measure(QUICK if arguments.quick else FULL, arguments.folder, arguments.output)
    report.write(document, arguments.output)
    if arguments.readme if arguments.readme is not None else not arguments.quick:
        report.write_readme(document, REPOSITORY / "README.md", REPOSITORY / "docs" / "bench.svg")


def measure(size: Size, parent: Path, output: Path) -> dict[str, Any]:
    """All figures.

    Args:
        size: how much of it.
        parent: a folder on a disk.
        output: what stays from run to run is below it.
    """
    with tempfile.TemporaryDirectory(prefix="runcap-bench-", dir=parent) as name, ExitStack() as stack:
        folder = Path(name)
        busy = machine.busy_percent()
        figures = {"fdatasync": record(machine.fdatasync_ms(folder))}
        field = Field(folder, stack)
        candidates, skipped = _line_up(field, output)
        optional = (others.SQUID, others.PROXY_PY)
        results, failed = rounds.visit_all(
            candidates, size.rounds, size.seconds, field.vendor.pid, _say, optional=optional
        )
        one, two = (_named(candidates, name) for name in (ONE_WORKER, TWO_WORKERS))
        figures |= _compared(results, one)
        rate = _PACE * min(figures_["calls_per_second"] for figures_ in results[ONE_WORKER][EIGHT])
        on_each, in_all = rounds.second_worker(
            one, two, rate, rounds=2 * size.rounds + 1, seconds=size.seconds, vendor_pid=field.vendor.pid
        )
        figures["two_workers"] = record(on_each, f"{rate:,.0f} calls/s on each")
        figures["two_workers_in_all"] = record(in_all, f"{rate:,.0f} calls/s")
        _say("starting up, keys, first calls")
        figures |= startup.measure(field, folder / "up1", size.repeats)
        if size.growth_calls:
            _say(f"{size.growth_calls:,} calls")
            figures["growth"] = record(startup.growth(one, size.growth_calls))
        head = machine.describe(folder, shutil.which("squid") if others.SQUID in results else None)
    figures |= _alone(size, parent)
    with tempfile.TemporaryDirectory(prefix="runcap-bench-", dir=parent) as name:
        _say(f"an audit of {size.audit_rows:,} calls")
        audits.large_audit(Path(name) / "audit.db", size.audit_rows)
        reports = audits.reports(Path(name) / "audit.db")
    return {
        "machine": head, "busy_before_percent": busy, "quick": size == QUICK, "rounds": size.rounds,
        "figures": figures, "skipped": skipped | failed,
        "candidates": {name: {load: _plain(results, name, load) for load in loads} for name, loads in results.items()},
        "audit_rows": size.audit_rows, "reports": reports,
    }  # fmt: skip


def _plain(results: Results, name: str, load: str) -> dict[str, Any]:
    return {key: asdict(span) for key, span in rounds.spans(results, name, load).items()}


def _line_up(field: Field, output: Path) -> tuple[list[Candidate], dict[str, str]]:
    """All candidates, started; and those that cannot take part, with the reason."""
    candidates = [
        field.direct(), field.stock_mitmdump(), field.naive_counter(), field.runcap_up(1), field.runcap_up(2),
        field.runcap_mitmdump(),
    ]  # fmt: skip
    optional: dict[str, Callable[[], Candidate]] = {
        others.SQUID: partial(others.squid, field),
        others.PROXY_PY: partial(others.proxy_py, field, output.resolve() / "proxy.py-environment"),
    }
    skipped = {}
    for name, start in optional.items():
        try:
            candidates.append(others.tried(start(), field.vendor.pid))
        except others.Missing as reason:
            skipped[name] = str(reason)
            _say(f"without {name}: {reason}")
    return candidates, skipped


def _compared(results: Results, one: Candidate) -> dict[str, Any]:
    """What the rounds say of one worker, most of it against stock mitmdump."""
    against = partial(ratio, results, ONE_WORKER, STOCK)
    eight = rounds.spans(results, ONE_WORKER, EIGHT)
    spans = {
        "cpu_kept": against(EIGHT, "worker_cpu_ms"),
        "cpu_new": against(NEW, "worker_cpu_ms"),
        "rate": against(EIGHT, "calls_per_second"),
        "p50_one": against(ONE, "p50_ms"),
        "overhead_p50": eight["overhead_p50_ms"],
        "overhead_p99": eight["overhead_p99_ms"],
        "overhead_one": rounds.spans(results, ONE_WORKER, ONE)["overhead_p50_ms"],
    }
    return compared(spans, one.rss_mb())


def _alone(size: Size, parent: Path) -> dict[str, Any]:
    """Ledger and auditor by themselves, when no candidate is up any more."""
    with tempfile.TemporaryDirectory(prefix="runcap-bench-", dir=parent) as name:
        folder = Path(name)
        _say(f"a ledger with {size.runs:,} runs and {size.caps:,} fleet caps")
        note = size.note(f"with {size.runs:,} and {size.caps:,}")
        turns = 2 * size.rounds + 1
        work = ledgers.measure(folder, size.runs, size.caps, seconds=size.seconds, turns=turns, note=note)
        figures: dict[str, Any] = uvloop.run(work)
        _say(f"an auditor with {size.stream_rows:,} rows to write")
        return figures | uvloop.run(audits.auditor_rate(folder / "auditor", size.stream_rows))


def _named(candidates: list[Candidate], name: str) -> Candidate:
    return next(candidate for candidate in candidates if candidate.name == name)


_began = time.monotonic()


def _say(text: str) -> None:
    print(f"{time.monotonic() - _began:6.1f} s  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
