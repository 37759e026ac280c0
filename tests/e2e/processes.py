"""Finds the processes of one `runcap up` by the folder they work in, whatever group or session they are in."""

import contextlib
import os
import signal
from pathlib import Path

_PROC = Path("/proc")


class Processes:
    """All processes that work in a folder, or on a file in it. Needs /proc, and finds none without it.

    By their working directory, since a Valkey server writes its title over its environment; and by their command line,
    since a process that holds secrets shows no more than that to others of its user.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def alive(self, command: str = "") -> list[int]:
        """Process ids, of those whose command line contains `command`; zombies do not count."""
        found = []
        for entry in _PROC.iterdir() if _PROC.exists() else ():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes()
                if command.encode() in line and (f"{self._folder}/".encode() in line or self._works_here(entry)):
                    found.append(int(entry.name))
        return sorted(found)

    def _works_here(self, entry: Path) -> bool:
        return (entry / "cwd").readlink().is_relative_to(self._folder)

    def workers(self) -> list[int]:
        """The proxy's worker processes."""
        return self.alive("runcap.proxy.worker")

    def ledger(self) -> int:
        """The embedded ledger's server."""
        [pid] = self.alive("-server")
        return pid

    def kill_all(self) -> None:
        """``kill -9`` whatever is left."""
        for pid in self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
