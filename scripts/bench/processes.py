"""Starting what is measured, and reading what it costs from /proc."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_TICKS = os.sysconf("SC_CLK_TCK")
_END_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used."""

    cpu_seconds: float
    rss_mb: float


def descendants(pid: int) -> dict[int, str]:
    """A process and all below it: pid → command line."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = {}, [pid]
    while todo:
        current = todo.pop()
        try:
            found[current] = (Path("/proc") / str(current) / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        todo += children.get(current, [])
    return found


def usage(pid: int) -> Usage:
    """CPU so far and resident memory now; nothing of a process that has gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        rss_pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return Usage(0.0, 0.0)
    return Usage((int(fields[11]) + int(fields[12])) / _TICKS, rss_pages * os.sysconf("SC_PAGE_SIZE") / 2**20)


@contextmanager
def running(
    command: list[str], *, env: dict[str, str] | None = None, log: Path | None = None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a command, and end it with all that it started."""
    errors: IO[str] | int = log.open("a") if log else subprocess.DEVNULL
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=errors, text=True, env=env, cwd=cwd, start_new_session=True
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout, None if isinstance(errors, int) else errors):
            if stream is not None:
                stream.close()


def read_line(process: subprocess.Popen[str]) -> str:
    """The process's next line.

    Raises:
        RuntimeError: it has ended instead.
    """
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise RuntimeError(f"{process.args!r} ended with {process.wait(5)}")
    return line


def wait_until(what: str, is_so: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for something to become true.

    Raises:
        RuntimeError: it did not in that time.
    """
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.05)


def listens(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port that nobody has, for a program that cannot choose one itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
