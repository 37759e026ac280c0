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

OUTER = "RUNCAP_OUTER_"
"""Before a variable's name: the file that stood there before `runcap env` put the bundle there."""

REPLACES = "SSL_CERT_FILE"
ADDS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "DENO_CERT")
"""Where an operator has named roots of a company's, say: the first instead of the system's, the others besides."""

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
    """The roots of the first list that has any, SSL_CERT_FILE before the system's, and those that are named besides."""
    paths = (*_named(REPLACES), ssl.get_default_verify_paths().openssl_cafile, *_WELL_KNOWN, certifi.where())
    lists = (_foreign(path, ours) for path in paths)
    first: list[bytes] = next(filter(None, lists), [])
    return [*first, *(block for name in ADDS for path in _named(name) for block in _foreign(path, ours))]


def _named(variable: str) -> list[str | None]:
    return [os.environ.get(variable), os.environ.get(f"{OUTER}{variable}")]


def _foreign(path: str | None, ours: set[bytes]) -> list[bytes]:
    """The roots in a file; none if it cannot be read, or is ours.

    A list that begins with a root of ours is a bundle of ours, exported into this very environment: were it taken for
    the system's, removed roots would stay in it for ever.
    """
    try:
        blocks = _blocks(Path(path).read_bytes()) if path else []
    except OSError:
        return []
    return [] if blocks and blocks[0] in ours else blocks


def _blocks(pem: bytes) -> list[bytes]:
    return [block.replace(b"\r\n", b"\n") for block in _BLOCK.findall(pem)]
