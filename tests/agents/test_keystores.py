"""Java's and NSS' trust stores, with their own tools on stores of the test's own."""

import shutil
import subprocess
from pathlib import Path

import pytest

from runcap.agents.javastore import PASSWORD
from runcap.agents.keystores import java_store, nss_stores
from runcap.agents.truststore import TrustStoreError
from runcap.pki.ca import Authority


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Authority.load_or_create(tmp_path / "ca")
    return tmp_path / "ca" / "ca.pem"


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


@pytest.mark.skipif(shutil.which("keytool") is None, reason="Java is not installed")
def test_java(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The root is in the keystore, also if an older one was, and out of it again."""
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")  # starts in half the time
    keystore = tmp_path / "cacerts"
    store = java_store(keystore)
    Authority.load_or_create(tmp_path / "older")
    store.install(tmp_path / "older" / "ca.pem")
    store.install(root)
    listing = ("keytool", "-list", "-keystore", str(keystore), "-storepass", PASSWORD)
    said = _said(*listing)
    assert "Your keystore contains 1 entry" in said
    assert "runcap, " in said
    store.uninstall(root)
    with pytest.raises(TrustStoreError, match=r"keytool ended with 1: .*does not exist"):
        store.uninstall(root)


@pytest.mark.skipif(shutil.which("certutil") is None, reason="NSS' tools are not installed")
def test_nss(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each Firefox profile is found; the root is trusted for servers there, and gone again."""
    profile = tmp_path / ".mozilla" / "firefox" / "abc.default"
    profile.mkdir(parents=True)
    subprocess.run(["certutil", "-N", "-d", f"sql:{profile}", "--empty-password"], check=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    [store] = nss_stores()
    store.install(root)
    listing = ("certutil", "-L", "-d", f"sql:{profile}")
    assert ["runcap", "C,,"] in [line.split() for line in _said(*listing).splitlines()]
    store.uninstall(root)
    assert "runcap" not in _said(*listing)


@pytest.mark.parametrize(("command", "make"), [("keytool", lambda: java_store(None)), ("certutil", nss_stores)])
def test_without_the_tool(command: str, make: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says where it comes from."""
    assert callable(make)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(TrustStoreError, match=f"There is no {command} on PATH: it comes with"):
        make()


def test_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how to get one."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(TrustStoreError, match="There is no NSS database"):
        nss_stores()


def test_javas_own_cacerts() -> None:
    """Without a file it is the one of the Java on PATH; steps can be read before they are done."""
    if shutil.which("keytool") is None:
        pytest.skip("Java is not installed")
    steps = java_store(None).steps(Path("/ca.pem"))
    assert [
        "keytool -delete -alias runcap -cacerts -storepass changeit || true",
        "keytool -importcert -noprompt -file /ca.pem -alias runcap -cacerts -storepass changeit",
    ] == steps
