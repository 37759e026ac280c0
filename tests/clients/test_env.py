"""What `runcap env` prints is all that an agent needs: each format, read as its reader does, and nothing else."""

import base64
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.clients.conftest import SCRIPTS
from tests.e2e.harness import RuncapUp
from tests.fakes import FakeVendors

type Environment = dict[str, str]


def pairs(text: str) -> Environment:
    """``NAME=value`` lines, each value as it stands."""
    return dict(line.split("=", 1) for line in text.splitlines())


def evaluated(*shell: str) -> Callable[[str, Path], Environment]:
    """The environment of a shell after the text."""

    def read(text: str, folder: Path) -> Environment:
        if shutil.which(shell[0]) is None:
            pytest.skip(f"{shell[0]} is not installed")
        (folder / "lines").write_text(text)
        line = f"{shell[-1]} {shlex.quote(str(folder / 'lines'))}; env -0"
        env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        ended = subprocess.run([*shell[:-1], "-c", line], env=env, capture_output=True, text=True, check=True)
        return dict(pair.split("=", 1) for pair in ended.stdout.split("\0") if pair)

    return read


def mounted(text: str, folder: Path) -> Environment:
    """What Kubernetes makes of the objects: variables by ``envFrom``, and a folder of files."""
    secret, settings, files = YAML(typ="safe").load_all(text)
    for name, content in files["data"].items():
        (folder / name).write_text(content)
    for name, content in files["binaryData"].items():
        (folder / name).write_bytes(base64.b64decode(content))
    return {**settings["data"], **secret["stringData"]}


def of_a_step(text: str, _folder: Path) -> Environment:
    """GitHub's runner reads the file; a step gives the one variable that may not stand there by its own `env`."""
    found = pairs(text)
    return {**found, "NODE_OPTIONS": found["RUNCAP_NODE_OPTIONS"]}


FORMATS: dict[str, Callable[[str, Path], Environment]] = {
    "sh": evaluated("sh", "."),
    "docker": lambda text, _: pairs(text),
    "kubernetes": mounted,
}

SAME: dict[str, tuple[str, Callable[[str, Path], Environment]]] = {
    "bash": ("sh", evaluated("bash", "--norc", "source")),
    "fish": ("fish", evaluated("fish", "--no-config", "source")),
    "github": ("github", of_a_step),
}
"""By reader: the format that it reads, and how."""


@pytest.mark.parametrize("reader", SAME)
def test_the_same_everywhere(up: RuncapUp, tmp_path: Path, reader: str) -> None:
    """On this machine every reader ends with the variables of `--json`, each with its value."""
    options = ("--key", up.issue("env", daily_usd="1").vault_key, "--proxy", up.proxy)
    form, read = SAME[reader]
    code, printed = up.cli("env", "--format", form, *options)
    assert 0 == code
    expected = up.cli_json("env", *options)
    found = read(printed, tmp_path)
    assert expected == {name: found.get(name) for name in expected}


@pytest.mark.parametrize("form", FORMATS)
def test_an_agent_in_it(up: RuncapUp, fakes: FakeVendors, node_scripts: Path, tmp_path: Path, form: str) -> None:
    """Stripe's SDKs for Python and Node charge, and are refused, without anything else in their environment."""
    mark = fakes.journal.mark()
    run = up.issue("env", daily_usd="50")
    mount = up.home / "agent" if form == "docker" else tmp_path
    options = ("--key", run.vault_key, "--proxy", up.proxy, "--mount", str(mount))
    code, printed = up.cli("env", "--format", form, *options)
    assert 0 == code
    environment = FORMATS[form](printed, tmp_path)
    python, node = sys.executable, str(shutil.which("node"))
    said = [
        _run(environment, python, str(SCRIPTS / "stripe_sync.py")),
        _run(environment, node, str(node_scripts / "stripe.cjs")),
    ]
    assert ["succeeded", "succeeded"] == [lines[0] for lines in said]
    assert ["cap_exhausted" in lines[1] for lines in said] == [True, True]
    assert 2 == len(fakes.journal.entries(mark))


def _run(environment: Environment, *command: str) -> Any:
    ended = subprocess.run(
        command, env={"PATH": "/usr/bin:/bin", **environment}, capture_output=True, text=True, check=False, timeout=60
    )
    assert 0 == ended.returncode, ended.stderr
    return ended.stdout.splitlines()
