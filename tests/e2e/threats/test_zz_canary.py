"""Threat 84, at the end of all others: no secret is anywhere that it should not be."""

import base64
import re
from pathlib import Path

from tests.e2e.threats.scene import Scene
from tests.fakes.vendors import ACCOUNT_SID, SECRETS

BASIC = base64.b64encode(f"{ACCOUNT_SID}:{SECRETS['twilio']}".encode())
CANARIES = (*(secret.encode() for secret in SECRETS.values()), BASIC, b"CANARY")
VAULT_KEY = re.compile(rb"vk_[0-9A-Za-z]{40}")


def found_in(data: bytes) -> set[bytes]:
    """The secrets and vault keys in some bytes."""
    return {canary for canary in CANARIES if canary in data} | set(VAULT_KEY.findall(data))


def test_84_the_search_finds_what_there_is() -> None:
    """A secret and a vault key in the middle of other bytes are found."""
    assert {CANARIES[0], b"CANARY"} == found_in(b"..." + CANARIES[0] + b"...")
    assert {b"vk_" + b"a" * 40} == found_in(b"\x00vk_" + b"a" * 40 + b"\x00")


def test_84_no_secret_is_left_anywhere(scene: Scene) -> None:
    """Log, audit, ledger, home and every answer of the whole suite have neither a real secret nor a vault key."""
    folder = scene.up.config_file.parent
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {"log.txt", "audit.db"} <= {path.name for path in files}
    assert any(path.name.endswith(".aof") for path in files)
    leaks = {str(path.relative_to(folder)): found for path, data in files.items() if (found := found_in(data))}
    assert {} == leaks
    assert [] == [answer for answer in scene.answers if found_in(answer.head + answer.body)]
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in scene.up.processes.alive()]
    assert [] == [command for command in commands if found_in(command)]
