"""The certificate authority, as strict clients see it."""

import datetime as dt
import multiprocessing
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from runcap.home import HomeError, write_file
from runcap.pki.ca import HOSTS, LEAF_LIFE, Authority, AuthorityError, Leaf, LeafCache
from runcap.pki.certificates import new_leaf, new_root, pem_of

NOW = dt.datetime.now(dt.UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A new root in a folder of its own."""
    return Authority.load_or_create(tmp_path / "ca")


def forge(authority: Authority, host: str) -> Leaf:
    """What a thief of the root's key would sign."""
    assert authority._key is not None
    certificate, key = new_leaf(host, authority.certificate, authority._key, now=NOW, life=LEAF_LIFE)
    return Leaf(certificate, key, pem_of(certificate) + authority.certificate_pem)


@contextmanager
def serving(leaf: Leaf, folder: Path) -> Iterator[int]:
    """A TLS server on loopback that presents the leaf and says ``ok`` to whoever trusts it."""
    path = folder / "server.pem"
    write_file(path, leaf.key_pem + leaf.chain_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    raw, _ = listener.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(raw, server_side=True) as connection:
                        connection.sendall(b"ok")
                except OSError:
                    raw.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def greet(port: int, host: str, roots: Path) -> bytes:
    """What the server says to a strict client."""
    context = ssl.create_default_context(cafile=str(roots))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname=host) as connection,
    ):
        return connection.recv(2)


@pytest.mark.parametrize("host", HOSTS)
def test_a_strict_python_client_accepts_a_leaf(authority: Authority, tmp_path: Path, host: str) -> None:
    """Each vendor's leaf passes VERIFY_X509_STRICT, which Python 3.13 turns on by default."""
    with serving(authority.leaf(host), tmp_path) as port:
        assert b"ok" == greet(port, host, authority.folder / "ca.pem")


@pytest.mark.parametrize("host", ["evil.com", "stripe.com", "api.stripe.com.evil.com"])
def test_a_python_client_refuses_other_names(authority: Authority, tmp_path: Path, host: str) -> None:
    """A leaf for another name is worthless even if the root's own key signed it."""
    with (
        serving(forge(authority, host), tmp_path) as port,
        pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"),
    ):
        greet(port, host, authority.folder / "ca.pem")


