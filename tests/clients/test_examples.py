"""The recipes: those that can run here are run, and what the others name exists."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from runcap.agents.files import MOUNT
from runcap.cli import COMMANDS
from tests.clients.conftest import SCRIPTS, Exec
from tests.e2e.harness import RuncapUp
from tests.e2e.processes import Processes
from tests.e2e.waiting import wait_until
from tests.fakes import FakeVendors
from tests.fakes.vendors import REPOSITORY

EXAMPLES = REPOSITORY / "examples"
RECIPES = [*EXAMPLES.iterdir(), *(REPOSITORY / "ca").iterdir()]


def yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def command(folder: Path) -> Path:
    """``runcap``, as if it were installed."""
    path = folder / "bin" / "runcap"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nPYTHONPATH="{REPOSITORY}/addon" exec "{sys.executable}" -m runcap "$@"\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("options", [(), ("--no-shim",)])
def test_plain_clients(run_under: Exec, fakes: FakeVendors, options: tuple[str, ...]) -> None:
    """Two charges of $20 fit $50; the third client is refused. With and without the shim."""
    mark = fakes.journal.mark()
    ended = run_under("50", sys.executable, str(EXAMPLES / "plain_clients.py"), options=options)
    assert ["requests 200", "httpx 200", "aiohttp 429"] == ended.lines, ended.err
    assert 2 == len(fakes.journal.entries(mark))


def test_curl(run_under: Exec, fakes: FakeVendors) -> None:
    """It charges, and sees what is left."""
    ended = run_under("50", str(EXAMPLES / "curl.sh"))
    assert 0 == ended.code
    assert '"succeeded"' in " ".join(ended.lines)
    assert "30.00" == ended.refusal["remaining_usd"]["stripe"]


def test_an_agents_tool(run_under: Exec, fakes: FakeVendors) -> None:
    """A plain function: a refusal is something to plan with, an error of Stripe's own is still an error."""
    script = (
        "import json, charge\n"
        "first = charge.charge_customer(2000, 'cus_123')\n"
        "print(first['status'])\n"
        "print(json.dumps(charge.charge_customer(9000, 'cus_123')))\n"
    )
    ended = run_under("50", "sh", "-c", f'cd "{EXAMPLES}" && exec "{sys.executable}" -c "$0"', script)
    assert (0, "succeeded") == (ended.code, ended.lines[0]), ended.err
    assert ("cap_exhausted", "30.00") == (ended.refusal["refused"], ended.refusal["remaining_usd"])


@pytest.mark.parametrize(
    ("package", "script"), [("langchain_core", "langchain_agent.py"), ("agents", "openai_agent.py")]
)
def test_a_frameworks_tool(run_under: Exec, fakes: FakeVendors, package: str, script: str) -> None:
    """The framework reads name and description off the function, calls it as its model wishes, and is told no."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: beside mitmproxy it may need Python 3.13")
    mark = fakes.journal.mark()
    ended = run_under("50", sys.executable, str(SCRIPTS / script), str(EXAMPLES))
    assert 0 == ended.code, ended.err
    described, charged, refused = ended.lines
    assert described.startswith("charge_customer: Charge a customer's card.")
    assert "succeeded" in charged
    assert "cap_exhausted" in refused
    assert "30.00" in refused
    assert 1 == len(fakes.journal.entries(mark))


def test_github_action(up: RuncapUp, fakes: FakeVendors, tmp_path: Path) -> None:
    """Its steps, as the runner's shell runs them, from the start to the audit that verifies."""
    job = yaml(EXAMPLES / "github-action.yml")["jobs"]["agent"]
    steps = {step["name"]: step for step in job["steps"] if "name" in step}
    agent = tmp_path / "agent"
    agent.write_text(f'#!/bin/sh\nexec "{EXAMPLES}/curl.sh"\n')
    agent.chmod(0o755)
    settings = up.config_file.read_text(encoding="utf-8").replace(str(up.home), str(tmp_path / "home"))
    (tmp_path / "runcap.toml").write_text(settings, encoding="utf-8")
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RUNCAP_")},
        **dict.fromkeys(("REAL_STRIPE_SECRET", "REAL_TWILIO_SECRET", "REAL_RESEND_SECRET"), "sk_live_notReal"),
        "REAL_STRIPE_SECRET": "sk_live_CANARY51realStripeSecretThatNoAgentSees",
        "GITHUB_RUN_ID": "42",
        "PATH": f"{command(tmp_path).parent}:{os.environ['PATH']}",
    }

    def run(name: str) -> str:
        script = tmp_path / "step.sh"
        script.write_text(steps[name]["run"])
        ended = subprocess.run(
            ["bash", "-e", str(script)], cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=60
        )
        assert 0 == ended.returncode, ended.stderr
        return ended.stdout + ended.stderr

    processes = Processes(tmp_path)
    try:
        run("Start runcap")
        told = run("Run the agent")
        run("Stop runcap")
        wait_until("runcap to end", lambda: not processes.alive())
    finally:
        processes.kill_all()
    assert "(ci-42) spent $20.00, no calls refused, $5.00 left of $25.00 in total" in told
    assert "STRIPE_SECRET_KEY" in steps["Start runcap"]["env"]
    assert "env" not in steps["Run the agent"]


def test_systemd_unit(tmp_path: Path) -> None:
    """systemd has nothing against it."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    text = (EXAMPLES / "runcap.service").read_text(encoding="utf-8")
    unit = tmp_path / "runcap.service"
    unit.write_text(text.replace("/opt/runcap/bin/runcap", str(command(tmp_path))), encoding="utf-8")
    ended = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert [] == [line for line in ended.stderr.splitlines() if "runcap.service" in line]


def test_compose_file() -> None:
    """The agent has no network but runcap's, and of its home the folder of `runcap env --format docker` alone."""
    services = yaml(EXAMPLES / "compose.yaml")["services"]
    agent = services["agent"]
    assert {"agents"} == set(agent["networks"]) < set(services["runcap"]["networks"])
    assert [(MOUNT, True, "agent")] == [
        (volume["target"], volume["read_only"], volume["volume"]["subpath"]) for volume in agent["volumes"]
    ]


def test_kubernetes_job(up: RuncapUp) -> None:
    """It names the objects that `runcap env --format kubernetes` makes, and mounts the files at their place."""
    code, printed = up.cli("env", "--key", up.issue("k8s", daily_usd="1").vault_key, "--format", "kubernetes",
                           "--proxy", "http://runcap:8080")  # fmt: skip
    assert 0 == code
    objects = {each["metadata"]["name"] for each in YAML(typ="safe").load_all(printed)}
    pod = yaml(REPOSITORY / "ca" / "kubernetes.yaml")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    named = {next(iter(source.values()))["name"] for source in container["envFrom"]}
    assert objects == named | {pod["volumes"][0]["configMap"]["name"]}
    assert [MOUNT] == [mount["mountPath"] for mount in container["volumeMounts"]]


def test_every_command_that_a_recipe_names_exists() -> None:
    """And every file that the list of recipes links to."""
    texts = {path: path.read_text(encoding="utf-8") for path in RECIPES if path.is_file()}
    command_line = re.compile(r"(?:^|[\s`/])runcap ([a-z]+) (?:--|export|verify|issue)")
    named = {found for text in texts.values() for found in command_line.findall(text)}
    assert {"exec", "env", "keys", "up", "ca", "audit"} <= named <= set(COMMANDS)
    links = re.findall(r"\]\(([^)]+)\)", texts[EXAMPLES / "README.md"])
    assert [] == [link for link in links if not (EXAMPLES / link).exists()]
