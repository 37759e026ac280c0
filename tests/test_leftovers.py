"""Whatever tests start ends with their run: named if the run comes to its end, and in silence if it is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runcap.ledger import server
from runcap.ledger.embedded import EmbeddedLedger
from tests.e2e.waiting import wait_until
from tests.fakes.vendors import REPOSITORY

_CONFTEST = """\
from tests import leftovers

leftovers._ENDING_SECONDS = 0.1

def pytest_configure(config):
    config.pluginmanager.register(leftovers.Leftovers())
"""
_TEST = """\
import time
from pathlib import Path
from runcap.ledger.embedded import EmbeddedLedger

def test_it():
    EmbeddedLedger(Path({home!r})).acquire()
    print("up", flush=True)
    time.sleep({seconds})
"""


def _run(folder: Path, seconds: int) -> tuple[subprocess.Popen[str], EmbeddedLedger]:
    """A run of one test that starts a ledger, takes so long, and leaves it behind."""
    home = folder / "run" / "home"
    (folder / "conftest.py").write_text(_CONFTEST, encoding="utf-8")
    (folder / "test_it.py").write_text(_TEST.format(home=str(home), seconds=seconds), encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", "--basetemp", str(home.parent)]
    path = f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'addon'}"
    env = {**os.environ, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # it needs none, and starts sooner
    return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True), EmbeddedLedger(home)


def _listens(ledger: EmbeddedLedger) -> bool:
    return server.is_listening(Path(ledger.url.removeprefix("unix://")))


def test_what_is_left_is_named_and_ended(tmp_path: Path) -> None:
    """And the run fails, though its tests have passed."""
    run, ledger = _run(tmp_path, 0)
    printed, _ = run.communicate(timeout=60)
    assert pytest.ExitCode.TESTS_FAILED == run.returncode, printed
    assert ("1 passed" in printed, "processes that outlived their tests" in printed) == (True, True), printed
    assert "valkey-server" in printed
    assert not _listens(ledger)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_a_run_that_is_killed(tmp_path: Path, signum: signal.Signals) -> None:
    """No fixture comes to its end then."""
    run, ledger = _run(tmp_path, 60)
    assert run.stdout is not None
    with run.stdout as lines:
        assert any("up" in line.split() for line in lines)
        assert _listens(ledger)
        run.send_signal(signum)
        run.wait()
    wait_until("the ledger to end", lambda: not _listens(ledger))
