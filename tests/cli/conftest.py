"""The command line as a user meets it: ``main`` in this process, in an empty folder with a home of its own."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runcap.cli import main
from runcap.pki.trust import ADDS, REPLACES


@dataclass(frozen=True)
class Result:
    """What a command has printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """stdout as JSON, of a command that has to succeed."""
        assert (0, "") == (self.code, self.err)
        return json.loads(self.out)


type Runcap = Callable[..., Result]


@pytest.fixture
def runcap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Runcap:
    """Run ``runcap ARGS…``; the embedded ledger starts and stops with each command, and keeps what it knows."""
    for name in ("RUNCAP_CONFIG", "RUNCAP_MASTER_KEY", "RUNCAP_VAULT_KEY", REPLACES, *ADDS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RUNCAP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> Result:
        capfd.readouterr()
        code = main(args)
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return run
