"""Nothing that a test starts outlives the run.

Two things see to it. At the run's end whatever is left is named and ended, and the run fails: a test, or runcap, has
not cleaned up. And a watchman, a process in a session of its own, ends all of it if the run itself is killed: then no
fixture comes to its end, and by design an embedded ledger's server outlives those who used it.

How they tell: everything a test starts has the run's own temporary folder in its environment, or works in it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.e2e.processes import Processes

_REPOSITORY = Path(__file__).resolve().parents[1]
_SERVERS = (b"-server", b"-sentinel")
"""They have written their titles over their environments."""
_ENDING_SECONDS = 5.0
"""So long what is about to end by itself may take."""
_ALL_IS_WELL = b"well"


class Leftovers:
    """A plugin of the process that the run was started as; the workers of a distributed run need none."""

    def __init__(self) -> None:
        self._watchman: subprocess.Popen[bytes] | None = None
        self._folder = Path()
        self._found: list[str] = []

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Before any worker is started: all temporary files go below the run's folder, and the watchman watches it."""
        factory: pytest.TempPathFactory = session.config._tmp_path_factory  # type: ignore[attr-defined]
        self._folder = factory.getbasetemp().resolve()
        os.environ["TMPDIR"] = tempfile.tempdir = str(factory.mktemp("tmp"))
        self._watchman = subprocess.Popen(
            [sys.executable, "-m", "tests.leftovers", str(self._folder)],
            stdin=subprocess.PIPE,
            cwd=_REPOSITORY,
            env={"PATH": os.defpath},
            start_new_session=True,  # or what ends the run, such as Ctrl-C, ends it too
        )

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """After the last fixture's end."""
        deadline = time.monotonic() + _ENDING_SECONDS
        while (left := survivors(self._folder)) and time.monotonic() < deadline:
            time.sleep(0.05)
        self._found = [f"{pid}: {_title(pid)}" for pid in left]
        if left:
            end_all(self._folder)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self._watchman is not None:
            self._watchman.communicate(_ALL_IS_WELL)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name what was left."""
        if self._found:
            terminalreporter.section("processes that outlived their tests", red=True)
            terminalreporter.write_line("\n".join(self._found))


def survivors(folder: Path) -> list[int]:
    """Process ids of all that tests of the run with this folder have started, and that are alive."""
    own, mark = os.getpid(), f"{folder}/".encode()
    found = {pid for pid in Processes(folder).alive() if any(word in _title(pid).encode() for word in _SERVERS)}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # Environments are not to be read of processes that hold secrets, but by root: these name their folder.
            line = (entry / "cmdline").read_bytes()
            if line and ((_is_python(line) and mark in line) or mark in _environment(entry)):
                found.add(int(entry.name))
    return sorted(found - {own})


def end_all(folder: Path) -> None:
    """``kill -9``, until nothing comes after."""
    while left := survivors(folder):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _is_python(line: bytes) -> bool:
    return b"python" in line.partition(b"\0")[0]


def _environment(entry: Path) -> bytes:
    try:
        return (entry / "environ").read_bytes()
    except PermissionError:
        return b""


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return "(ended meanwhile)"


def main() -> None:
    """The watchman: ``python -m tests.leftovers FOLDER``. Waits for the end of stdin, however it comes."""
    if sys.stdin.buffer.read() != _ALL_IS_WELL:
        end_all(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
