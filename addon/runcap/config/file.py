"""runcap.toml as it is written: its sections and keys, read strictly, with errors for whoever wrote it.

`runcap.config` turns this into the values that the rest of runcap uses.
"""

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from runcap.entrance.limits import DEFAULT_LIMITS


class ConfigError(ValueError):
    """The configuration cannot be used. The message names the file, the option, and what to write instead."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class ProxySection(_Section, frozen=True):
    """``[proxy]``."""

    listen: str = "127.0.0.1:8080"
    gateway: str = "127.0.0.1:8081"
    workers: int = 1
    other_hosts: Literal["tunnel", "deny"] = "tunnel"
    auth: Literal["none", "vault_key"] = "none"
    tls: bool = False
    tls_certificate: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    drain_seconds: int = 30
    vendor_timeout_seconds: int = 80
    vendor_connect_seconds: int = 10
    vendor_first_byte_seconds: int = 80
    allow_hosts: tuple[str, ...] = ()
    deny_hosts: tuple[str, ...] = ()


class LimitsSection(_Section, frozen=True):
    """``[limits]``."""

    head_seconds: int = 15
    idle_seconds: int = 90
    handshake_seconds: int = 15
    connections: int = DEFAULT_LIMITS.connections
    connections_per_address: int = DEFAULT_LIMITS.connections_per_address


class SecretsSection(_Section, frozen=True):
    """``[secrets]``."""

    master_key: str = ""
    command_timeout_seconds: int = 10
    command_max_age_seconds: int = 3600
    command_env: tuple[str, ...] = ()


class LedgerSection(_Section, frozen=True):
    """``[ledger]``."""

    url: str = ""
    namespace: str = "default"
    grace_seconds: int = 30
    wait_replicas: int = 0


class AuditSection(_Section, frozen=True):
    """``[audit]``."""

    path: str = "audit.db"


class VendorSection(_Section, frozen=True):
    """``[vendors.NAME]``."""

    secret: str = ""
    upstream: str = ""
    upstream_ca: str = ""
    account_sid: str = ""
    pricing_upstream: str = ""
    pins: tuple[str, ...] = ()


class FxSection(_Section, frozen=True):
    """``[fx]``."""

    rates_file: str = ""
    margin_percent: str | int | float = "2"


class CapsSection(_Section, frozen=True):
    """One ``[[caps]]``."""

    fleet: str | None = None
    vendor: str | None = None
    # A float is let in here to be refused by `runcap.config`, in better words than a type error's.
    daily_usd: str | int | float | None = None
    monthly_usd: str | int | float | None = None
    total_usd: str | int | float | None = None


class ConfigFile(_Section, frozen=True):
    """The whole file."""

    home: str = ".runcap"
    proxy: ProxySection = ProxySection()
    limits: LimitsSection = LimitsSection()
    secrets: SecretsSection = SecretsSection()
    ledger: LedgerSection = LedgerSection()
    audit: AuditSection = AuditSection()
    vendors: dict[str, VendorSection] = msgspec.field(default_factory=dict)
    fx: FxSection = FxSection()
    caps: tuple[CapsSection, ...] = ()


_SECTIONS: dict[str, type[_Section]] = {
    "": ConfigFile,
    "proxy": ProxySection,
    "limits": LimitsSection,
    "secrets": SecretsSection,
    "ledger": LedgerSection,
    "audit": AuditSection,
    "vendors": VendorSection,
    "fx": FxSection,
    "caps": CapsSection,
}
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>.*?)`(?: - at `\$\.?(?P<at>.*)`)?", re.DOTALL)
_WRONG = re.compile(r"(?P<what>.*) - at `\$\.?(?P<at>.*)`", re.DOTALL)


def read(path: Path) -> ConfigFile:
    """Read a file.

    Raises:
        ConfigError: it cannot be read, is no TOML, or has a key or a type that does not belong there.
    """
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), ConfigFile)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_explain(str(error))}") from error


def did_you_mean(word: str, known: list[str]) -> str:
    """The end of a sentence about an unknown word: the nearest known one, or all of them."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}."


def _explain(message: str) -> str:
    unknown = _UNKNOWN.fullmatch(message)
    if unknown is not None:
        place = unknown["at"] or ""
        section = re.split(r"[.\[]", place)[0]
        known: list[Any] = list(_SECTIONS[section].__struct_fields__)
        option = f"{_place(place)}.{unknown['key']}" if place else unknown["key"]
        return f"there is no option {option}: {did_you_mean(unknown['key'], known)}"
    wrong = _WRONG.fullmatch(message)
    if wrong is not None and wrong["at"]:
        return f"{_place(wrong['at'])} is wrong: {wrong['what'].replace('`', '')}."
    return message


def _place(path: str) -> str:
    """Where it is, in the file's words: msgspec writes ``vendors[...]`` for a key of any vendor."""
    return path.replace("vendors[...]", "vendors.NAME")
