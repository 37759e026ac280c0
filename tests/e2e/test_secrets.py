"""Secrets through real processes: fetched by a command, changed while running, and found nowhere they must not be."""

import os
import signal
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.client import Caller
from tests.e2e.harness import RuncapUp
from tests.e2e.waiting import wait_until
from tests.fakes import FakeVendors
from tests.fakes.vendors import ACCOUNT_SID, SECRETS

_WRONG = "sk_live_CANARYsecretThatStripeDoesNotKnow0"
_VAULT_TOKEN = "CANARYtokenOfTheVault0123456789"


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a command prints Stripe's secret from."""
    path = tmp_path_factory.mktemp("vault") / "stripe"
    path.write_text(_WRONG)
    return path


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, session_fakes: FakeVendors, vault: Path) -> Iterator[RuncapUp]:
    """Stripe's secret comes by a command, and a CONNECT needs a vault key."""
    running = RuncapUp(tmp_path_factory.mktemp("up"), session_fakes)
    command = vault.with_name("print-secret")
    command.write_text(f'#!/bin/sh\ntest -n "$VAULT_TOKEN" && cat "{vault}"\n')
    command.chmod(0o700)
    text = running.config_file.read_text()
    text = text.replace('"env:REAL_STRIPE_SECRET"', f"'exec:{command}'")
    text = text.replace("[proxy]\n", '[proxy]\nauth = "vault_key"\n')
    running.config_file.write_text(f"{text}\n[secrets]\ncommand_env = ['VAULT_TOKEN']\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAULT_TOKEN", _VAULT_TOKEN)
        with running:
            yield running


def processes(up: RuncapUp) -> list[int]:
    return up.processes.alive("runcap")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_no_process_dumps_core(up: RuncapUp) -> None:
    """Supervisor, workers, auditor and the ledger's server: a core would hold secrets."""
    pids = [*processes(up), up.processes.ledger()]
    assert 5 <= len(pids)
    for pid in pids:
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert ["0", "0"] == next(line for line in limits.splitlines() if "core file" in line).split()[4:6]


@pytest.mark.skipif(os.geteuid() != 0, reason="others' environments are hidden, as they should be")
def test_the_auditor_and_the_ledger_inherit_no_secret(up: RuncapUp) -> None:
    """None that the configuration names, nor what the commands need."""
    pids = [*up.processes.alive("runcap.audit.auditor"), up.processes.ledger()]
    assert 2 == len(pids)
    secret = ("REAL_TWILIO_SECRET", "REAL_RESEND_SECRET", "VAULT_TOKEN")
    for pid in pids:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert not [name for name in secret if f"{name}=".encode() in environment]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_no_secret_is_on_a_command_line(up: RuncapUp) -> None:
    """Every user can read those."""
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in [*processes(up), up.processes.ledger()]]
    hidden = [*SECRETS.values(), _WRONG, _VAULT_TOKEN]
    assert not [line for line in lines if any(secret.encode() in line for secret in hidden)]


def test_sighup_takes_a_changed_secret(up: RuncapUp, fakes: FakeVendors, vault: Path) -> None:
    """The vendor refuses the wrong one; after SIGHUP all workers send the right one, and the audit has a row."""
    run = up.issue("rotation", daily_usd="1000", vendor=["stripe"])
    with Caller(up, run) as caller:
        assert 401 == caller.charge(100).status
    vault.write_text(SECRETS["stripe"])
    assert up._process is not None
    up._process.send_signal(signal.SIGHUP)

    def all_workers_have_it() -> bool:
        statuses = []
        for _ in range(8):
            with Caller(up, run) as caller:
                statuses.append(caller.charge(100).status)
        return statuses == [200] * 8

    wait_until("the workers to have the new secret", all_workers_have_it, seconds=10)
    [row] = wait_until(
        "the admin row", lambda: up.audit("select * from admin where action = 'secrets_reloaded'"), seconds=5
    ) or [{}]
    assert '"stripe":"exec"' in row["detail"]


