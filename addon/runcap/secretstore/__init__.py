"""The vendors' real secrets: from the environment, a file, a command, or sealed below home.

Not named ``secrets``: mitmdump puts this folder on `sys.path` while it loads the addon, and a
``secrets.py`` there would shadow the standard library's.
"""

import hmac
import logging
import os
import re
import stat
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

from runcap.config import Config
from runcap.secretstore import command as secretcommand
from runcap.secretstore import masterkey
from runcap.secretstore.sealed import SealedFile

logger = logging.getLogger(__name__)

_SECRET = re.compile(r"[!-~]{8,512}", re.ASCII)
_VAULT_KEY = re.compile(r"(?:^|_)vk_[0-9A-Za-z]{40}$", re.ASCII)


class SecretError(ValueError):
    """A secret cannot be used. The message names the option and never holds the secret."""


class SecretMissing(SecretError):
    """No secret is where the configuration says that it is."""


class Secret:
    """A secret that shows itself only when it is told to."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself, for the header that goes to the vendor."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(hidden)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # no set or dict should hold one

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


class SecretStore:
    """The secrets of one configuration. Whatever is in a file is read anew when the file has changed.

    A command runs when its secret is first asked for, and then in `refresh` alone (`runcap.secretstore.keeper`).
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._specs = {name: vendor.secret for name, vendor in config.vendors.items()}
        self._sealed = SealedFile(config.home, config.secrets.master_key)
        self._printed: dict[str, Secret | SecretError] = {}
        self._read: dict[str, tuple[object, Secret]] = {}
        self._warned: set[str] = set()

    def get(self, vendor: str) -> Secret:
        """The real secret of a vendor.

        Raises:
            SecretMissing: there is none where the configuration says.
            SecretError: what is there cannot be used, or its command failed.
            HomeError: the sealed file is open to other users.
        """
        spec = self._specs[vendor]
        if spec.startswith("exec:"):
            return self._get_printed(vendor)
        version = self._version(spec)
        known = self._read.get(vendor)
        if known is None or known[0] != version:
            known = self._read[vendor] = (version, resolve(spec, vendor, self._sealed))
        return known[1]

    @property
    def has_commands(self) -> bool:
        """Whether a command prints any of the secrets."""
        return any(spec.startswith("exec:") for spec in self._specs.values())

    def refresh(self) -> bool:
        """Read all secrets anew, and run the commands again; says whether each of these printed a secret.

        Blocks as long as the commands take. One that fails leaves the secret that it printed before: a secret manager
        that is down for an hour should not stop runs that it has nothing to do with.
        """
        self._read.clear()
        self._warned.clear()
        vendors = [vendor for vendor, spec in self._specs.items() if spec.startswith("exec:")]
        with ThreadPoolExecutor(max_workers=max(1, len(vendors))) as threads:
            return all(list(threads.map(self._print, vendors)))

    def _get_printed(self, vendor: str) -> Secret:
        if vendor not in self._printed:
            self._print(vendor)
        found = self._printed[vendor]
        if isinstance(found, SecretError):
            raise found.with_traceback(None)
        return found

    def _print(self, vendor: str) -> bool:
        spec, rules = self._specs[vendor], self._config.secrets
        option = f"vendors.{vendor}.secret (exec:)"
        environment = without_secrets(os.environ, self._config, keep=rules.command_env)
        try:
            text = secretcommand.run(
                spec.removeprefix("exec:"), timeout_seconds=rules.command_timeout_seconds, environment=environment
            )
            self._printed[vendor] = Secret(_checked(text, f"What {option} printed"))
        except (secretcommand.CommandFailed, SecretError) as error:
            failure = error if isinstance(error, SecretError) else SecretError(f"{option}: {error}")
            if isinstance(self._printed.get(vendor), Secret):
                logger.warning("%s: the secret that it printed before stays in use", failure)
            else:
                self._printed[vendor] = failure
            return False
        return True

    def get_or_none(self, vendor: str) -> Secret | None:
        """As `get`, but None with one warning in the log: calls to the other vendors still work."""
        try:
            return self.get(vendor)
        except ValueError as error:
            if str(error) not in self._warned:
                self._warned.add(str(error))
                logger.warning("Calls to %s are refused: %s", vendor, error)
            return None

    def peek(self, vendor: str) -> Secret | None:
        """As `get_or_none`, without a word in the log, and without running a command that has not run yet."""
        if self._specs[vendor].startswith("exec:") and vendor not in self._printed:
            return None
        try:
            return self.get(vendor)
        except ValueError:
            return None

    def source(self, vendor: str) -> str:
        """Where the configuration says that the secret is: ``env:NAME``, ``file:PATH``, ``exec:…``, ``sealed``."""
        return self._specs[vendor]

    def seal(self, vendor: str, value: str) -> None:
        """Store a secret encrypted below home; it takes effect where ``vendors.NAME.secret`` is ``sealed``.

        Raises:
            SecretError: it is not one.
        """
        self._sealed.seal(vendor, _checked(value, f"The secret for {vendor}"))

    def sealed_vendors(self) -> dict[str, str]:
        """The vendors that have a sealed secret, with when it was sealed (UTC, ISO 8601)."""
        return self._sealed.vendors()

    def _version(self, spec: str) -> object:
        """What changes when the secret may have changed: a file's identity and time; nothing for the environment."""
        if spec.startswith("env:"):
            return spec
        path = self._sealed.path if spec == "sealed" else Path(spec.removeprefix("file:"))
        try:
            found = path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns


