"""The bundle that agents' tools are pointed at."""

from pathlib import Path

import pytest

from runcap.pki.ca import Authority
from runcap.pki.trust import bundle_pem, write_bundle


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A new root in a folder of its own."""
    return Authority.load_or_create(tmp_path / "ca")


def test_it_holds_our_root_and_the_systems(authority: Authority) -> None:
    """Other hosts are tunnelled, so a tool that trusts the bundle alone must still reach them."""
    bundle = bundle_pem(authority)
    assert bundle.startswith(authority.certificate_pem)
    assert 50 < bundle.count(b"-----BEGIN CERTIFICATE-----")


def test_an_operators_own_roots_are_taken(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE says what the operator trusts; the bundle adds to that."""
    corporate = Authority.load_or_create(tmp_path / "corporate")
    monkeypatch.setenv("SSL_CERT_FILE", str(corporate.folder / "ca.pem"))
    assert authority.certificate_pem + corporate.certificate_pem == bundle_pem(authority)


def test_a_bundle_of_ours_is_not_taken_for_the_systems(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a shell that `runcap env` has set up, SSL_CERT_FILE is the bundle itself."""
    path = write_bundle(authority)
    before = path.read_bytes()
    path.write_bytes(authority.certificate_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert before == bundle_pem(authority)


def test_it_is_written_beside_the_root(authority: Authority) -> None:
    """The file may be read by anyone, and is left alone while nothing changes."""
    path = write_bundle(authority)
    first = path.stat()
    assert (authority.folder / "bundle.pem", 0o644) == (path, first.st_mode & 0o777)
    assert first.st_ino == write_bundle(authority).stat().st_ino


def test_what_an_operator_has_added_is_added(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Roots for requests, curl and Node stand besides the system's; each also where `runcap env` has remembered it."""
    plain = bundle_pem(authority)
    company = Authority.load_or_create(tmp_path / "company")
    added = plain + company.certificate_pem
    for name in ("REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "RUNCAP_OUTER_CURL_CA_BUNDLE"):
        with monkeypatch.context() as patch:
            patch.setenv(name, str(company.folder / "ca.pem"))
            assert added == bundle_pem(authority)
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(authority.folder / "ca.pem"))
    assert plain == bundle_pem(authority)


def test_a_second_time_in_the_same_shell(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SSL_CERT_FILE is then the bundle: the file that stood there before is the one that counts."""
    company = Authority.load_or_create(tmp_path / "company")
    monkeypatch.setenv("SSL_CERT_FILE", str(company.folder / "ca.pem"))
    path = write_bundle(authority)
    first = path.read_bytes()
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    monkeypatch.setenv("RUNCAP_OUTER_SSL_CERT_FILE", str(company.folder / "ca.pem"))
    assert first == bundle_pem(authority)
    assert authority.certificate_pem + company.certificate_pem == first
