"""Secrets at rest below home: AES-256-GCM, one entry a vendor, under the master key (`masterkey`)."""

import datetime as dt
import secrets
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from runcap.home import HomeError, locked, prepare, read_private, write_file
from runcap.secretstore.masterkey import MasterKey

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

    def __init__(self, home: Path, master_key: str = "") -> None:
        """Take the home, and where its master key is (``secrets.master_key``)."""
        self.path = home / "secrets.json"
        self._home = home
        self._master_key_spec = master_key

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
                f"give the right key in {self._where().place}, or run `runcap secrets set {vendor}` again."
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

    def _where(self) -> MasterKey:
        """Asked anew each time: the environment, a file or a keyring may have got it meanwhile."""
        return MasterKey(self._home, self._master_key_spec)

    def _master_key(self, *, create: bool = False) -> bytes:
        where = self._where()
        key = where.load()
        if key is not None:
            return key
        # A new key opens nothing that an earlier one has sealed.
        if not create or self._load().sealed:
            raise HomeError(f"{self.path} needs the key that sealed it, in {where.place}.")
        return where.create()


def _associated(vendor: str) -> bytes:
    """Bound into each entry, so that one vendor's secret cannot be put in another's place."""
    return f"runcap sealed secret v1:{vendor}".encode()
