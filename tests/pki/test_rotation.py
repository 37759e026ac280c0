"""A root is made elsewhere, and replaced, without an agent that is served meanwhile."""

import datetime as dt
import shutil
from pathlib import Path

import pytest
from cryptography import x509

from runcap.home import HomeError, write_file
from runcap.pki import rotation
from runcap.pki.ca import Authority, AuthorityError
from runcap.pki.certificates import pem_of
from runcap.pki.trust import bundle_pem

HOST = "api.stripe.com"
NOW = dt.datetime.now(dt.UTC)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `ca` folder with a root, on a system that trusts one other."""
    system = Authority.load_or_create(tmp_path / "system")
    monkeypatch.setenv("SSL_CERT_FILE", str(system.folder / "ca.pem"))
    return Authority.load_or_create(tmp_path / "ca").folder


def trusted(folder: Path) -> list[x509.Certificate]:
    """Our roots in the bundle, which stand before the system's one."""
    return x509.load_pem_x509_certificates((folder / "bundle.pem").read_bytes())[:-1]


def test_agents_trust_both_roots_until_the_rotation_is_finished(folder: Path) -> None:
    """Leaves are the old root's until then, and the new one's from then on."""
    old = Authority.load(folder)
    following = rotation.begin(folder)
    between = Authority.load(folder)
    assert [old.certificate, following.certificate] == trusted(folder)
    assert (old.certificate, following.certificate) == (between.certificate, between.successor)
    assert pem_of(old.certificate) + pem_of(following.certificate) == between.certificate_pem
    leaf = between.leaf(HOST)
    leaf.certificate.verify_directly_issued_by(old.certificate)
    assert pem_of(leaf.certificate) + pem_of(old.certificate) == leaf.chain_pem

    after = rotation.finish(folder)
    assert [following.certificate] == trusted(folder)
    assert (following.certificate, None) == (after.certificate, after.successor)
    after.leaf(HOST).certificate.verify_directly_issued_by(following.certificate)
    assert not (folder / "next").exists()


def test_a_retired_root_never_comes_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not from a bundle of before that SSL_CERT_FILE names, nor from a system's list that it was installed in."""
    old = Authority.load(folder)
    before = folder.parent / "before.pem"
    before.write_bytes(bundle_pem(old))
    rotation.begin(folder)
    after = rotation.finish(folder)
    listed = folder.parent / "system.pem"
    other = Authority.load_or_create(folder.parent / "other")
    listed.write_bytes(other.certificate_pem + old.certificate_pem)
    for path in (before, listed):
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        assert old.certificate_pem not in bundle_pem(after)
    assert other.certificate_pem in bundle_pem(after)


def test_one_rotation_at_a_time(folder: Path) -> None:
    """A second one, and an end without a beginning, are refused."""
    with pytest.raises(AuthorityError, match="No root is being replaced"):
        rotation.finish(folder)
    rotation.begin(folder)
    with pytest.raises(AuthorityError, match="being replaced already"):
        rotation.begin(folder)


@pytest.mark.parametrize("cut_off_at", ["ca.key", "ca.pem", "retired.pem"])
def test_an_end_that_was_cut_off_is_repeated(folder: Path, monkeypatch: pytest.MonkeyPatch, cut_off_at: str) -> None:
    """At whichever file it stopped, the next call brings it to the end."""
    following = rotation.begin(folder)

    def crash(path: Path, content: bytes, mode: int = 0o600) -> None:
        if path == folder / cut_off_at:
            raise KeyboardInterrupt
        write_file(path, content, mode)

    monkeypatch.setattr(rotation, "write_file", crash)
    with pytest.raises(KeyboardInterrupt):
        rotation.finish(folder)
    monkeypatch.setattr(rotation, "write_file", write_file)
    if cut_off_at == "ca.pem":
        with pytest.raises(AuthorityError, match="`runcap ca rotate --finish` again"):
            Authority.load(folder)
    assert following.certificate == rotation.finish(folder).certificate
    assert [following.certificate] == trusted(folder)


