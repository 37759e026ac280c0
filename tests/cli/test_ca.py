"""`runcap ca`."""

import stat
from pathlib import Path

import pytest

from runcap.pki.ca import Authority
from tests.cli.conftest import Runcap


def test_show(runcap: Runcap, tmp_path: Path) -> None:
    """What an administrator checks before trusting it; it is made at first use."""
    shown = runcap("ca", "show", "--json").json
    authority = Authority.load_or_create(tmp_path / "home" / "ca")
    assert authority.fingerprint == shown["sha256"]
    assert authority.name == shown["name"]
    assert ["api.stripe.com", "api.twilio.com", "api.resend.com"] == shown["hosts"]
    assert "here" == shown["root_key"]
    assert str(tmp_path / "home" / "ca" / "ca.pem") == shown["path"]
    people = runcap("ca", "show").out
    assert f"sha256     {authority.fingerprint}\n" in people
    assert "hosts      api.stripe.com, api.twilio.com, api.resend.com\n" in people


def test_export(runcap: Runcap, tmp_path: Path) -> None:
    """The certificate alone, on stdout or in a file that all may read; never the key."""
    exported = runcap("ca", "export")
    pem = (tmp_path / "home" / "ca" / "ca.pem").read_text()
    assert (0, pem, "") == (exported.code, exported.out, exported.err)
    assert 0 == runcap("ca", "export", "-o", "root.pem").code
    written = tmp_path / "root.pem"
    assert (pem, 0o644) == (written.read_text(), stat.S_IMODE(written.stat().st_mode))


def test_export_bundle(runcap: Runcap, tmp_path: Path) -> None:
    """With the system's roots after ours."""
    out = runcap("ca", "export", "--bundle").out
    assert out.startswith((tmp_path / "home" / "ca" / "ca.pem").read_text())
    assert 50 < out.count("BEGIN CERTIFICATE")
    assert "PRIVATE KEY" not in out


def test_export_into_nowhere(runcap: Runcap) -> None:
    """It fails with one sentence."""
    result = runcap("ca", "export", "-o", "no/such/folder.pem")
    assert (1, "") == (result.code, result.out)
    assert "Error: no/such/folder.pem cannot be written: No such file or directory.\n" == result.err


def test_issue_for_a_host_without_the_key(runcap: Runcap, tmp_path: Path) -> None:
    """The folder is a CA folder of its own, and cannot sign."""
    assert 0 == runcap("ca", "issue", "for-host").code
    host = Authority.load_or_create(tmp_path / "for-host")
    assert host.offline
    assert ["api.resend.com", "api.stripe.com", "api.twilio.com"] == sorted(
        path.stem for path in (tmp_path / "for-host" / "leaves").iterdir()
    )


def test_a_damaged_root(runcap: Runcap, tmp_path: Path) -> None:
    """It is one sentence and 1, not a traceback."""
    assert 0 == runcap("ca", "show").code
    (tmp_path / "home" / "ca" / "ca.pem").write_text("nonsense")
    result = runcap("ca", "show")
    assert (1, "") == (result.code, result.out)
    assert "holds no readable PEM certificate" in result.err


def test_install_dry_run(runcap: Runcap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It prints what would be run as root, and runs nothing."""
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "update-ca-certificates").touch(mode=0o755)
    result = runcap("ca", "install", "--dry-run")
    copy = f"install -m 0644 {tmp_path}/home/ca/ca.pem /usr/local/share/ca-certificates/runcap.crt"
    assert (0, f"{copy}\nupdate-ca-certificates\n") == (result.code, result.out)


def test_install_on_an_unknown_system(runcap: Runcap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails with one sentence that says what to do instead."""
    monkeypatch.setenv("PATH", str(tmp_path))
    result = runcap("ca", "install")
    assert (1, "") == (result.code, result.out)
    assert "runcap ca export --bundle" in result.err


def test_init_makes_a_root_once(runcap: Runcap, tmp_path: Path) -> None:
    """Here, or with its key elsewhere; a second time it says what to do instead."""
    assert 0 == runcap("ca", "init").code
    assert (tmp_path / "home" / "ca" / "ca.key").exists()
    again = runcap("ca", "init")
    assert (1, True) == (again.code, "`runcap ca rotate` replaces it" in again.err)


def test_an_offline_root(runcap: Runcap, tmp_path: Path) -> None:
    """Its key is in the folder that was named alone; new leaves are signed from there."""
    made = runcap("ca", "init", "--offline", "stick")
    assert (0, "") == (made.code, made.err)
    assert "elsewhere" == runcap("ca", "show", "--json").json["root_key"]
    assert [tmp_path / "stick" / "ca.key"] == list(tmp_path.rglob("*.key"))
    leaf = tmp_path / "home" / "ca" / "leaves" / "api.stripe.com.pem"
    before = leaf.read_bytes()
    assert 0 == runcap("ca", "sign", "stick").code
    assert before != leaf.read_bytes()
    assert 0 == runcap("ca", "sign", "stick", "-o", "for-host").code
    assert Authority.load_or_create(tmp_path / "for-host").offline


def test_rotate(runcap: Runcap) -> None:
    """Between the two commands `show` names both roots and `export` has both."""
    old = runcap("ca", "show", "--json").json["sha256"]
    assert (1, "") == ((early := runcap("ca", "rotate", "--finish")).code, early.out)
    assert 0 == runcap("ca", "rotate").code
    between = runcap("ca", "show", "--json").json
    assert old == between["sha256"]
    assert 2 == runcap("ca", "export").out.count("BEGIN CERTIFICATE")
    assert 0 == runcap("ca", "rotate", "--finish").code
    after = runcap("ca", "show", "--json").json
    assert (between["next_sha256"], False) == (after["sha256"], "next_sha256" in after)
    assert 1 == runcap("ca", "export").out.count("BEGIN CERTIFICATE")


def test_offline_belongs_to_the_beginning(runcap: Runcap) -> None:
    """With --finish it is wrong usage."""
    assert 2 == runcap("ca", "rotate", "--finish", "--offline", "stick").code


def test_uninstall_dry_run(runcap: Runcap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It prints what would undo the installation, for each store that is named."""
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("update-ca-certificates", "certutil"):
        (tmp_path / name).touch(mode=0o755)
    result = runcap("ca", "uninstall", "--dry-run", "--into", "system", "--into", "nss", "--nss-db", "db")
    expected = (
        "rm -f /usr/local/share/ca-certificates/runcap.crt\nupdate-ca-certificates --fresh\n"
        "certutil -D -d sql:db -n runcap\n"
    )
    assert (0, expected) == (result.code, result.out)


def test_install_into_java(runcap: Runcap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is named; nothing of the system's is touched."""
    (tmp_path / "bin").mkdir()
    keytool = tmp_path / "bin" / "keytool"
    keytool.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/log\n')
    keytool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    assert 0 == runcap("ca", "show").code
    result = runcap("ca", "install", "--into", "java", "--keystore", "my.jks")
    assert (0, f"{tmp_path}/home/ca/ca.pem is trusted now (my.jks)\n") == (result.code, result.out)
    assert ["-delete", "-importcert"] == (tmp_path / "log").read_text().splitlines()
