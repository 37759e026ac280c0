"""Building X.509 certificates: a name-constrained root, and a leaf below it.

They hold what a strict client asks for (``VERIFY_X509_STRICT``, the default since Python 3.13): key
identifiers on both, a critical BasicConstraints and a KeyUsage on the root.
"""

import datetime as dt
import ipaddress
import secrets
from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ROOT_LIFE = dt.timedelta(days=3652)
CLOCK_SKEW = dt.timedelta(hours=1)
"""How far an agent's clock may be behind ours."""

_NO_ADDRESS = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))

type Issued = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def new_root(hosts: Iterable[str], now: dt.datetime) -> Issued:
    """Make a root of about ten years that may sign for these DNS names and those below, and no IP address."""
    key = ec.generate_private_key(ec.SECP256R1())
    # The short id tells two roots apart in a trust store's list.
    name = _common_name(f"runcap local CA {secrets.token_hex(4)}")
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    constraints = x509.NameConstraints(
        permitted_subtrees=[x509.DNSName(host) for host in hosts],
        # A list of permitted DNS names says nothing about addresses: those have to be excluded by themselves.
        excluded_subtrees=[x509.IPAddress(network) for network in _NO_ADDRESS],
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + ROOT_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(constraints, critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(_issued_by(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def new_leaf(
    host: str,
    root: x509.Certificate,
    root_key: ec.EllipticCurvePrivateKey,
    *,
    now: dt.datetime,
    life: dt.timedelta,
) -> Issued:
    """Make a server certificate for one DNS name, with a key of its own; it never outlives the root."""
    key = ec.generate_private_key(ec.SECP256R1())
    root_identifier = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_common_name(host))
        .issuer_name(root.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(min(now + life, root.not_valid_after_utc))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_issued_by(root_identifier), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    return certificate, key


def pem_of(certificate: x509.Certificate) -> bytes:
    """The certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The private key as PEM: PKCS #8, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def extension_of[Kind: x509.ExtensionType](certificate: x509.Certificate, kind: type[Kind]) -> Kind | None:
    """An extension of the certificate, or None."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _issued_by(identifier: x509.SubjectKeyIdentifier) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
