"""The package as users get it: built as a wheel, installed into a new environment, and at work there."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from runcap import __version__
from tests.e2e.client import Caller
from tests.e2e.harness import RuncapUp
from tests.fakes import FakeVendors
from tests.fakes.vendors import REPOSITORY

PACKAGE = REPOSITORY / "addon" / "runcap"

_LOAD_DATA = """\
import json, sys
from pathlib import Path
import runcap
from runcap.config import load, write_default
from runcap.shims import NODE_PRELOAD, PYTHON_FOLDER

write_default(Path("runcap.toml"))
print(json.dumps({
    "package": str(Path(runcap.__file__).parent),
    "workers": load(Path("runcap.toml")).proxy.workers,
    "shims": [Path(NODE_PRELOAD).is_file(), (Path(PYTHON_FOLDER) / "sitecustomize.py").is_file()],
}))
"""


class InstalledUp(RuncapUp):
    """`runcap up` by the command of another environment, in which nothing of this working tree is to be found."""

    def __init__(self, folder: Path, fakes: FakeVendors, installed: Path) -> None:
        super().__init__(folder, fakes, workers=1)
        self._installed = installed

    def _command(self) -> list[str]:
        return [str(self._installed / "runcap"), "up", "--config", str(self.config_file)]

    def _environment(self) -> dict[str, str]:
        return {name: value for name, value in super()._environment().items() if name != "PYTHONPATH"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without isolation: an isolated build downloads its backend."""
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=REPOSITORY)
    [built] = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of a new environment, which has the wheel, and finds the dependencies in ours."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    options = ("--no-deps", "--no-index", "--no-compile", "--quiet", "--disable-pip-version-check")
    _run(sys.executable, "-m", "pip", "--python", str(python), "install", *options, str(wheel))
    [packages] = folder.glob("lib/python*/site-packages")
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(ours), encoding="utf-8")
    return python.parent


def test_the_wheel_has_every_file(wheel: Path) -> None:
    """Scripts, SQL, catalogues and templates too; and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = [path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {f"runcap/{path.relative_to(PACKAGE).as_posix()}" for path in files} == found
    assert {".py", ".lua", ".sql", ".json", ".toml", ".cjs", ".typed"} <= {Path(name).suffix for name in found}


def test_what_is_installed_finds_its_files(installed: Path, tmp_path: Path) -> None:
    """Its own, not those of the working tree."""
    assert f"runcap, version {__version__}\n" == _run(str(installed / "runcap"), "--version", cwd=tmp_path)
    found = json.loads(_run(str(installed / "python"), "-c", _LOAD_DATA, cwd=tmp_path))
    assert Path(found["package"]).is_relative_to(installed.parent)
    assert (1, [True, True]) == (found["workers"], found["shims"])


def test_what_is_installed_caps_a_call(installed: Path, tmp_path: Path) -> None:
    """One that fits, and one that does not."""
    with FakeVendors(tmp_path / "vendors") as fakes, InstalledUp(tmp_path / "up", fakes, installed) as up:
        run = up.issue("wheel", daily_usd="7")
        with Caller(up, run) as caller:
            assert [200, 429] == [caller.charge(500).status for _ in range(2)]
        assert ["settled", None] == [row["outcome"] for row in up.calls(run, 2)]


def _run(*command: str, cwd: Path | None = None) -> str:
    """What a command prints; it has no working tree to find runcap in."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout
