"""The master key comes from where the configuration says, and from nowhere else."""

import base64
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import pytest
from keyring.errors import KeyringLocked

from runcap.home import HomeError
from runcap.secretstore.masterkey import MasterKey
from runcap.secretstore.sealed import SealedFile

KEY = bytes(range(32))


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring that forgets everything with its process."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # keyring gives no types for it
        self.locked = False
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise KeyringLocked("canary")
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.locked:
            raise KeyringLocked("canary")
        self.kept[service, username] = password


@pytest.fixture
def memory_keyring() -> Iterator[MemoryKeyring]:
    before = keyring.get_keyring()
    backend = MemoryKeyring()
    keyring.set_keyring(backend)
    yield backend
    keyring.set_keyring(before)


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNCAP_MASTER_KEY", raising=False)


def test_by_default_the_variable_then_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither is there, a file is made, that only its owner can read."""
    assert None is MasterKey(tmp_path).load()
    created = MasterKey(tmp_path).create()
    assert created == MasterKey(tmp_path).load()
    assert 0o600 == (tmp_path / "master.key").stat().st_mode & 0o777
    monkeypatch.setenv("RUNCAP_MASTER_KEY", base64.b64encode(KEY).decode())
    assert KEY == MasterKey(tmp_path).load()


def test_from_a_variable_of_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only that one counts, and none can be made there."""
    monkeypatch.setenv("RUNCAP_MASTER_KEY", base64.b64encode(bytes(32)).decode())
    where = MasterKey(tmp_path, "env:OTHER")
    assert None is where.load()
    with pytest.raises(HomeError, match="OTHER is not set"):
        where.create()
    monkeypatch.setenv("OTHER", base64.b64encode(KEY).decode())
    assert KEY == where.load()


def test_from_a_file_elsewhere(tmp_path: Path) -> None:
    """On another disk, say; it is made there at first use, and refused if others can read it."""
    path = tmp_path / "key"
    where = MasterKey(tmp_path / "home", f"file:{path}")
    assert where.create() == where.load()
    path.chmod(0o644)
    with pytest.raises(HomeError, match="open to other users"):
        where.load()


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """The path is named."""
    with pytest.raises(HomeError, match="nowhere/key cannot be written: No such file"):
        MasterKey(tmp_path, f"file:{tmp_path}/nowhere/key").create()


def test_from_the_keyring(tmp_path: Path, memory_keyring: MemoryKeyring) -> None:
    """Sealing makes a key there, and no file; each home has one of its own."""
    home = tmp_path / "home"
    sealed = SealedFile(home, "keyring")
    sealed.seal("stripe", "sk_live_canary0123456789")
    assert "sk_live_canary0123456789" == sealed.open("stripe")
    assert [("runcap", str(home))] == list(memory_keyring.kept)
    assert not (home / "master.key").exists()
    memory_keyring.kept.clear()
    with pytest.raises(HomeError, match="needs the key that sealed it, in the system's keyring"):
        sealed.open("stripe")


def test_a_locked_keyring(tmp_path: Path, memory_keyring: MemoryKeyring) -> None:
    """What it says itself may hold anything, so only the kind of error is told."""
    memory_keyring.locked = True
    with pytest.raises(HomeError, match="The system's keyring cannot be read: KeyringLocked") as caught:
        MasterKey(tmp_path, "keyring").load()
    assert "canary" not in str(caught.value)
    with pytest.raises(HomeError, match="cannot be written: KeyringLocked"):
        MasterKey(tmp_path, "keyring").create()


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "keyring", None)
    with pytest.raises(HomeError, match=r"pip install runcap\[keyring\]"):
        MasterKey(tmp_path, "keyring").load()
