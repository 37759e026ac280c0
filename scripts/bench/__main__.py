"""`make bench`: runcap with everything on against the same proxy without any, side by side.

Each round visits every candidate with every load, so that what the machine does meanwhile hits all alike; the figures
are medians of the rounds. Ratios against stock mitmdump come first: milliseconds are the machine's, ratios are ours.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from scripts.bench import extras, report
from scripts.bench.candidates import Candidate, Field

LOADS: dict[str, list[str]] = {
    "1 kept alive": ["--connections", "1"],
    "8 kept alive": ["--connections", "8"],
    "new connections": ["--connections", "4", "--new-connections"],
}


def measure(candidate: Candidate, load: str, seconds: float) -> dict[str, Any]:
    """One load on one candidate."""
    candidate.start_measuring()
    command = [sys.executable, str(Path(__file__).with_name("load.py")), *candidate.load_arguments(), *LOADS[load]]
    answer = subprocess.run([*command, "--seconds", str(seconds)], check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, Any] = json.loads(answer.stdout)
    figures["calls_per_second"] = figures["calls"] / figures["seconds"]
    for role, cpu_seconds in candidate.cpu_by_role().items():
        figures[f"{role}_cpu_ms"] = cpu_seconds / figures["calls"] * 1000
    figures["rss_mb"] = candidate.rss_mb()
    return figures


def medians(rounds: list[dict[str, Any]]) -> dict[str, float]:
    """The median of each figure."""
    return {name: statistics.median(round_[name] for round_ in rounds) for name in rounds[0]}


def main() -> None:
    """Measure, and write bench.json, the table and the chart to the folder that is named."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--quick", action="store_true", help="one short round, about 90 seconds")
    parser.add_argument("--output", type=Path, default=Path("build/bench"))
    arguments = parser.parse_args()
    rounds, seconds = (1, 2.5) if arguments.quick else (3, 4.0)
    results: dict[str, dict[str, list[dict[str, Any]]]] = {}
    with tempfile.TemporaryDirectory(prefix="runcap-bench-") as folder, ExitStack() as stack:
        field = Field(Path(folder), stack)
        candidates = [
            field.direct(),
            field.stock_mitmdump(),
            field.naive_counter(),
            field.runcap_up(1),
            field.runcap_up(2),
            field.runcap_mitmdump(),
        ]
        for number in range(rounds):
            for load in LOADS:
                for candidate in candidates:
                    print(f"round {number + 1}/{rounds}: {load:16} {candidate.name}", file=sys.stderr, flush=True)
                    figures = measure(candidate, load, seconds)
                    results.setdefault(candidate.name, {}).setdefault(load, []).append(figures)
        more = extras.measure_all(field, candidates, Path(folder), quick=arguments.quick)
    document = {
        "machine": f"{platform.machine()}, {platform.processor() or 'unknown CPU'}, Python {platform.python_version()}",
        "rounds": rounds,
        "candidates": {name: {load: medians(all_) for load, all_ in loads.items()} for name, loads in results.items()},
        "more": more,
    }
    report.write(document, arguments.output)


if __name__ == "__main__":
    main()
