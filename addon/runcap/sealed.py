"""Secrets at rest below home: AES-256-GCM, one entry a vendor, under a master key.

The master key is RUNCAP_MASTER_KEY (32 bytes in base64), or ``master.key`` beside the file. The first keeps the key off
the disk that holds what it opens; the second only keeps secrets out of backups and terminals that show one file.
"""

import base64
import binascii
import datetime as dt
import os
import secrets
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from runcap.home import HomeError, locked, prepare, read_private, write_file

MASTER_KEY = "RUNCAP_MASTER_KEY"
_KEY_BYTES = 32
_NONCE_BYTES = 12


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    nonce: bytes
    ciphertext: bytes
    sealed_at: str


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    sealed: dict[str, _Entry]


class SealedFile:
    """``secrets.json`` of one home."""

    def __init__(self, home: Path) -> None:
        self.path = home / "secrets.json"
        self._home = home

    def vendors(self) -> dict[str, str]:
        """The vendors that have a secret here, with when it was sealed (UTC, ISO 8601); no key is needed.

        Raises:
            HomeError: the file is damaged or open to other users.
        """
        return {vendor: entry.sealed_at for vendor, entry in sorted(self._load().sealed.items())}

    def open(self, vendor: str) -> str | None:
        """Decrypt a vendor's secret; None if there is none.

        Raises:
            HomeError: the file or its key is damaged, open to other users, or they do not belong together.
        """
        entry = self._load().sealed.get(vendor)
        if entry is None:
            return None
        try:
            plain = AESGCM(self._master_key()).decrypt(entry.nonce, entry.ciphertext, _associated(vendor))
        except InvalidTag:
            raise HomeError(
                f"The secret for {vendor} in {self.path} was not sealed with this master key, or was changed since: "
                f"give the right key in {MASTER_KEY}, or run `runcap secrets set {vendor}` again."
            ) from None
        return plain.decode("ascii")

    def seal(self, vendor: str, value: str) -> None:
        """Encrypt a vendor's secret, in place of the one that was there.

        Raises:
            HomeError: the file or its key is damaged or open to other users.
        """
        prepare(self._home)
        with locked(self._home / ".secrets.lock"):
            sealed = self._load().sealed
            nonce = secrets.token_bytes(_NONCE_BYTES)
            ciphertext = AESGCM(self._master_key(create=True)).encrypt(
                nonce, value.encode("ascii"), _associated(vendor)
            )
            sealed_at = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            document = _Document(version=1, sealed={**sealed, vendor: _Entry(nonce, ciphertext, sealed_at)})
            write_file(self.path, msgspec.json.format(msgspec.json.encode(document)) + b"\n")

    def _load(self) -> _Document:
        try:
            document = msgspec.json.decode(read_private(self.path), type=_Document)
        except FileNotFoundError:
            return _Document(version=1, sealed={})
        except msgspec.DecodeError as error:
            raise HomeError(f"{self.path} is damaged: {error}.") from error
        if document.version != 1:
            raise HomeError(f"{self.path} was written by a newer runcap (version {document.version}).")
        return document

    def _master_key(self, *, create: bool = False) -> bytes:
        text = os.environ.get(MASTER_KEY)
        if text:
            return _parse_key(text, MASTER_KEY)
        path = self._home / "master.key"
        try:
            return _parse_key(read_private(path).decode("ascii", "replace"), str(path))
        except FileNotFoundError:
            # A new key opens nothing that an earlier one has sealed.
            if not create or self._load().sealed:
                raise HomeError(f"{self.path} needs the key that sealed it, in {MASTER_KEY} or {path}.") from None
        key = secrets.token_bytes(_KEY_BYTES)
        write_file(path, base64.b64encode(key) + b"\n")
        return key


def _parse_key(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != _KEY_BYTES:
        raise HomeError(f"{where} must be {_KEY_BYTES} bytes in base64, such as `openssl rand -base64 32` writes.")
    return key


def _associated(vendor: str) -> bytes:
    """Bound into each entry, so that one vendor's secret cannot be put in another's place."""
    return f"runcap sealed secret v1:{vendor}".encode()
