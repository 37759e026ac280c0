"""The single values of runcap.toml: what each option accepts, and what to write instead.

Each function takes the option's name for its message, and raises `ConfigError`.
"""

import base64
import ipaddress
import os
import re
import shlex
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from runcap.config.file import ConfigError
from runcap.money import micros_from_usd

_SECRET = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:.+|exec:[ -~]+|sealed", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_ACCOUNT_SID = re.compile(r"AC[0-9a-f]{32}", re.ASCII)
_NAMESPACE = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
_PERCENT = re.compile(r"([0-9]{1,2})(?:\.([0-9]))?", re.ASCII)
_HOST_PATTERN = re.compile(r"(?:\*\.)?[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*", re.ASCII)
_LEDGER_SCHEMES = (
    "redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster",
)  # fmt: skip
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)


class Listen(NamedTuple):
    """An address to listen on."""

    host: str
    port: int
    """0: a free one."""

    def __str__(self) -> str:
        """As it stands in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class TLSFiles(NamedTuple):
    """``[proxy]``: ``tls_certificate``, ``tls_key`` and ``tls_client_ca``, all PEM."""

    certificate: Path
    """With its chain."""
    key: Path
    client_ca: Path


class Address(NamedTuple):
    """Where a vendor is dialled, always by TLS."""

    host: str
    port: int


def cap_micros(option: str, amount: str | float | None) -> int | None:
    """Dollars, in quotes or whole, as micros; None stays None."""
    if amount is None:
        return None
    if isinstance(amount, float):
        key = option.rpartition(".")[2]
        raise ConfigError(f'{option} is {amount}: write it in quotes, such as {key} = "12.50"')
    try:
        return micros_from_usd(str(amount))
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from error


def listen_address(option: str, text: str, *, authenticated: bool) -> Listen:
    """``ADDRESS:PORT``, on loopback unless whoever connects has to show a vault key or a certificate."""
    host, _, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not bare or _PORT.fullmatch(port) is None or int(port) > 65535 or (":" in bare and bare == host):
        raise ConfigError(f'{option} is {text!r}: write "127.0.0.1:8080" or "[::1]:8080", address and port')
    try:
        loopback = bare == "localhost" or ipaddress.ip_address(bare).is_loopback
    except ValueError:
        raise ConfigError(f"{option} is {text!r}: write the address as numbers, such as 127.0.0.1") from None
    if not loopback and not authenticated:
        raise ConfigError(
            f"{option} is {text!r}, which other machines can reach: use 127.0.0.1, "
            'or let only runs use it, with proxy.auth = "vault_key" or with proxy.tls = true'
        )
    return Listen(bare, int(port))


def upstream_address(option: str, text: str) -> Address:
    """``https://HOST`` or ``https://HOST:PORT``."""
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError:
        host = port = None
        url = urlsplit("")
    plain = not (url.username or url.password or url.query or url.fragment) and url.path in ("", "/")
    if url.scheme != "https" or host is None or not plain:
        raise ConfigError(f'{option} is {text!r}: write "https://HOST" or "https://HOST:PORT", no more')
    return Address(host, 443 if port is None else port)


def secret_spec(option: str, text: str, folder: Path) -> str:
    """``env:NAME``, ``file:PATH`` (made absolute), ``exec:COMMAND ARGUMENT…`` or ``sealed``."""
    if _SECRET.fullmatch(text) is None or (text.startswith("exec:") and not _words(text.removeprefix("exec:"))):
        # What stands here may be the secret itself, so the message does not repeat it.
        raise ConfigError(
            f'{option} is none of "env:NAME", "file:PATH", "exec:COMMAND ARGUMENT" and "sealed": '
            "write where the secret is"
        )
    return _absolute(text, folder)


def master_key_spec(text: str, folder: Path) -> str:
    """Empty, ``env:NAME``, ``file:PATH`` (made absolute) or ``keyring``."""
    kind = _SECRET.fullmatch(text) is not None and text.partition(":")[0]
    if text not in ("", "keyring") and kind not in ("env", "file"):
        # As above: it may be the key itself.
        raise ConfigError('secrets.master_key is none of "env:NAME", "file:PATH", "keyring" and ""')
    return _absolute(text, folder)


