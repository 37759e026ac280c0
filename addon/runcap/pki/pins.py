"""Pinned keys: a vendor's connection is good only if a certificate of its chain has one of the keys that are listed.

Checked inside the handshake, on top of the ordinary verification, so that not a byte of a call is sent before. The pin
is the SHA-256 of the certificate's SubjectPublicKeyInfo, as RFC 7469 (section 2.4, April 2015) defines it.
"""

import hashlib
import ssl
from collections.abc import Collection
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def pin_of(certificate: x509.Certificate) -> bytes:
    """The pin of a certificate's public key."""
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


def pin(context: ssl.SSLContext, pins: Collection[bytes]) -> None:
    """Let connections of this context be made only to who has one of these keys in its verified chain.

    Before Python 3.13 the chain cannot be asked for, and a pin must be the leaf's own.
    """
    wanted = frozenset(pins)

    class PinnedObject(ssl.SSLObject):
        """A TLS connection that fails in its handshake if no key is a pinned one."""

        def do_handshake(self) -> None:
            super().do_handshake()
            if not any(pin_of(x509.load_der_x509_certificate(der)) in wanted for der in _chain(self)):
                raise ssl.SSLCertVerificationError("no certificate of the chain has a pinned key")

    context.sslobject_class = PinnedObject


def _chain(connection: Any) -> list[bytes]:
    if hasattr(connection, "get_verified_chain"):
        return list(connection.get_verified_chain())
    leaf = connection.getpeercert(binary_form=True)
    return [] if leaf is None else [leaf]