def test_a_tunnel_is_one_runs(up: RuncapUp, fakes: FakeVendors) -> None:
    """Opened with one run's key, it carries no call of another's; without a key there is no tunnel."""
    mine, other = (up.issue(label, daily_usd="10", vendor=["stripe"]) for label in ("mine", "other"))
    mark = fakes.journal.mark()
    with Caller(up, other, tunnel_key=mine.vault_key) as caller:
        refused = caller.charge(100)
    assert (401, "key_mismatch") == (refused.status, refused.code)
    with Caller(up, mine, tunnel_key="") as caller, pytest.raises(OSError, match="407"):
        caller.charge(100)
    assert [] == fakes.journal.entries(mark)
    [row] = up.calls(other, 1)
    assert ("refused", "key_mismatch", 401) == (row["decision"], row["code"], row["status"])
    [row] = wait_until(
        "the refused CONNECT", lambda: up.audit("select * from calls where code = 'proxy_auth_required'"), seconds=5
    ) or [{}]
    assert ("CONNECT", 407) == (row["method"], row["status"])


_TWILIO = f"/2010-04-01/Accounts/{ACCOUNT_SID}"


@pytest.mark.parametrize(
    ("vendor", "method", "path", "body"),
    [
        ("stripe", "POST", "/v1/ephemeral_keys", "customer=cus_1"),
        ("stripe", "POST", "/v1/account_sessions", "account=acct_1&components[payments][enabled]=true"),
        ("stripe", "POST", "/v1/webhook_endpoints", "url=https://example.com&enabled_events[]=charge.succeeded"),
        ("stripe", "POST", "/v1/apps/secrets", "name=a&payload=b&scope[type]=account"),
        ("stripe", "GET", "/v1/issuing/cards/ic_1?expand[]=number", None),
        ("stripe", "GET", "/v1/apps/secrets/find?expand[]=payload&name=a&scope[type]=account", None),
        ("twilio", "GET", "/2010-04-01/Accounts.json", None),
        ("twilio", "GET", f"{_TWILIO}.json", None),
        ("twilio", "POST", "/2010-04-01/Accounts.json", "FriendlyName=sub"),
        ("twilio", "POST", f"{_TWILIO}/Keys.json", "FriendlyName=key"),
        ("twilio", "POST", f"{_TWILIO}/SigningKeys.json", "FriendlyName=key"),
        ("twilio", "POST", f"{_TWILIO}/Tokens.json", "Ttl=3600"),
        ("resend", "POST", "/api-keys", '{"name":"key"}'),
        ("resend", "GET", "/webhooks/wh_1", None),
    ],
)
def test_a_credential_cannot_be_asked_for(
    up: RuncapUp, fakes: FakeVendors, *, vendor: str, method: str, path: str, body: str | None
) -> None:
    """It is 403 through the real proxy, and the vendor hears nothing."""
    run = up.issue("collector", daily_usd="10")
    media_type = "application/json" if vendor == "resend" else "application/x-www-form-urlencoded"
    mark = fakes.journal.mark()
    with Caller(up, run, vendor) as caller:
        refused = caller.request(method, path, body, {"Content-Type": media_type} if body else {})
    assert 403 == refused.status
    assert "operation_not_allowed" in (refused.json["code"], refused.json.get("error", {}).get("code"))
    assert [] == fakes.journal.entries(mark)


def test_a_root_is_replaced_while_running(up: RuncapUp) -> None:
    """With both roots in the bundle nothing changes; after the end and SIGHUP the leaves are the new root's."""
    run = up.issue("rotated", daily_usd="10")

    def works() -> bool:
        try:
            with Caller(up, run) as caller:
                return caller.get("/v1/balance").status == 200
        except ssl.SSLCertVerificationError:
            return False

    assert 0 == up.cli("ca", "rotate")[0]
    assert works()
    assert 0 == up.cli("ca", "rotate", "--finish")[0]
    assert not works()
    assert up._process is not None
    up._process.send_signal(signal.SIGHUP)
    wait_until("both workers to have the new leaves", lambda: all(works() for _ in range(8)), seconds=10)


def test_the_canaries_are_nowhere(up: RuncapUp) -> None:
    """Not in the log, and in no file below home or beside it, whatever has gone wrong before."""
    up.stop()
    hidden = [secret.encode() for secret in (*SECRETS.values(), _WRONG, _VAULT_TOKEN)]
    files = [path for path in up.home.parent.rglob("*") if path.is_file()]
    assert 5 <= len(files)
    assert not [path for path in files if any(secret in path.read_bytes() for secret in hidden)]
