"""`runcap doctor`: it finds what is wrong, and the line that it suggests mends it."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from runcap.cli.keys import new_run
from runcap.doctor import network
from runcap.ledger.embedded import EmbeddedLedger
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Caps
from tests.cli.conftest import Runcap, runcap
from tests.e2e.harness import RuncapUp
from tests.fakes import FakeVendors
from tests.fakes.vendors import REPOSITORY

__all__ = ["runcap"]

type Environment = dict[str, str]
type Doctor = Callable[..., dict[str, dict[str, Any]]]

_SUDO = """\
#!{python}
# Runs the command as nobody, who may not set the clock: GNU's date then says to what it would have set it.
import os, subprocess, sys

with open({clock!r}, "w") as clock:
    if os.geteuid() == 0:
        os.setuid(65534)
    ended = subprocess.run(sys.argv[1:], env=dict(os.environ, LC_ALL="C"), capture_output=True, text=True)
    assert "cannot set date" in ended.stderr, ended.stderr
    clock.write(ended.stdout)
"""


@pytest.fixture
def doctor(up: RuncapUp) -> Doctor:
    """``runcap doctor`` in an agent's environment; the findings by check."""

    def run(environment: Environment, *options: str) -> dict[str, dict[str, Any]]:
        with mock.patch.dict(os.environ, environment, clear=True):
            code, printed = up.cli("doctor", "--json", "--proxy", up.proxy, *(options or ("--no-sdk",)))
        found = json.loads(printed)
        assert code == int(any(each["state"] == "fault" for each in found))
        return {each["check"]: each for each in found}

    return run


@pytest.fixture
def mended(tmp_path: Path, up: RuncapUp) -> Callable[[str, Environment], Environment]:
    """A shell's environment after a suggested line, as the agent that it starts next would have it."""
    command = tmp_path / "bin" / "runcap"
    command.parent.mkdir()
    command.write_text(
        f'#!/bin/sh\nPYTHONPATH="{REPOSITORY}/addon:$PYTHONPATH" exec "{sys.executable}" -m runcap "$@"\n'
    )
    command.chmod(0o755)

    def run(line: str, environment: Environment) -> Environment:
        variables = {**environment, "RUNCAP_CONFIG": str(up.config_file)}
        variables["PATH"] = f"{command.parent}:{environment['PATH']}"
        script = f"{line}\nenv -0"
        ended = subprocess.run(
            ["sh", "-c", script], env=variables, capture_output=True, text=True, check=True, timeout=30
        )
        return dict(pair.split("=", 1) for pair in ended.stdout.split("\0") if pair)

    return run


def _agent(up: RuncapUp) -> Environment:
    return up.agent_env(up.issue("patient", daily_usd="5"))


def _faults(found: dict[str, dict[str, Any]]) -> list[str]:
    return [check for check, each in found.items() if each["state"] == "fault"]


def test_all_is_well(up: RuncapUp, fakes: FakeVendors, doctor: Doctor) -> None:
    """Nothing is found in the environment that `runcap env` makes; nothing reaches a vendor."""
    mark = fakes.journal.mark()
    found = doctor(_agent(up))
    assert [] == _faults(found)
    assert {"CA files", "variables", "ledger", "proxy", "vault key", "clock", "stripe", "twilio", "resend"} == set(
        found
    )
    assert [] == fakes.journal.entries(mark)


def test_without_a_key_it_brings_its_own(up: RuncapUp, doctor: Doctor) -> None:
    """A run that may spend nothing, revoked at the end."""
    found = doctor({"PATH": os.environ["PATH"]})
    assert [] == _faults(found)
    assert "runcap-doctor" in found["vault key"]["what"]
    runs = up.cli_json("keys", "list", "--label", "runcap-doctor")
    assert {("revoked", "0.00")} == {(run["state"], run["caps"]["total_usd"]) for run in runs}


def test_where_nothing_is(runcap: Runcap) -> None:
    """A folder without a configuration, and no key: it says so, and how to begin."""
    result = runcap("doctor", "--json")
    [found] = json.loads(result.out)
    assert (1, "environment", "fault", "runcap up") == (result.code, *(found[x] for x in ("check", "state", "mend")))
    assert "there is no configuration of runcap's here" in found["what"]