def test_an_offline_roots_key_never_is_here(tmp_path: Path) -> None:
    """`make_offline` leaves leaves; `sign_from` makes new ones, as often as one likes."""
    stick, folder = tmp_path / "stick", tmp_path / "ca"
    root = rotation.make_offline(stick, folder)
    host = Authority.load_or_create(folder)
    assert (True, root.fingerprint) == (host.offline, host.fingerprint)
    assert [stick / "ca.key"] == list(tmp_path.rglob("*.key"))
    first = host.leaf(HOST)
    rotation.sign_from(stick, folder)
    second = Authority.load_or_create(folder).leaf(HOST)
    assert first.certificate.serial_number != second.certificate.serial_number
    assert [stick / "ca.key"] == list(tmp_path.rglob("*.key"))
    second.certificate.verify_directly_issued_by(root.certificate)


def test_a_leaf_that_is_due_is_announced(tmp_path: Path) -> None:
    """From two thirds of its 90 days on; one that other users can read stops the start."""
    rotation.make_offline(tmp_path / "stick", tmp_path / "ca")
    host = Authority.load(tmp_path / "ca")
    assert [] == host.warnings(NOW + dt.timedelta(days=59))
    due = host.warnings(NOW + dt.timedelta(days=61))
    assert (3, True) == (len(due), "`runcap ca sign`" in due[0])
    (tmp_path / "ca" / "leaves" / f"{HOST}.pem").chmod(0o644)
    with pytest.raises(HomeError, match="open to other users"):
        host.warnings()


def test_a_root_that_ends_is_announced(folder: Path) -> None:
    """Ninety days before: time enough for an overlap."""
    authority = Authority.load(folder)
    end = authority.certificate.not_valid_after_utc
    assert [] == authority.warnings(end - dt.timedelta(days=91))
    [warning] = authority.warnings(end - dt.timedelta(days=89))
    assert "`runcap ca rotate`" in warning


def test_what_sign_refuses(folder: Path, tmp_path: Path) -> None:
    """Another root, one that signs here anyway, and none at all."""
    other = Authority.load_or_create(tmp_path / "other").folder
    with pytest.raises(AuthorityError, match="rotate --offline"):
        rotation.sign_from(other, folder)
    with pytest.raises(AuthorityError, match="makes its leaves as it needs them"):
        rotation.sign_from(folder, folder)
    with pytest.raises(AuthorityError, match="There is no root certificate"):
        rotation.sign_from(tmp_path / "nowhere", folder)
    with pytest.raises(AuthorityError, match="has a root already"):
        rotation.make_offline(other, tmp_path / "new")
    with pytest.raises(AuthorityError, match="has a root already"):
        rotation.make_offline(tmp_path / "stick", folder)


@pytest.mark.parametrize("was_offline", [True, False])
@pytest.mark.parametrize("will_be_offline", [True, False])
def test_every_way_from_one_root_to_another(tmp_path: Path, was_offline: bool, will_be_offline: bool) -> None:
    """A root here or elsewhere is replaced by one here or elsewhere; no key stays where it is not to be."""
    folder = tmp_path / "ca"
    if was_offline:
        rotation.make_offline(tmp_path / "first", folder)
    else:
        Authority.load_or_create(folder)
    following = rotation.begin(folder, tmp_path / "second" if will_be_offline else None)
    if will_be_offline:
        rotation.sign_from(tmp_path / "second", folder)
    if was_offline:
        rotation.sign_from(tmp_path / "first", folder)
    assert following.certificate == Authority.load(folder).successor
    after = rotation.finish(folder)
    assert (following.certificate, will_be_offline) == (after.certificate, after.offline)
    assert will_be_offline is not (folder / "ca.key").exists()
    after.leaf(HOST).certificate.verify_directly_issued_by(following.certificate)
    if will_be_offline:
        shutil.rmtree(tmp_path / "second")
        assert after.certificate == Authority.load_or_create(folder).certificate
