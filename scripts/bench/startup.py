"""What a person or a short-lived agent waits for: runcap up, a key, the first call of a fresh process."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from scripts.bench.candidates import REPOSITORY, Candidate, Field, environment, issue_command
from scripts.bench.figures import record
from scripts.bench.processes import read_line
from scripts.bench.rounds import Span

_PATIENCE_SECONDS = 60.0
"""After that something hangs, however busy the machine is."""


def measure(field: Field, home: Path, repeats: int) -> dict[str, Any]:
    """All of them.

    Args:
        field: where the vendor is.
        home: of a `runcap up` that runs, where keys are issued.
        repeats: of each; at least one.
    """
    return {
        "first_call": record(_first_call(field.far_direct(), field.far_runcap(), repeats)),
        "up_ready": record(Span.of(_up_seconds(field, repeats))),
        "issue": record(Span.of(_issue_seconds(home, repeats))),
    }


def _first_call(direct: Candidate, runcap: Candidate, repeats: int) -> Span:
    """Through runcap over direct, by turns; each call in a process that has made none before."""
    _one_call_ms(runcap)  # a proxy has been used before; the agent has not
    return Span.of(_one_call_ms(runcap) / _one_call_ms(direct) for _ in range(repeats))


def _one_call_ms(candidate: Candidate) -> float:
    command = [sys.executable, "-m", "scripts.bench.load", *candidate.load_arguments(), "--one"]
    answer = subprocess.run(
        command,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env=environment(),
        timeout=_PATIENCE_SECONDS,
    )
    return float(answer.stdout)


def _up_seconds(field: Field, repeats: int) -> list[float]:
    """From the command to its ready line, with a home that is there already, as after the first start."""
    home = field.home("again", field.vendor_port)
    command = [sys.executable, "-m", "runcap", "up", "--config", str(home / "runcap.toml")]
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()
        ) as process:
            read_line(process)
            times.append(time.perf_counter() - began)
            process.terminate()
    return times[1:]


def _issue_seconds(home: Path, repeats: int) -> list[float]:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run(issue_command(home, "1"), check=True, capture_output=True, env=environment())
        times.append(time.perf_counter() - began)
    return times


def growth(candidate: Candidate, calls: int) -> float:
    """By how many percent a worker's memory grows over that many calls, after those of the rounds."""
    before, made = candidate.rss_mb(), 0
    while made < calls:
        command = [sys.executable, "-m", "scripts.bench.load", *candidate.load_arguments(),
                   "--connections", "8", "--seconds", "10"]  # fmt: skip
        answer = subprocess.run(
            command,
            check=True,
            input="go\n",
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env=environment(),
            timeout=_PATIENCE_SECONDS,
        )
        made += json.loads(answer.stdout.splitlines()[-1])["calls"]
    return (candidate.rss_mb() / before - 1) * 100
