"""`make profile`: where a call's time goes, in the worker and in the auditor, under the benchmark's own loads.

py-spy (https://github.com/benfred/py-spy) samples the process from outside without stopping it. It sees Python's frames
only: what C code does counts for the Python function that called it, which for a write is the system call, and for
uvloop's run is polling, reading, and the vendor's TLS. It takes root: runcap hides the memory of its processes from
others of their user.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from scripts.bench import rounds
from scripts.bench.candidates import BIN, REPOSITORY, Candidate, Field
from scripts.bench.rounds import EIGHT, NEW, Figures
from scripts.profiler import stacks
from scripts.profiler.stacks import Stack

_RATE = 200
"""Samples a second."""
_WARM_UP_SECONDS, _SPARE_SECONDS = 1.5, 4.0
_HOTTEST = 12


@dataclass(frozen=True, slots=True)
class Subject:
    """Which process is looked at under which load."""

    role: str
    load: str

    @property
    def file_name(self) -> str:
        """``worker-8-kept-alive``."""
        return f"{self.role}-{self.load.replace(' ', '-')}"


SUBJECTS = (Subject("worker", EIGHT), Subject("worker", NEW), Subject("auditor", EIGHT))


def main() -> int:
    """Sample, print the tables, and write speedscope files and flamegraphs."""
    parser = argparse.ArgumentParser(prog="make profile")
    parser.add_argument("--seconds", type=float, default=10.0, help="of sampling, for each subject")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "build" / "profile")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="runcap-profile-", dir="/var/tmp") as folder, ExitStack() as stack:
        field = Field(Path(folder), stack)
        candidate = field.runcap_up(1)
        for subject in SUBJECTS:
            try:
                seen, figures = sample(field, candidate, subject, arguments.seconds, Path(folder) / "raw")
            except subprocess.CalledProcessError as error:
                print(f"py-spy cannot look into the {subject.role}: {error.stderr}", file=sys.stderr)
                return 1
            _write(subject, seen, arguments.output)
            print(table(subject, seen, figures))
    print(f"speedscope files (https://www.speedscope.app) and flamegraphs are in {arguments.output}")
    return 0


def sample(
    field: Field, candidate: Candidate, subject: Subject, seconds: float, raw: Path
) -> tuple[Counter[Stack], Figures]:
    """Sample a process under a load; the stacks, and what the load measured meanwhile.

    Args:
        field: where the vendor is.
        candidate: a `runcap up`.
        subject: which of its processes, and the load.
        seconds: how long.
        raw: a file for py-spy.

    Raises:
        subprocess.CalledProcessError: py-spy, or a call, failed.
    """
    pid = next(pid for pid, role in candidate.roles().items() if role == subject.role)
    figures: list[Figures] = []

    def call() -> None:
        length = _WARM_UP_SECONDS + seconds + _SPARE_SECONDS
        figures.append(rounds.measure(candidate, subject.load, length, vendor_pid=field.vendor.pid))

    load = threading.Thread(target=call)
    load.start()
    try:
        time.sleep(_WARM_UP_SECONDS)
        subprocess.run(
            [str(BIN / "py-spy"), "record", "--pid", str(pid), "--duration", str(int(seconds)), "--rate", str(_RATE),
             "--nonblocking", "--full-filenames", "--format", "raw", "--output", str(raw)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    finally:
        load.join()
    if not figures:
        raise subprocess.CalledProcessError(1, "load", stderr="its calls failed")
    return stacks.read_raw(raw.read_text(encoding="utf-8")), figures[0]


def table(subject: Subject, seen: Counter[Stack], figures: Figures) -> str:
    """Self time by group and by function, in share and in ms of CPU a call."""
    cpu_ms = figures[f"{subject.role}_cpu_ms"]
    head = (
        f"{subject.role}, {subject.load}: {cpu_ms:.3f} ms of CPU a call, {figures['calls_per_second']:,.0f} calls/s, "
        f"{seen.total():,} samples"
    )
    lines = [head, *(f"  {share:6.1%}  {share * cpu_ms:.3f} ms  {name}" for name, share in stacks.by_group(seen))]
    lines.append("  the functions with most of their own:")
    lines += [f"  {share:6.1%}  {share * cpu_ms:.3f} ms  {name}" for name, share in stacks.hottest(seen, _HOTTEST)]
    return "\n".join(lines) + "\n"


def _write(subject: Subject, seen: Counter[Stack], folder: Path) -> None:
    title = f"{subject.role}, {subject.load}"
    document = json.dumps(stacks.speedscope(seen, title))
    (folder / f"{subject.file_name}.speedscope.json").write_text(document, encoding="utf-8")
    (folder / f"{subject.file_name}.svg").write_text(stacks.flamegraph(seen, title), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
