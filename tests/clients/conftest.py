"""Clients as their users have them: unmodified SDKs, the real proxy, the fake vendors."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runcap.home import locked
from tests.e2e.conftest import fakes, session_fakes
from tests.e2e.harness import RuncapUp
from tests.fakes import FakeVendors
from tests.fakes.vendors import REPOSITORY

__all__ = ["fakes", "session_fakes"]

SCRIPTS = Path(__file__).parent / "scripts"
PACKAGES = Path(__file__).parent / "package.json"
_INSTALL_SECONDS = 100


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory, session_fakes: FakeVendors) -> Iterator[RuncapUp]:
    """One `runcap up` for all clients: they are told apart by their runs."""
    with RuncapUp(tmp_path_factory.mktemp("clients"), session_fakes, workers=1) as running:
        yield running


@pytest.fixture(scope="session")
def node_scripts() -> Path:
    """A folder with Node's scripts and, beside them, the SDKs from npm. Skips where there is no Node or no npm."""
    for command in ("node", "npm"):
        if shutil.which(command) is None:
            pytest.skip(f"{command} is not installed")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "runcap-tests"
    folder = cache / f"node-{hashlib.sha256(PACKAGES.read_bytes()).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "lock"):
        if not (folder / "installed").exists():
            shutil.copy(PACKAGES, folder / "package.json")
            _install(folder)
            (folder / "installed").touch()
        for script in [*SCRIPTS.glob("*.cjs"), *SCRIPTS.glob("*.mjs")]:
            shutil.copy(script, folder / script.name)
        (folder / "recipes").mkdir(exist_ok=True)
        for recipe in (REPOSITORY / "examples").glob("*.cjs"):
            shutil.copy(recipe, folder / "recipes" / recipe.name)
    return folder


def _install(folder: Path) -> None:
    command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=_INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not install the SDKs within {_INSTALL_SECONDS} s")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"npm cannot install the SDKs: {error.stderr.strip()[-300:]}")


@dataclass(frozen=True, slots=True)
class Ended:
    """A command under `runcap exec`."""

    code: int
    lines: list[str]
    """What it printed."""
    err: str
    """What it and runcap wrote to stderr."""

    @property
    def refusal(self) -> dict[str, Any]:
        """The last line, which is the error that the client raised."""
        found: dict[str, Any] = json.loads(self.lines[-1])
        return found


type Exec = Callable[..., Ended]


@pytest.fixture
def run_under(up: RuncapUp, capfd: pytest.CaptureFixture[str]) -> Exec:
    """``runcap exec --daily-usd CAP [OPTIONS] -- CMD…``, in this process."""

    def run(cap: str, *command: str, options: tuple[str, ...] = (), label: str = "client") -> Ended:
        capfd.readouterr()
        arguments = ("--label", label, "--daily-usd", cap, "--proxy", up.proxy, *options)
        code, printed = up.cli("exec", *arguments, "--", *command)
        captured = capfd.readouterr()
        return Ended(code, (printed + captured.out).splitlines(), captured.err)

    return run