def hidden_variables(config: Config) -> frozenset[str]:
    """The environment variables that hold a secret of runcap's, by the configuration."""
    specs = (*(vendor.secret for vendor in config.vendors.values()), config.secrets.master_key)
    named = {spec.removeprefix("env:") for spec in specs if spec.startswith("env:")}
    return frozenset({*named, *config.secrets.command_env, masterkey.VARIABLE})


def without_secrets(environment: Mapping[str, str], config: Config, keep: Collection[str] = ()) -> dict[str, str]:
    """An environment for a process that is not to have runcap's secrets, nor the ledger's URL with its password.

    Args:
        environment: what it would have otherwise.
        config: says which variables hold secrets.
        keep: variables that it does need.
    """
    hidden = hidden_variables(config) - set(keep)
    url = config.ledger.url
    return {name: value for name, value in environment.items() if name not in hidden and not (url and value == url)}


def resolve(spec: str, vendor: str, sealed: SealedFile) -> Secret:
    """Read a secret from where its spec says: ``env:NAME``, ``file:PATH`` or ``sealed``.

    Raises:
        SecretMissing: there is none.
        SecretError: what is there is no secret, or others may read it.
        HomeError: the sealed file or its key is open to other users.
    """
    option = f"vendors.{vendor}.secret"
    kind, _, where = spec.partition(":")
    if kind == "env":
        value = os.environ.get(where)
        if not value:
            raise SecretMissing(f"{option} is env:{where}, but that environment variable is not set.")
    elif kind == "file":
        value = _from_file(Path(where), option)
    else:
        opened = sealed.open(vendor)
        if opened is None:
            raise SecretMissing(f"{option} is sealed, but none is stored: run `runcap secrets set {vendor}`.")
        value = opened
    return Secret(_checked(value, f"{option} ({spec})"))


def _from_file(path: Path, option: str) -> str:
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            content = file.read(4096)
    except OSError as error:
        raise SecretMissing(f"{option} is file:{path}, which cannot be read: {error.strerror}.") from error
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        # Kubernetes and Docker mount secrets owned by root and readable by all, in a file system of the container's
        # own; there the folder protects them. A user's own file has no such excuse.
        if found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise SecretError(f"{option} is file:{path}, which is open to other users: run `chmod 600 {path}`.")
        logger.warning("%s is file:%s, which other users may read.", option, path)
    try:
        return content.decode("ascii").strip()
    except UnicodeDecodeError:
        raise SecretError(f"{option} is file:{path}, which holds more than one line of ASCII.") from None


def _checked(value: str, what: str) -> str:
    if _SECRET.fullmatch(value) is None:
        raise SecretError(f"{what} must be 8 to 512 printable ASCII characters without blanks.")
    if _VAULT_KEY.search(value) is not None:
        raise SecretError(f"{what} is a vault key of runcap's own: the vendor's real secret belongs there.")
    return value