def openssl_verify(authority: Authority, leaf: Leaf, host: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What the command line tool makes of a leaf."""
    (folder / "leaf.pem").write_bytes(pem_of(leaf.certificate))
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", host]
    return subprocess.run(
        [*command, "-CAfile", str(authority.folder / "ca.pem"), str(folder / "leaf.pem")],
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not on PATH")
def test_openssl_agrees(authority: Authority, tmp_path: Path) -> None:
    """`openssl verify -x509_strict` takes a vendor's leaf and refuses another name's."""
    fine = openssl_verify(authority, authority.leaf("api.twilio.com"), "api.twilio.com", tmp_path)
    assert (0, "") == (fine.returncode, fine.stderr)
    forged = openssl_verify(authority, forge(authority, "evil.com"), "evil.com", tmp_path)
    assert 2 == forged.returncode
    assert "permitted subtree violation" in forged.stderr


NODE_CLIENT = """
const [port, host, ca] = process.argv.slice(1);
const roots = require("fs").readFileSync(ca);
const options = { port: Number(port), host: "127.0.0.1", servername: host, ca: roots };
const socket = require("tls").connect(options, () => { console.log("trusted"); socket.destroy(); });
socket.on("error", (error) => { console.log(error.code); });
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not on PATH")
@pytest.mark.parametrize(
    ("host", "expected"), [("api.stripe.com", "trusted"), ("evil.com", "PERMITTED_SUBTREE_VIOLATION")]
)
def test_node_agrees(authority: Authority, tmp_path: Path, host: str, expected: str) -> None:
    """Node's tls takes a vendor's leaf and refuses another name's."""
    with serving(forge(authority, host), tmp_path) as port:
        ended = subprocess.run(
            ["node", "-e", NODE_CLIENT, str(port), host, str(authority.folder / "ca.pem")],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
    # Older releases of Node have no code of their own for it.
    answer = ended.stdout.strip().replace("UNSPECIFIED", "PERMITTED_SUBTREE_VIOLATION")
    assert expected == answer


def test_the_root_says_what_it_is_for(authority: Authority) -> None:
    """Its limits are critical extensions: a client that does not know them has to refuse it."""
    extensions = authority.certificate.extensions
    constraints = extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert [x509.DNSName(host) for host in HOSTS] == constraints.value.permitted_subtrees
    excluded = constraints.value.excluded_subtrees or []
    assert ["0.0.0.0/0", "::/0"] == [str(name.value) for name in excluded]
    basic = extensions.get_extension_for_class(x509.BasicConstraints)
    assert (True, True, 0) == (basic.critical, basic.value.ca, basic.value.path_length)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert (True, True, False) == (usage.critical, usage.value.key_cert_sign, usage.value.digital_signature)
    assert authority.name.startswith("runcap local CA ")
    assert HOSTS == authority.hosts


def test_files_have_their_modes(authority: Authority) -> None:
    """The key is for its owner alone."""
    modes = {path.name: path.stat().st_mode & 0o777 for path in authority.folder.iterdir()}
    assert {"ca.pem": 0o644, "ca.key": 0o600, ".lock": 0o600} == modes


def test_the_root_is_kept(authority: Authority) -> None:
    """A second start reads the same root, and can sign with it."""
    again = Authority.load_or_create(authority.folder)
    assert authority.fingerprint == again.fingerprint
    again.leaf("api.stripe.com").certificate.verify_directly_issued_by(authority.certificate)


def _fingerprint(folder: Path) -> str:
    return Authority.load_or_create(folder).fingerprint


def test_processes_that_start_together_make_one_root(tmp_path: Path) -> None:
    """Four processes race for a new folder; all end up with the same root and a key that fits."""
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        fingerprints = pool.map(_fingerprint, [tmp_path / "ca"] * 8, chunksize=1)
    assert 1 == len(set(fingerprints))


def test_a_crash_between_key_and_certificate_heals(authority: Authority) -> None:
    """A key without a certificate was never trusted by anyone: the next start makes both anew."""
    (authority.folder / "ca.pem").unlink()
    again = Authority.load_or_create(authority.folder)
    assert authority.fingerprint != again.fingerprint
    assert again.leaf("api.resend.com").certificate is not None


def test_a_leaf_has_a_key_of_its_own_and_a_short_life(authority: Authority) -> None:
    """It starts an hour ago, for clocks behind ours, lasts 30 days and is due after two thirds."""
    leaf = authority.leaf("api.stripe.com", NOW)
    start, end = leaf.certificate.not_valid_before_utc, leaf.certificate.not_valid_after_utc
    now = NOW.replace(microsecond=0)
    assert (now - dt.timedelta(hours=1), now + LEAF_LIFE) == (start, end)
    assert start + (end - start) * 2 / 3 == leaf.renew_at
    assert authority.leaf("api.stripe.com").key.public_key() != leaf.key.public_key()
    assert authority.certificate.public_key() != leaf.key.public_key()


def test_the_cache_renews_by_itself(authority: Authority) -> None:
    """A leaf is made at first use, kept while it is good, and replaced when it is due."""
    cache = LeafCache(authority)
    first = cache.get("api.stripe.com", NOW)
    assert first is cache.get("api.stripe.com", first.renew_at - dt.timedelta(seconds=1))
    second = cache.get("api.stripe.com", first.renew_at)
    assert first is not second
    assert second is cache.get("api.stripe.com", first.renew_at)


def test_other_hosts_get_no_leaf(authority: Authority) -> None:
    """The authority does not sign what clients would refuse anyway."""
    with pytest.raises(AuthorityError, match=r"may not sign for evil\.com"):
        authority.leaf("evil.com")


def test_an_open_key_is_refused(authority: Authority) -> None:
    """A root key that others could read is not used."""
    (authority.folder / "ca.key").chmod(0o644)
    with pytest.raises(HomeError, match="chmod 600"):
        Authority.load_or_create(authority.folder)


def test_a_key_of_another_root_is_refused(authority: Authority, tmp_path: Path) -> None:
    """Key and certificate have to belong together."""
    other = Authority.load_or_create(tmp_path / "other")
    shutil.copy(other.folder / "ca.key", authority.folder / "ca.key")
    with pytest.raises(AuthorityError, match="is not the key of"):
        Authority.load_or_create(authority.folder)


def test_an_expired_root_is_refused(authority: Authority) -> None:
    """The error says when it expired and what to do."""
    certificate, _ = new_root(HOSTS, dt.datetime(2010, 1, 1, tzinfo=dt.UTC))
    (authority.folder / "ca.pem").write_bytes(pem_of(certificate))
    with pytest.raises(AuthorityError, match=r"expired on 20\d\d-\d\d-\d\d: move it away"):
        Authority.load_or_create(authority.folder)


@pytest.mark.parametrize("name", ["ca.pem", "ca.key"])
def test_damaged_files_are_named(authority: Authority, name: str) -> None:
    """Whatever is not readable PEM is refused by the file's name, without its content."""
    (authority.folder / name).write_text("-----BEGIN NONSENSE-----\nsecret\n")
    with pytest.raises(AuthorityError, match=name) as caught:
        Authority.load_or_create(authority.folder)
    assert "nonsense" not in str(caught.value).lower()


def test_a_leaf_is_no_root(authority: Authority) -> None:
    """A certificate that is not an authority's is refused as one."""
    (authority.folder / "ca.pem").write_bytes(pem_of(authority.leaf("api.stripe.com").certificate))
    with pytest.raises(AuthorityError, match="not the certificate of an authority"):
        Authority.load_or_create(authority.folder)


def test_an_offline_root_needs_no_key_here(authority: Authority, tmp_path: Path) -> None:
    """A folder with ready-made leaves serves every vendor, and nothing in it can sign."""
    authority.write_leaves(tmp_path / "host")
    host = Authority.load_or_create(tmp_path / "host")
    assert host.offline
    assert not (host.folder / "ca.key").exists()
    with serving(host.leaf("api.stripe.com"), tmp_path) as port:
        assert b"ok" == greet(port, "api.stripe.com", authority.folder / "ca.pem")
    with pytest.raises(AuthorityError, match="holds no root key"):
        host.write_leaves(tmp_path / "another")


def test_an_expired_ready_made_leaf_is_refused(authority: Authority, tmp_path: Path) -> None:
    """Clients would refuse it, so the start does, with a reason."""
    authority.write_leaves(tmp_path / "host")
    host = Authority.load_or_create(tmp_path / "host")
    with pytest.raises(AuthorityError, match="has expired"):
        host.leaf("api.stripe.com", NOW + dt.timedelta(days=91))


def test_a_foreign_ready_made_leaf_is_refused(authority: Authority, tmp_path: Path) -> None:
    """A leaf that another root has signed does not belong here."""
    authority.write_leaves(tmp_path / "host")
    other = Authority.load_or_create(tmp_path / "other")
    leaf = other.leaf("api.stripe.com")
    write_file(tmp_path / "host" / "leaves" / "api.stripe.com.pem", leaf.key_pem + leaf.chain_pem)
    with pytest.raises(AuthorityError, match="not signed by the root"):
        Authority.load_or_create(tmp_path / "host").leaf("api.stripe.com")


def test_a_certificate_alone_is_not_enough(authority: Authority) -> None:
    """Without key and leaves the start fails rather than making a root that nobody trusts."""
    (authority.folder / "ca.key").unlink()
    with pytest.raises(AuthorityError, match=r"neither its key ca\.key nor ready-made leaves"):
        Authority.load_or_create(authority.folder)


def test_keys_are_on_the_curve_p256(authority: Authority) -> None:
    """Small, fast, and known to every client."""
    assert "secp256r1" == authority.leaf("api.stripe.com").key.curve.name
    key = authority.certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert "secp256r1" == key.curve.name
