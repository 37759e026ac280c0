"""The agent's trust as a Java keystore: Java reads neither SSL_CERT_FILE nor the system's bundle.

It stands beside the bundle, holds the same roots, and is named to Java by ``-Djavax.net.ssl.trustStore``.
"""

import warnings
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12Certificate, serialize_java_truststore

from runcap.home import write_file

STORE = "truststore.p12"
PASSWORD = "changeit"  # noqa: S105 (Java's own default for trust stores: what is in there is public)


def write_java_store(bundle: Path) -> Path:
    """Write ``truststore.p12`` beside a bundle, if the bundle is newer, and return its path."""
    path = bundle.with_name(STORE)
    if not path.exists() or path.stat().st_mtime_ns < bundle.stat().st_mtime_ns:
        write_file(path, java_store(bundle.read_bytes()), mode=0o644)
    return path


def java_store(pem: bytes) -> bytes:
    """A PKCS #12 trust store of a bundle's certificates. What cannot be read is left out."""
    certificates = []
    for number, block in enumerate(_blocks(pem)):
        try:
            with warnings.catch_warnings():
                # Some systems' lists hold a root whose serial number is not positive. That is theirs to settle.
                warnings.simplefilter("ignore")
                certificate = x509.load_pem_x509_certificate(block)
        except ValueError:
            continue
        certificates.append(PKCS12Certificate(certificate, f"runcap-{number}".encode()))
    return serialize_java_truststore(certificates, BestAvailableEncryption(PASSWORD.encode()))


def _blocks(pem: bytes) -> list[bytes]:
    end = b"-----END CERTIFICATE-----"
    return [block + end for block in pem.split(end)[:-1]]
