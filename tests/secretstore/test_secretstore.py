"""Secrets come from where the configuration says, and show themselves to nobody."""

import base64
import json
import logging
import os
import pickle
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from runcap.config import Config, load
from runcap.home import HomeError
from runcap.secretstore import Secret, SecretError, SecretMissing, SecretStore, resolve, without_secrets
from runcap.secretstore.sealed import SealedFile

CANARY = "sk_live_canary0123456789"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.delenv("RUNCAP_CONFIG", raising=False)
    monkeypatch.delenv("RUNCAP_MASTER_KEY", raising=False)
    monkeypatch.setenv("RUNCAP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return load()


def with_spec(config: Config, vendor: str, spec: str) -> Config:
    vendors = {**config.vendors, vendor: replace(config.vendors[vendor], secret=spec)}
    return replace(config, vendors=MappingProxyType(vendors))


def test_a_secret_hides() -> None:
    """Neither repr, str, format nor pickle give it away; only `reveal` does."""
    secret = Secret(CANARY)
    assert CANARY == secret.reveal()
    assert {"Secret(hidden)"} == {repr(secret), str(secret), f"{secret}"}
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)
    assert Secret(CANARY) == secret
    assert Secret(CANARY + "x") != secret


def test_from_the_environment(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """``env:NAME`` is that variable."""
    monkeypatch.setenv("STRIPE_SECRET_KEY", CANARY)
    assert CANARY == SecretStore(config).get("stripe").reveal()


def test_a_missing_variable_is_named(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the option and the variable."""
    monkeypatch.delenv("STRIPE_SECRET_KEY", raising=False)
    with pytest.raises(SecretMissing, match=r"vendors\.stripe\.secret is env:STRIPE_SECRET_KEY"):
        SecretStore(config).get("stripe")


def test_a_missing_secret_stops_nobody_else(
    config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """`get_or_none` gives None and warns once, however often it is asked."""
    monkeypatch.delenv("STRIPE_SECRET_KEY", raising=False)
    monkeypatch.setenv("RESEND_API_KEY", "re_0123456789")
    store = SecretStore(config)
    with caplog.at_level(logging.WARNING):
        assert [None, None] == [store.get_or_none("stripe"), store.get_or_none("stripe")]
    assert 1 == len(caplog.records)
    found = store.get_or_none("resend")
    assert found is not None
    assert "re_0123456789" == found.reveal()


def test_from_a_file(config: Config, tmp_path: Path) -> None:
    """``file:PATH`` is the file's one line; when it changes, so does the secret."""
    path = tmp_path / "stripe.key"
    path.write_text(CANARY + "\n")
    path.chmod(0o600)
    store = SecretStore(with_spec(config, "stripe", f"file:{path}"))
    assert CANARY == store.get("stripe").reveal()
    path.write_text("sk_live_rotated_and_longer\n")
    assert "sk_live_rotated_and_longer" == store.get("stripe").reveal()


def test_a_file_that_is_gone_is_missing(config: Config, tmp_path: Path) -> None:
    """The error names option and path."""
    with pytest.raises(SecretMissing, match=r"vendors\.stripe\.secret is file:.*nowhere"):
        resolve(f"file:{tmp_path / 'nowhere'}", "stripe", SealedFile(tmp_path))


def test_a_file_that_others_can_write_is_refused(tmp_path: Path) -> None:
    """Whoever can write it can have calls paid by another account."""
    path = tmp_path / "stripe.key"
    path.write_text(CANARY)
    path.chmod(0o622)
    with pytest.raises(SecretError, match="chmod 600"):
        resolve(f"file:{path}", "stripe", SealedFile(tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file that root owns")
def test_a_mounted_secret_of_roots_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Kubernetes mounts secrets as root's, readable by all: taken, with a warning."""
    path = tmp_path / "stripe.key"
    path.write_text(CANARY)
    path.chmod(0o644)
    assert CANARY == resolve(f"file:{path}", "stripe", SealedFile(tmp_path)).reveal()
    assert "other users may read" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_users_open_file_is_refused(tmp_path: Path) -> None:
    """A file of an ordinary user that others can read is no place for a secret."""
    path = tmp_path / "stripe.key"
    path.write_text(CANARY)
    path.chmod(0o640)
    os.chown(path, 1234, 1234)
    with pytest.raises(SecretError, match="open to other users"):
        resolve(f"file:{path}", "stripe", SealedFile(tmp_path))


@pytest.mark.parametrize("bad", ["short", "two words here", "line\nbreak-in-it", "umlaut-\u00e4-123", "x" * 513])
def test_what_is_no_secret_is_refused_without_a_trace(
    bad: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A secret goes into a header: blanks, control and other characters are refused, and not repeated."""
    monkeypatch.setenv("SOME_SECRET", bad)
    with pytest.raises(SecretError, match="8 to 512 printable ASCII") as caught:
        resolve("env:SOME_SECRET", "stripe", SealedFile(tmp_path))
    assert bad not in str(caught.value)


@pytest.mark.parametrize("prefix", ["", "sk_live_", "re_"])
def test_a_vault_key_is_no_secret(prefix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Started inside an agent's environment, runcap would otherwise send vault keys to the vendor."""
    monkeypatch.setenv("SOME_SECRET", prefix + "vk_" + "a1B2" * 10)
    with pytest.raises(SecretError, match="vault key"):
        resolve("env:SOME_SECRET", "stripe", SealedFile(tmp_path))


def test_sealing_and_opening(config: Config) -> None:
    """A sealed secret is read back, replaced by the next one, and stands nowhere in clear text."""
    store = SecretStore(with_spec(config, "stripe", "sealed"))
    with pytest.raises(SecretMissing, match="runcap secrets set stripe"):
        store.get("stripe")
    store.seal("stripe", CANARY)
    assert CANARY == store.get("stripe").reveal()
    store.seal("stripe", CANARY + "-2")
    store.seal("twilio", "0123456789abcdef")
    assert CANARY + "-2" == store.get("stripe").reveal()
    assert ["stripe", "twilio"] == list(store.sealed_vendors())
    files = [path for path in config.home.iterdir() if path.is_file()]
    assert {0o600} == {path.stat().st_mode & 0o777 for path in files}
    assert not any(CANARY.encode() in path.read_bytes() for path in files)


def test_the_master_key_from_the_environment(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """With RUNCAP_MASTER_KEY no key is written, and another key opens nothing."""
    monkeypatch.setenv("RUNCAP_MASTER_KEY", base64.b64encode(bytes(32)).decode())
    store = SecretStore(with_spec(config, "stripe", "sealed"))
    store.seal("stripe", CANARY)
    assert not (config.home / "master.key").exists()
    assert CANARY == store.get("stripe").reveal()
    monkeypatch.setenv("RUNCAP_MASTER_KEY", base64.b64encode(bytes([1] * 32)).decode())
    with pytest.raises(HomeError, match="not sealed with this master key"):
        resolve("sealed", "stripe", SealedFile(config.home))


@pytest.mark.parametrize("key", ["short", base64.b64encode(bytes(16)).decode(), "!" * 44])
def test_a_bad_master_key_is_named(config: Config, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """The error says what a key looks like, and does not repeat it."""
    monkeypatch.setenv("RUNCAP_MASTER_KEY", key)
    with pytest.raises(HomeError, match="RUNCAP_MASTER_KEY must be 32 bytes in base64") as caught:
        SecretStore(config).seal("stripe", CANARY)
    assert key not in str(caught.value)


def test_a_lost_master_key_is_not_replaced(config: Config) -> None:
    """A new key would hide that the other secrets can no longer be opened."""
    store = SecretStore(config)
    store.seal("stripe", CANARY)
    (config.home / "master.key").unlink()
    with pytest.raises(HomeError, match="needs the key that sealed it"):
        store.seal("twilio", "0123456789abcdef")


def test_entries_cannot_change_places(config: Config) -> None:
    """One vendor's sealed secret is worthless under another's name."""
    store = SecretStore(config)
    store.seal("stripe", CANARY)
    path = config.home / "secrets.json"
    document = json.loads(path.read_text())
    document["sealed"]["resend"] = document["sealed"].pop("stripe")
    path.write_text(json.dumps(document))
    with pytest.raises(HomeError, match="was changed since"):
        resolve("sealed", "resend", SealedFile(config.home))


def test_an_open_or_damaged_sealed_file_is_refused(config: Config) -> None:
    """Both are named with the path."""
    store = SecretStore(config)
    store.seal("stripe", CANARY)
    path = config.home / "secrets.json"
    path.chmod(0o644)
    with pytest.raises(HomeError, match="open to other users"):
        store.sealed_vendors()
    path.chmod(0o600)
    path.write_text("{}")
    with pytest.raises(HomeError, match="is damaged"):
        store.sealed_vendors()


def script(tmp_path: Path, body: str) -> str:
    """A command that does what the shell script says."""
    path = tmp_path / "print secret"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o700)
    return f"exec:'{path}' one 'two words'"


def test_from_a_command(config: Config, tmp_path: Path) -> None:
    """``exec:`` runs it without a shell, once, however often the secret is asked for; `refresh` runs it again."""
    counted = tmp_path / "counted"
    spec = script(tmp_path, f'echo x >> "{counted}"; echo "sk_live_$#_$(wc -l < "{counted}" | tr -d " ")"')
    store = SecretStore(with_spec(config, "stripe", spec))
    assert store.peek("stripe") is None
    assert ["sk_live_2_1", "sk_live_2_1"] == [store.get("stripe").reveal(), store.get("stripe").reveal()]
    assert store.refresh()
    assert "sk_live_2_2" == store.get("stripe").reveal()


def test_a_command_that_fails_later_leaves_its_secret(
    config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A secret manager that is down stops no call; the log says so, and does not repeat what was printed."""
    broken = tmp_path / "broken"
    store = SecretStore(
        with_spec(config, "stripe", script(tmp_path, f'echo {CANARY}; echo {CANARY} >&2; test ! -e "{broken}"'))
    )
    assert CANARY == store.get("stripe").reveal()
    broken.touch()
    assert not store.refresh()
    assert CANARY == store.get("stripe").reveal()
    assert "ended with 1" in caplog.text
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (f"echo {CANARY}; exit 3", "print secret ended with 3: run it by hand"),
        ("true", "8 to 512 printable ASCII"),
        (f"echo {CANARY}; echo {CANARY}", "8 to 512 printable ASCII"),
        ("head -c 100000 /dev/zero", "printed more than 4096 bytes"),
        ("yes", "printed more than 4096 bytes"),
        ("printf '\\303\\244aaaaaaaaa'", "something else than one line of ASCII"),
        ("sleep 30", "did not end in 1 s"),
        (f"echo {CANARY}; exec >/dev/null; sleep 30", "did not end in 1 s"),
        ("sleep 30 & echo started", "did not end in 1 s"),
    ],
)
def test_a_command_that_prints_no_secret(config: Config, tmp_path: Path, body: str, expected: str) -> None:
    """The error names the option and the program, and repeats nothing that was printed."""
    config = replace(config, secrets=replace(config.secrets, command_timeout_seconds=1))
    store = SecretStore(with_spec(config, "stripe", script(tmp_path, body)))
    with pytest.raises(SecretError, match=expected) as caught:
        store.get("stripe")
    assert "vendors.stripe.secret (exec:)" in str(caught.value)
    assert CANARY not in str(caught.value)


def test_a_command_that_is_not_there(config: Config) -> None:
    """It is named, without its arguments."""
    store = SecretStore(with_spec(config, "stripe", "exec:/no/such/program --token canary"))
    with pytest.raises(SecretError, match="/no/such/program cannot be run: No such file or directory") as caught:
        store.get("stripe")
    assert "canary" not in str(caught.value)


def test_a_command_gets_no_other_secret(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has what ``command_env`` names for it, and no vendor's secret."""
    monkeypatch.setenv("RESEND_API_KEY", "re_0123456789")
    monkeypatch.setenv("VAULT_TOKEN", "token-of-the-vault")
    config = replace(config, secrets=replace(config.secrets, command_env=("VAULT_TOKEN",)))
    spec = script(tmp_path, 'echo "token=$VAULT_TOKEN,resend=$RESEND_API_KEY"')
    assert "token=token-of-the-vault,resend=" == SecretStore(with_spec(config, "stripe", spec)).get("stripe").reveal()


def test_an_environment_without_secrets(config: Config) -> None:
    """No vendor's secret, no master key, nothing of the commands', and no URL of the ledger."""
    config = replace(
        config,
        secrets=replace(config.secrets, master_key="env:MY_MASTER", command_env=("VAULT_TOKEN",)),
        ledger=replace(config.ledger, url="redis://:password@ledger"),
    )
    hidden = ("STRIPE_SECRET_KEY", "TWILIO_AUTH_TOKEN", "RESEND_API_KEY", "MY_MASTER", "RUNCAP_MASTER_KEY")
    environment = {**dict.fromkeys((*hidden, "VAULT_TOKEN"), "x"), "REDIS": config.ledger.url, "PATH": "/bin"}
    assert {"PATH": "/bin"} == without_secrets(environment, config)
    assert {"PATH": "/bin", "VAULT_TOKEN": "x"} == without_secrets(environment, config, keep=("VAULT_TOKEN",))