def test_a_missing_ca(up: RuncapUp, doctor: Doctor, mended: Any) -> None:
    """The bundle is gone: it is written again."""
    environment = _agent(up)
    Path(environment["SSL_CERT_FILE"]).unlink()
    found = doctor(environment)
    assert "No such file" in found["CA files"]["what"]
    assert [] == _faults(doctor(mended(found["CA files"]["mend"], environment)))


def test_a_wrong_port(up: RuncapUp, doctor: Doctor, mended: Any) -> None:
    """Nobody is there; the variables are set anew."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wrong = f"http://127.0.0.1:{listener.getsockname()[1]}"
    environment = {**_agent(up), "HTTPS_PROXY": wrong, "https_proxy": wrong}
    found = doctor(environment)
    assert "Connection refused; runcap answers at" in found["proxy"]["what"]
    assert "skipped" == found["everything else"]["state"]
    assert [] == _faults(doctor(mended(found["proxy"]["mend"], environment)))


def test_an_expired_key(up: RuncapUp, doctor: Doctor, mended: Any) -> None:
    """The environment gets another key."""
    environment = _agent(up)
    expired = asyncio.run(_issue_expired(up))
    environment = {name: expired if value.startswith("vk_") else value for name, value in environment.items()}
    found = doctor(environment)
    assert found["vault key"]["what"].startswith("key_expired: ")
    assert ["vault key"] == _faults(found)
    after = mended(found["vault key"]["mend"], environment)
    assert expired != after["STRIPE_API_KEY"]
    assert [] == _faults(doctor(after))


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's date says what it would do")
def test_a_clock_that_is_an_hour_off(
    up: RuncapUp, doctor: Doctor, mended: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line sets it to the ledger's time."""
    environment = _agent(up)
    monkeypatch.setattr(network, "time", types.SimpleNamespace(time=lambda: time.time() + 3600))
    found = doctor(environment)
    assert ["clock"] == _faults(found)
    assert found["clock"]["what"].endswith(" s ahead of the ledger's")
    sudo, clock = tmp_path / "bin" / "sudo", tmp_path / "clock"
    sudo.write_text(_SUDO.format(python=sys.executable, clock=str(clock)))
    sudo.chmod(0o755)
    mended(found["clock"]["mend"], environment)
    read = subprocess.run(
        ["date", "-u", "-d", clock.read_text().strip(), "+%s"], capture_output=True, text=True, check=True
    )
    monkeypatch.setattr(network, "time", types.SimpleNamespace(time=lambda: int(read.stdout)))
    assert [] == _faults(doctor(environment))


def test_sdks_without_their_shims(up: RuncapUp, doctor: Doctor, mended: Any, node_scripts: Path) -> None:
    """Stripe's do not come through, and do after the line; each finding has another way for the code."""
    options = ("--python", sys.executable, "--node", str(node_scripts), "--sdk", "stripe")
    environment = _agent(up)
    shims = {"stripe (python)": "PYTHONPATH", "stripe (node)": "NODE_OPTIONS"}
    for variable in shims.values():
        del environment[variable]
    found = doctor(environment, *options)
    assert list(shims) == _faults(found)
    for check, variable in shims.items():
        assert found[check]["what"].startswith(f"runcap's shim is not in {variable}: ")
        assert found[check]["hint"].startswith("or ")
    assert found["stripe (python)"]["mend"] == found["stripe (node)"]["mend"]
    assert [] == _faults(doctor(mended(found["stripe (node)"]["mend"], environment), *options))


def test_for_people(up: RuncapUp) -> None:
    """A line for each check, and under a fault the line that mends it."""
    environment = _agent(up)
    del environment["CURL_CA_BUNDLE"]
    with mock.patch.dict(os.environ, environment, clear=True):
        code, printed = up.cli("doctor", "--no-sdk", "--proxy", up.proxy)
    lines = printed.splitlines()
    assert 1 == code
    at = lines.index("fault   variables          not set: CURL_CA_BUNDLE")
    assert f'eval "$(runcap env --proxy {up.proxy})"' == lines[at + 1].strip()


async def _issue_expired(up: RuncapUp) -> str:
    vault_key, run = new_run("patient", Caps(day=1), vendors=())
    ledger = Ledger.connect(EmbeddedLedger(up.home).url)
    try:
        await ledger.issue(run, "test", ttl_ms=1)
    finally:
        await ledger.close()
    return vault_key
