"""The system's trust store, in a folder of the test's own."""

from pathlib import Path

import pytest

from runcap.truststore import TrustStore, TrustStoreError, find_store

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