def variables(option: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of environment variables."""
    for name in names:
        if _VARIABLE.fullmatch(name) is None:
            raise ConfigError(f"{option} has {name!r}: write names of environment variables, such as VAULT_TOKEN")
    return names


def _words(command: str) -> list[str]:
    """A command and its arguments, or none if its quotes are not closed."""
    try:
        return shlex.split(command)
    except ValueError:
        return []


def _absolute(spec: str, folder: Path) -> str:
    if spec.startswith("file:"):
        return f"file:{folder / Path(spec.removeprefix('file:')).expanduser()}"
    return spec


def account_sid(vendor: str, text: str) -> str:
    """Twilio's account: ``AC`` and 32 lower-case hexadecimal digits, or empty."""
    option = f"vendors.{vendor}.account_sid"
    if text and vendor != "twilio":
        raise ConfigError(f"{option} does not belong there: only Twilio has one")
    if text and _ACCOUNT_SID.fullmatch(text) is None:
        raise ConfigError(f"{option} is {text!r}: write AC and 32 digits of 0-9 and a-f, as Twilio shows it")
    return text


def pins(option: str, texts: tuple[str, ...]) -> tuple[bytes, ...]:
    """``sha256/`` and the base64 of a public key's SHA-256, as curl's ``--pinnedpubkey`` and RFC 7469 have it."""
    found = []
    for text in texts:
        try:
            digest = base64.b64decode(text.removeprefix("sha256/"), validate=True)
        except ValueError:
            digest = b""
        if not text.startswith("sha256/") or len(digest) != 32:
            raise ConfigError(f'{option} has {text!r}: write "sha256/" and the base64 of a public key\'s SHA-256')
        found.append(digest)
    return tuple(found)


def host_patterns(option: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Host names, or ``*.`` and a domain for all below it; in lower case."""
    for text in texts:
        if _HOST_PATTERN.fullmatch(text) is None:
            raise ConfigError(f'{option} has {text!r}: write a host such as "example.com" or "*.example.com"')
    return tuple(text.lower() for text in texts)


def pricing_upstream(vendor: str, text: str) -> Address | None:
    """Where Twilio's Pricing API is dialled; None for a vendor that has none."""
    option = f"vendors.{vendor}.pricing_upstream"
    if vendor != "twilio":
        if text:
            raise ConfigError(f"{option} does not belong there: only Twilio has one")
        return None
    return upstream_address(option, text or "https://pricing.twilio.com")


def ledger_url(text: str) -> str:
    """A URL of Redis or Valkey, ``env:NAME`` of a variable that holds one, or empty."""
    if text.startswith("env:"):
        name = text.removeprefix("env:")
        text = os.environ.get(name, "")
        if not text:
            raise ConfigError(f"ledger.url is env:{name}, but that environment variable is not set")
    # The URL may carry a password, so no message repeats it.
    if text and urlsplit(text).scheme not in _LEDGER_SCHEMES:
        raise ConfigError(
            "ledger.url begins with none of redis://, rediss://, unix://, redis+sentinel://, redis+cluster:// "
            'and env:: write one of these, or "" for the embedded ledger'
        )
    return text


def namespace(text: str) -> str:
    """What stands in the ledger's keys, and so must not hold a brace or a colon."""
    if _NAMESPACE.fullmatch(text) is None:
        raise ConfigError(f"ledger.namespace is {text!r}: write up to 63 of a-z, 0-9, - and _")
    return text


def permille(option: str, value: str | float) -> int:
    """A percentage from 0 to 99.9, as thousandths."""
    if isinstance(value, float):
        raise ConfigError(f'{option} is {value}: write it in quotes, such as "{value}"')
    match = _PERCENT.fullmatch(str(value))
    if match is None:
        raise ConfigError(f'{option} is {value!r}: write a number from 0 to 99.9, such as "2" or "2.5"')
    return int(match[1]) * 10 + int(match[2] or 0)


def within(option: str, value: int, least: int, most: int) -> int:
    """A whole number between two others, both included."""
    if not least <= value <= most:
        raise ConfigError(f"{option} is {value}: write a number from {least} to {most}")
    return value


def not_empty(option: str, text: str) -> str:
    """A text that is not empty."""
    if not text:
        raise ConfigError(f"{option} is empty: write a path")
    return text
