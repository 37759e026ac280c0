"""What an agent's tools have to trust: our root, together with the roots that its system trusts anyway.

Most tools take one file that *replaces* their own list (SSL_CERT_FILE, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE),
so the bundle carries both: other hosts are tunnelled, and still need the system's roots.
"""

import os
import re
import ssl
from pathlib import Path

import certifi

from runcap.home import write_file
from runcap.pki.ca import Authority

BUNDLE = "bundle.pem"
RETIRED = "retired.pem"
"""Roots of ours that have been replaced."""

_WELL_KNOWN = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # RHEL, Fedora
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # macOS, BSD
)
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def bundle_pem(authority: Authority) -> bytes:
    """Our root, and the next if one is on its way, then the system's roots without those of ours that are retired."""
    own, retired = _blocks(authority.certificate_pem), _retired(authority.folder)
    blocks = dict.fromkeys([*own, *_system_roots({*own, *retired})])
    return b"\n".join(block for block in blocks if block not in retired) + b"\n"


def write_bundle(authority: Authority) -> Path:
    """Write ``bundle.pem`` beside the root's certificate, if it would change, and return its path."""
    path = authority.folder / BUNDLE
    content = bundle_pem(authority)
    if not path.exists() or path.read_bytes() != content:
        write_file(path, content, mode=0o644)
    return path


def _retired(folder: Path) -> set[bytes]:
    path = folder / RETIRED
    return set(_blocks(path.read_bytes())) if path.exists() else set()


def _system_roots(ours: set[bytes]) -> list[bytes]:
    """The roots of the first list that has any; SSL_CERT_FILE is asked first, for corporate roots."""
    candidates = (
        os.environ.get("SSL_CERT_FILE"),
        ssl.get_default_verify_paths().openssl_cafile,
        *_WELL_KNOWN,
        certifi.where(),
    )
    for candidate in candidates:
        if not candidate:
            continue
        try:
            blocks = _blocks(Path(candidate).read_bytes())
        except OSError:
            continue
        # A list that begins with a root of ours is a bundle of ours, exported into this very environment: were it
        # taken for the system's, removed roots would stay in it for ever.
        if blocks and blocks[0] not in ours:
            return blocks
    return []


def _blocks(pem: bytes) -> list[bytes]:
    return [block.replace(b"\r\n", b"\n") for block in _BLOCK.findall(pem)]
