"""The files of a certificate authority: their names, and reading them with errors that say what to do."""

import datetime as dt
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from runcap.pki.certificates import extension_of

CERTIFICATE = "ca.pem"
KEY = "ca.key"
LEAVES = "leaves"


class AuthorityError(ValueError):
    """The authority's files cannot be used. The message says why and what to do."""


def parse_all(content: bytes, path: Path) -> list[x509.Certificate]:
    """All certificates of a file, of which there is at least one.

    Raises:
        AuthorityError: it holds none, or one that cannot be read.
    """
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise AuthorityError(f"{path} holds no readable PEM certificate.") from error


def parse_key(content: bytes, path: Path) -> ec.EllipticCurvePrivateKey:
    """The private key of a file.

    Raises:
        AuthorityError: it holds none for ECDSA that can be read without a password.
    """
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise AuthorityError(f"{path} holds no readable PEM key without a password.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise AuthorityError(f"The key in {path} is not one for ECDSA.")
    return key


def check_root(certificate: x509.Certificate, path: Path, now: dt.datetime) -> None:
    """Refuse a certificate that cannot be a root, or not any more.

    Raises:
        AuthorityError: it is no authority's, or has expired.
    """
    basic = extension_of(certificate, x509.BasicConstraints)
    if basic is None or not basic.ca:
        raise AuthorityError(f"{path} is not the certificate of an authority.")
    if certificate.not_valid_after_utc <= now:
        raise AuthorityError(
            f"The root in {path} expired on {certificate.not_valid_after_utc:%Y-%m-%d}: move it away; "
            "the next start makes a new one, which agents then have to trust."
        )


def check_leaf(
    certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, root: x509.Certificate, path: Path
) -> None:
    """Refuse a leaf that does not belong to its key, or to the root.

    Raises:
        AuthorityError: so it is.
    """
    if key.public_key() != certificate.public_key():
        raise AuthorityError(f"Key and certificate in {path} do not belong together.")
    try:
        certificate.verify_directly_issued_by(root)
    except (InvalidSignature, ValueError, TypeError) as error:
        raise AuthorityError(f"{path} was not signed by the root beside it.") from error
