"""`runcap exec`: a command with a run, a cap and an environment of its own."""

import json
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runcap.runs import parse_vault_key
from tests.cli.conftest import Runcap

CANARY = "sk_live_canary0123456789"
DUMP = "import json, os; print(json.dumps(dict(os.environ)))"


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The configuration names a port where something listens; that it is the right proxy is taken for granted."""
    monkeypatch.setattr("runcap.cli._meeting.what_hinders", lambda *_: None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        (tmp_path / "runcap.toml").write_text(
            f'[proxy]\nlisten = "127.0.0.1:{port}"\n[vendors.resend]\nsecret = "env:MY_RESEND"\n'
        )
        yield f"http://127.0.0.1:{port}"


def test_the_command_gets_a_run_and_no_secret(runcap: Runcap, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment has a vault key, and a real secret under no name; the run is revoked when it ends."""
    monkeypatch.setenv("STRIPE_SECRET_KEY", CANARY)
    monkeypatch.setenv("A_COPY_OF_IT", f"Bearer {CANARY}")
    monkeypatch.setenv("MY_RESEND", "re_0123456789")
    monkeypatch.setenv("RUNCAP_MASTER_KEY", "A" * 43 + "=")
    monkeypatch.setenv("OTHER_MASTER_KEY", "A" * 43 + "=")
    monkeypatch.setenv("VAULT_TOKEN", "what-exec-commands-need")
    with Path("runcap.toml").open("a") as file:
        file.write('[secrets]\nmaster_key = "env:OTHER_MASTER_KEY"\ncommand_env = ["VAULT_TOKEN"]\n')
    monkeypatch.setenv("HARMLESS", "kept")
    result = runcap("exec", "--label", "agent", "--daily-usd", "5", "--", sys.executable, "-c", DUMP)
    assert 0 == result.code
    seen = json.loads(result.out)
    key = parse_vault_key(seen["STRIPE_SECRET_KEY"])
    assert key is not None
    assert {key} == {seen[name] for name in ("STRIPE_API_KEY", "TWILIO_AUTH_TOKEN", "RESEND_API_KEY")}
    assert (proxy, "kept") == (seen["HTTPS_PROXY"], seen["HARMLESS"])
    hidden = ("A_COPY_OF_IT", "MY_RESEND", "RUNCAP_MASTER_KEY", "RUNCAP_HOME", "OTHER_MASTER_KEY", "VAULT_TOKEN")
    for name in hidden:
        assert name not in seen
    run_id = seen["RUNCAP_RUN_ID"]
    figures = "spent $0.00, what was refused is not known here, $5.00 left of $5.00 a day"
    assert f"runcap: run {run_id} (agent) {figures}\n" == result.err
    run = runcap("keys", "show", run_id, "--json").json
    assert ("revoked", "5.00") == (run["state"], run["caps"]["daily_usd"])


def test_the_exit_code_is_the_commands(runcap: Runcap, proxy: str) -> None:
    """Also for options that look like ours, and without the two dashes."""
    args = ("exec", "--label", "agent", "--total-usd", "5")
    assert 7 == runcap(*args, "sh", "-c", "exit 7").code
    assert 0 == runcap(*args, "--", "sh", "-c", 'test "$1" = --label', "sh", "--label").code
    assert 128 + signal.SIGKILL == runcap(*args, "--", "sh", "-c", "kill -9 $$").code


def test_a_command_that_is_not_there(runcap: Runcap, proxy: str) -> None:
    """127, as a shell has it, and the run is revoked all the same."""
    result = runcap("exec", "--label", "agent", "--total-usd", "5", "--", "no-such-command")
    assert 127 == result.code
    assert "no-such-command cannot be run" in result.err
    assert ["revoked"] == [row["state"] for row in runcap("keys", "list", "--json").json]


def test_no_proxy_no_run(runcap: Runcap, tmp_path: Path) -> None:
    """Nothing is issued if the command could not make a call anyway."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    result = runcap("exec", "--label", "a", "--total-usd", "5", "--proxy", f"http://127.0.0.1:{port}", "--", "true")
    assert (1, f"Error: No proxy answers at 127.0.0.1:{port}: start it with `runcap up`.\n") == (
        result.code,
        result.err,
    )
    assert [] == runcap("keys", "list", "--json").json


def test_no_proxy_no_home(runcap: Runcap, tmp_path: Path) -> None:
    """In a folder where nothing is, nothing is left behind."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert (
        1
        == runcap("exec", "--label", "a", "--total-usd", "5", "--proxy", f"http://127.0.0.1:{port}", "--", "true").code
    )
    assert [] == list(tmp_path.iterdir())


def test_it_needs_a_cap(runcap: Runcap, proxy: str) -> None:
    """As issuing a key does."""
    result = runcap("exec", "--label", "agent", "--", "true")
    assert 2 == result.code
    assert "set at least one of" in result.err
