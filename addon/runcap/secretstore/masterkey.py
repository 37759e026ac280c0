"""The key that opens the sealed secrets, from where ``secrets.master_key`` says that it is.

``env:NAME`` and ``keyring`` keep the key off the disk that holds what it opens. A file beside the sealed secrets, the
default, only keeps them out of backups and terminals that show one file.
"""

import base64
import binascii
import os
import secrets
from pathlib import Path
from typing import Any

from runcap.home import HomeError, read_private, write_file

VARIABLE = "RUNCAP_MASTER_KEY"
_KEY_BYTES = 32
_SERVICE = "runcap"


class MasterKey:
    """The master key of one home."""

    def __init__(self, home: Path, spec: str = "") -> None:
        """Take where it is: ``env:NAME``, ``file:PATH``, ``keyring``, or empty for the default."""
        if not spec:
            spec = f"env:{VARIABLE}" if os.environ.get(VARIABLE) else f"file:{home / 'master.key'}"
        self._kind, _, self._where = spec.partition(":")
        self._user = str(home)
        """Under which the keyring keeps the key: each home has its own."""

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return "the system's keyring" if self._kind == "keyring" else self._where

    def load(self) -> bytes | None:
        """Read the key; None if there is none yet.

        Raises:
            HomeError: it cannot be read, is no key, or other users may read it.
        """
        match self._kind:
            case "env":
                text = os.environ.get(self._where)
            case "file":
                text = _read(Path(self._where))
            case _:
                text = _keyring_get(self._user)
        return None if not text else _parse(text, self.place)

    def create(self) -> bytes:
        """Make a key and store it there.

        Raises:
            HomeError: it cannot be stored; an environment variable cannot be set for later.
        """
        key = secrets.token_bytes(_KEY_BYTES)
        text = base64.b64encode(key).decode()
        match self._kind:
            case "env":
                raise HomeError(f"{self._where} is not set: give it a key, such as `openssl rand -base64 32` writes.")
            case "file":
                try:
                    write_file(Path(self._where), f"{text}\n".encode())
                except OSError as error:
                    raise HomeError(f"{self._where} cannot be written: {error.strerror}.") from error
            case _:
                _keyring_set(self._user, text)
        return key


def _read(path: Path) -> str | None:
    try:
        return read_private(path).decode("ascii", "replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HomeError(f"{path} cannot be read: {error.strerror}.") from error


def _parse(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise HomeError(f"{where} must be {_KEY_BYTES} bytes in base64, such as `openssl rand -base64 32` writes.")
    return key


def _keyring_get(user: str) -> str | None:
    keyring, failures = _keyring()
    try:
        found: str | None = keyring.get_password(_SERVICE, user)
    except failures as error:
        raise HomeError(f"The system's keyring cannot be read: {type(error).__name__}.") from error
    return found


def _keyring_set(user: str, text: str) -> None:
    keyring, failures = _keyring()
    try:
        keyring.set_password(_SERVICE, user, text)
    except failures as error:
        raise HomeError(f"The system's keyring cannot be written: {type(error).__name__}.") from error


def _keyring() -> tuple[Any, tuple[type[Exception], ...]]:
    """The module, which need not be installed, and what it raises."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError as error:
        raise HomeError(
            'secrets.master_key is "keyring", which needs the package of that name: pip install runcap[keyring].'
        ) from error
    return keyring, (KeyringError, RuntimeError)
