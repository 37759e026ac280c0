"""On what it was measured: the report's head, and what the disk takes for itself."""

import os
import platform
import shutil
import statistics
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from runcap.ledger.server import find_binary

_PACKAGES = ("mitmproxy", "uvloop", "httptools")
_APPENDS = 300
_APPEND_BYTES = 1024


def describe(folder: Path, squid: str | None) -> dict[str, str]:
    """Processor, system, versions and disk.

    Args:
        folder: where ledger and audit were.
        squid: its binary, if it took part.
    """
    versions = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in _PACKAGES)]
    versions.append(_first_line([str(find_binary()), "--version"]))
    if squid:
        versions.append(_first_line([squid, "-v"]))
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": f"{len(os.sched_getaffinity(0))} cores of {_processor()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "versions": ", ".join(versions),
        "disk": f"{_filesystem(folder)}, {shutil.disk_usage(folder).total >> 30} GiB",
    }


def busy_percent(seconds: float = 1.0) -> float:
    """How busy all cores are with whatever else there is, the host's other guests included."""
    busy_before, all_before = _jiffies()
    time.sleep(seconds)
    busy, all_ = _jiffies()
    return 100 * (busy - busy_before) / max(1, all_ - all_before)


def _jiffies() -> tuple[int, int]:
    """Of all cores since they were started: busy, and in total (proc_stat(5): user nice system idle iowait …)."""
    times = [int(text) for text in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(times) - times[3] - times[4], sum(times)


def fdatasync_ms(folder: Path) -> float:
    """The median of an append of 1 kB and its `fdatasync`: what the ledger's server does before each answer."""
    path, times = folder / "appends", []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        for _ in range(_APPENDS):
            began = time.perf_counter()
            os.write(descriptor, b"x" * _APPEND_BYTES)
            os.fdatasync(descriptor)
            times.append(time.perf_counter() - began)
    finally:
        os.close(descriptor)
        path.unlink()
    return statistics.median(times) * 1000


def on_disk(folder: Path) -> bool:
    """Whether what is written there survives: in memory, a sync costs nothing and shows nothing."""
    return _filesystem(folder) not in ("tmpfs", "ramfs")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Hardware"))]
    return names[0] if names else platform.machine()


def _filesystem(folder: Path) -> str:
    """The type of the one that has the longest mount point above the folder."""
    found, kind = "", "unknown"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, type_ = line.split()[:3]
        if folder.resolve().is_relative_to(point) and len(point) >= len(found):
            found, kind = point, type_
    return kind


def _first_line(command: list[str]) -> str:
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return lines[0]
