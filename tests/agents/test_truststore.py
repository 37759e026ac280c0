"""The system's trust store, in a folder of the test's own."""

from pathlib import Path

import pytest

from runcap.agents import truststore
from runcap.agents.truststore import TrustStore, TrustStoreError, find_store

ROOT = b"-----BEGIN CERTIFICATE-----\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_bytes(ROOT)
    return path


def test_the_root_is_copied_and_the_system_told(tmp_path: Path, root: Path) -> None:
    """The anchor may be read by anyone, and is there when the system's command runs."""
    anchor = tmp_path / "anchors" / "runcap.crt"
    anchor.parent.mkdir()
    TrustStore("test", anchor, ("cp", str(anchor), str(tmp_path / "updated"))).install(root)
    assert ROOT == (tmp_path / "updated").read_bytes()
    assert 0o644 == anchor.stat().st_mode & 0o777


def test_a_command_that_takes_the_file(tmp_path: Path, root: Path) -> None:
    """Without an anchor the command is given the root itself."""
    store = TrustStore("test", None, ("cp", "{root}", str(tmp_path / "taken")))
    assert [f"cp {root} {tmp_path}/taken"] == store.steps(root)
    store.install(root)
    assert ROOT == (tmp_path / "taken").read_bytes()


def test_a_failing_command_is_reported(root: Path) -> None:
    """With its exit code and its own words."""
    store = TrustStore("test", None, ("sh", "-c", "echo no space >&2; exit 3"))
    with pytest.raises(TrustStoreError, match=r"^sh ended with 3: no space$"):
        store.install(root)


def test_no_root_yet(tmp_path: Path) -> None:
    """The error says how to make one."""
    with pytest.raises(TrustStoreError, match="`runcap ca show` makes one"):
        TrustStore("test", None, ("true",)).install(tmp_path / "nowhere.pem")


def test_it_is_found_by_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first known command on PATH decides; with none, the bundle is the way."""
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TrustStoreError, match="runcap ca export --bundle"):
        find_store()
    command = tmp_path / "update-ca-trust"
    command.touch(mode=0o755)
    assert "RHEL, Fedora" == find_store().name


def test_the_root_is_taken_out_again(tmp_path: Path, root: Path) -> None:
    """The anchor goes first, then the system is told; doing it twice is no error."""
    anchor = tmp_path / "runcap.crt"
    log = tmp_path / "log"
    tell = ("sh", "-c", f"ls {anchor} >> {log} 2>/dev/null || echo gone >> {log}")
    store = TrustStore("test", anchor, tell)
    store.install(root)
    store.uninstall(root)
    store.uninstall(root)
    assert [str(anchor), "gone", "gone"] == log.read_text().splitlines()
    assert f"rm -f {anchor}" == store.undo_steps(root)[0]


def test_a_command_that_takes_it_out(tmp_path: Path, root: Path) -> None:
    """Where there is one of its own, it is run instead; and before installing, if what is there has to go."""
    log = tmp_path / "log"
    add, drop = ("sh", "-c", f"echo add {{root}} >> {log}"), ("sh", "-c", f"echo drop >> {log}; exit 1")
    store = TrustStore("test", None, add, (drop,), replaces=True)
    store.install(root)
    assert ["drop", f"add {root}"] == log.read_text().splitlines()
    with pytest.raises(TrustStoreError, match=r"^sh ended with 1: $"):
        store.uninstall(root)
    assert store.steps(root)[0].endswith(" || true")


def test_every_system_can_undo() -> None:
    """Each has an anchor to remove, or a command of its own."""
    for store in (*truststore._LINUX, truststore._MACOS):
        assert store.anchor is not None or store.forget
