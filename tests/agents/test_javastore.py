"""The agent's trust as a Java keystore."""

import os
from pathlib import Path

from cryptography.hazmat.primitives.serialization import pkcs12

from runcap.agents.javastore import PASSWORD, java_store, write_java_store
from runcap.pki.ca import Authority
from runcap.pki.trust import bundle_pem


def test_it_holds_what_the_bundle_holds(tmp_path: Path) -> None:
    """Each root once, ours first; a block that is no certificate is left out."""
    authority = Authority.load_or_create(tmp_path)
    pem = authority.certificate_pem
    broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    store = pkcs12.load_pkcs12(java_store(pem + broken), PASSWORD.encode())
    assert [authority.certificate] == [found.certificate for found in store.additional_certs]


def test_it_follows_the_bundle(tmp_path: Path) -> None:
    """It is written when the bundle is newer, and left alone otherwise."""
    authority = Authority.load_or_create(tmp_path)
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(bundle_pem(authority))
    store = write_java_store(bundle)
    first = store.read_bytes()
    assert first == write_java_store(bundle).read_bytes()
    bundle.write_bytes(authority.certificate_pem)
    os.utime(bundle, ns=(store.stat().st_mtime_ns + 1, store.stat().st_mtime_ns + 1))
    assert len(first) > len(write_java_store(bundle).read_bytes())
