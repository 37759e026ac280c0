"""`runcap secrets`."""

import io
import json
from pathlib import Path

import pytest

from runcap.cli._context import actor, ask_ledger
from runcap.ledger.ledger import Ledger
from tests.cli.conftest import Runcap

CANARY = "sk_live_canary0123456789"


def say(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Let stdin hold the text."""
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_set_from_stdin(runcap: Runcap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret is stored and listed, and is on no output and in no file in clear text."""
    (tmp_path / "runcap.toml").write_text('[vendors.stripe]\nsecret = "sealed"\n')
    say(monkeypatch, CANARY + "\n")
    result = runcap("secrets", "set", "stripe")
    assert (0, "") == (result.code, result.err)
    listed = runcap("secrets", "list", "--json")
    stripe = listed.json[0]
    assert ("stripe", "sealed", "set", None) == (
        stripe["vendor"],
        stripe["source"],
        stripe["state"],
        stripe["problem"],
    )
    assert stripe["sealed_at"] is not None
    assert CANARY not in result.out + listed.out + runcap("secrets", "list").out
    assert not any(CANARY.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_sealing_is_audited(runcap: Runcap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sealed or changed which vendor's secret is an admin row; one that was refused is none."""
    for text in (CANARY, "two words", CANARY + "-2"):
        say(monkeypatch, text)
        runcap("secrets", "set", "stripe")
    rows: list[tuple[str, str]] = []

    async def read(ledger: Ledger) -> None:
        for _, entry in await ledger.read_audit("0", 100):
            rows.append((entry.get("action", ""), entry.get("detail", "")))

    ask_ledger(None, read)
    sealed = [(action, json.loads(detail)) for action, detail in rows if action.startswith("secret")]
    assert [("secret_sealed", "stripe"), ("secret_changed", "stripe")] == [
        (action, detail["vendor"]) for action, detail in sealed
    ]
    assert {actor()} == {detail["actor"] for _, detail in sealed}
    assert CANARY not in str(rows)


def test_one_that_is_not_in_use(runcap: Runcap, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sealing is no use while the configuration says env:NAME, so the command says what to write."""
    say(monkeypatch, CANARY)
    result = runcap("secrets", "set", "stripe")
    assert 0 == result.code
    assert 'Write secret = "sealed" below [vendors.stripe]' in result.err


def test_what_is_no_secret(runcap: Runcap, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails, and nothing is stored."""
    say(monkeypatch, "two words")
    result = runcap("secrets", "set", "stripe")
    assert (1, "") == (result.code, result.out)
    assert "8 to 512 printable ASCII characters" in result.err
    assert "two words" not in result.err
    assert runcap("secrets", "list", "stripe", "--json").json[0]["sealed_at"] is None


def test_list_says_what_is_missing(runcap: Runcap, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each vendor has a state, and a sentence if it cannot be used."""
    monkeypatch.setenv("STRIPE_SECRET_KEY", CANARY)
    monkeypatch.setenv("RESEND_API_KEY", "bad")
    monkeypatch.delenv("TWILIO_AUTH_TOKEN", raising=False)
    rows = runcap("secrets", "list", "--json").json
    assert [("stripe", "set"), ("twilio", "missing"), ("resend", "unusable")] == [
        (row["vendor"], row["state"]) for row in rows
    ]
    assert "vendors.twilio.secret is env:TWILIO_AUTH_TOKEN, but" in rows[1]["problem"]
    assert ["twilio"] == [row["vendor"] for row in runcap("secrets", "list", "twilio", "--json").json]


def test_never_on_the_command_line(runcap: Runcap) -> None:
    """An argument would be in the shell's history and in every process list."""
    result = runcap("secrets", "set", "stripe", CANARY)
    assert 2 == result.code
