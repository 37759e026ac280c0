"""The configuration: runcap.toml and two environment variables, checked once and immutable from then on.

A wrong value stops the start, and the message names the option and says what to write instead.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from runcap.config import values
from runcap.config.file import (
    CapsSection,
    ConfigError,
    ConfigFile,
    LimitsSection,
    ProxySection,
    SecretsSection,
    VendorSection,
    did_you_mean,
    read,
)
from runcap.config.values import Address, Listen, TLSFiles
from runcap.entrance.limits import Limits
from runcap.hosts import KNOWN_VENDORS
from runcap.ledger.model import Caps

__all__ = [
    "CapConfig",
    "Config",
    "ConfigError",
    "Listen",
    "VendorConfig",
    "default_path",
    "load",
    "write_default",
]


@dataclass(frozen=True, slots=True)
class VendorConfig:
    """``[vendors.NAME]``."""

    secret: str
    """``env:NAME``, ``file:PATH`` (absolute), ``exec:COMMAND ARGUMENT…`` or ``sealed``."""
    upstream: Address
    upstream_ca: Path | None
    """The only roots to trust there; None: the system's."""
    account_sid: str
    """Twilio's; empty for the others, and where none is configured."""
    pricing_upstream: Address | None = None
    """Where Twilio's Pricing API is dialled; None for the others, which have none."""
    pins: tuple[bytes, ...] = ()
    """SHA-256 of public keys; if there are any, one must be in the chain that the vendor shows."""


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """``[proxy]``."""

    listen: Listen
    gateway: Listen | None
    auth: Literal["none", "vault_key"]
    """Whether a CONNECT needs a run's vault key in its Proxy-Authorization."""
    tls: TLSFiles | None
    """What whoever connects has to show, and is shown; None: plain HTTP."""
    workers: int
    other_hosts: Literal["tunnel", "deny"]
    drain_seconds: int
    """How long a stop waits for calls under way."""
    vendor_timeout_seconds: int
    """The longest that one call to a vendor may take."""
    vendor_connect_seconds: int
    """Of this, for a new connection, TLS included."""
    vendor_first_byte_seconds: int
    """Of this, until the first byte of the answer, and between any two."""
    allow_hosts: tuple[str, ...]
    """Host patterns that are tunnelled although `other_hosts` is "deny"."""
    deny_hosts: tuple[str, ...]
    """Host patterns that are never tunnelled."""


@dataclass(frozen=True, slots=True)
class SecretsConfig:
    """``[secrets]``."""

    master_key: str
    """Empty (RUNCAP_MASTER_KEY, else a file below home), ``env:NAME``, ``file:PATH`` or ``keyring``."""
    command_timeout_seconds: int
    """How long a command of ``exec:`` may take."""
    command_max_age_seconds: int
    """How old its secret may get before it is run again; 0: until SIGHUP."""
    command_env: tuple[str, ...]
    """Variables that such commands need, and that nobody else whom runcap starts gets."""


@dataclass(frozen=True, slots=True)
class LedgerConfig:
    """``[ledger]``."""

    url: str
    """Empty: the embedded ledger."""
    namespace: str
    wait_replicas: int
    """How many replicas must have a reservation before its call is forwarded."""
    grace_seconds: int
    """How long beyond the longest possible call a reservation stays open before it is swept as spent."""


@dataclass(frozen=True, slots=True)
class FxConfig:
    """``[fx]``."""

    rates_file: Path | None
    """None: the rates that come with the package."""
    margin_permille: int
    """Added to each rate, in thousandths, for it may move before the vendor books the call."""


@dataclass(frozen=True, slots=True)
class CapConfig:
    """One ``[[caps]]``."""

    level: Literal["fleet", "vendor"]
    selector: str
    caps: Caps


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be configured."""

    home: Path
    proxy: ProxyConfig
    limits: Limits
    secrets: SecretsConfig
    ledger: LedgerConfig
    audit_path: Path
    vendors: Mapping[str, VendorConfig]
    fx: FxConfig
    caps: tuple[CapConfig, ...]
    source: Path | None
    """The file that was read; None: there was none, and these are the defaults."""


def default_path() -> Path:
    """Where the configuration is looked for: RUNCAP_CONFIG, or ``runcap.toml`` in the current folder."""
    return Path(os.environ.get("RUNCAP_CONFIG") or "runcap.toml")


def load(path: Path | None = None) -> Config:
    """Read the configuration: `path`, else RUNCAP_CONFIG, else ``./runcap.toml``, else the defaults.

    RUNCAP_HOME overrides ``home``. Other relative paths are relative to the file's own folder.

    Raises:
        ConfigError: there is something wrong with it, or the file that was named is not there.
    """
    named = path is not None or bool(os.environ.get("RUNCAP_CONFIG"))
    path = path or default_path()
    if named and not path.exists():
        raise ConfigError(f"There is no configuration file {path}: `runcap up --config {path}` writes one.")
    source = path.absolute() if path.exists() else None
    written = read(source) if source else ConfigFile()
    try:
        return _config(written, source)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}" if source else str(error)) from error


def write_default(path: Path) -> bool:
    """Write the template, with its comments, if there is no such file yet; says whether it did."""
    template = files("runcap").joinpath("data", "template.toml").read_text(encoding="utf-8")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template)
    except FileExistsError:
        return False
    return True


def _config(written: ConfigFile, source: Path | None) -> Config:
    folder = source.parent if source else Path.cwd()
    override = os.environ.get("RUNCAP_HOME")
    home = Path(override).absolute() if override else folder / values.not_empty("home", written.home)
    proxy = written.proxy
    tls = _tls(proxy, folder)
    authenticated = proxy.auth != "none" or tls is not None
    return Config(
        home=home,
        proxy=ProxyConfig(
            listen=values.listen_address("proxy.listen", proxy.listen, authenticated=authenticated),
            gateway=values.listen_address("proxy.gateway", proxy.gateway, authenticated=authenticated)
            if proxy.gateway
            else None,
            auth=proxy.auth,
            tls=tls,
            workers=values.within("proxy.workers", proxy.workers, 1, 64),
            other_hosts=proxy.other_hosts,
            drain_seconds=values.within("proxy.drain_seconds", proxy.drain_seconds, 0, 600),
            vendor_timeout_seconds=values.within("proxy.vendor_timeout_seconds", proxy.vendor_timeout_seconds, 1, 600),
            vendor_connect_seconds=values.within("proxy.vendor_connect_seconds", proxy.vendor_connect_seconds, 1, 600),
            vendor_first_byte_seconds=values.within(
                "proxy.vendor_first_byte_seconds", proxy.vendor_first_byte_seconds, 1, 600
            ),
            allow_hosts=values.host_patterns("proxy.allow_hosts", proxy.allow_hosts),
            deny_hosts=values.host_patterns("proxy.deny_hosts", proxy.deny_hosts),
        ),
        limits=_limits(written.limits),
        secrets=_secrets(written.secrets, folder),
        ledger=LedgerConfig(
            url=values.ledger_url(written.ledger.url),
            namespace=values.namespace(written.ledger.namespace),
            wait_replicas=values.within("ledger.wait_replicas", written.ledger.wait_replicas, 0, 16),
            grace_seconds=values.within("ledger.grace_seconds", written.ledger.grace_seconds, 2, 3600),
        ),
        audit_path=home / values.not_empty("audit.path", written.audit.path),
        vendors=_vendors(written.vendors, folder),
        fx=FxConfig(
            rates_file=folder / written.fx.rates_file if written.fx.rates_file else None,
            margin_permille=values.permille("fx.margin_percent", written.fx.margin_percent),
        ),
        caps=_caps(written.caps),
        source=source,
    )


def _limits(written: LimitsSection) -> Limits:
    return Limits(
        head_seconds=values.within("limits.head_seconds", written.head_seconds, 1, 600),
        idle_seconds=values.within("limits.idle_seconds", written.idle_seconds, 1, 3600),
        handshake_seconds=values.within("limits.handshake_seconds", written.handshake_seconds, 1, 600),
        connections=values.within("limits.connections", written.connections, 8, 100_000),
        connections_per_address=values.within(
            "limits.connections_per_address", written.connections_per_address, 4, 100_000
        ),
    )


def _tls(written: ProxySection, folder: Path) -> TLSFiles | None:
    options = {
        "tls_certificate": written.tls_certificate,
        "tls_key": written.tls_key,
        "tls_client_ca": written.tls_client_ca,
    }
    for name, value in options.items():
        if bool(value) is not written.tls:
            wanted = f"tls = true needs it: write {name} = " + '"FILE.pem"' if written.tls else "it needs tls = true"
            raise ConfigError(f"proxy.{name} is {value!r}: {wanted}")
    return TLSFiles(*(folder / Path(value).expanduser() for value in options.values())) if written.tls else None


def _secrets(written: SecretsSection, folder: Path) -> SecretsConfig:
    return SecretsConfig(
        master_key=values.master_key_spec(written.master_key, folder),
        command_timeout_seconds=values.within(
            "secrets.command_timeout_seconds", written.command_timeout_seconds, 1, 60
        ),
        command_max_age_seconds=values.within(
            "secrets.command_max_age_seconds", written.command_max_age_seconds, 0, 30 * 86400
        ),
        command_env=values.variables("secrets.command_env", written.command_env),
    )


def _vendors(written: Mapping[str, VendorSection], folder: Path) -> Mapping[str, VendorConfig]:
    for name in written:
        if name not in KNOWN_VENDORS:
            raise ConfigError(f"there is no vendor {name!r}: {did_you_mean(name, list(KNOWN_VENDORS))}")
    return MappingProxyType({name: _vendor(name, written.get(name, VendorSection()), folder) for name in KNOWN_VENDORS})


def _vendor(name: str, written: VendorSection, folder: Path) -> VendorConfig:
    known = KNOWN_VENDORS[name]
    return VendorConfig(
        secret=values.secret_spec(f"vendors.{name}.secret", written.secret or known.secret, folder),
        upstream=values.upstream_address(f"vendors.{name}.upstream", written.upstream or f"https://{known.host}"),
        upstream_ca=folder / written.upstream_ca if written.upstream_ca else None,
        account_sid=values.account_sid(name, written.account_sid),
        pricing_upstream=values.pricing_upstream(name, written.pricing_upstream),
        pins=values.pins(f"vendors.{name}.pins", written.pins),
    )


def _caps(written: tuple[CapsSection, ...]) -> tuple[CapConfig, ...]:
    caps: dict[tuple[str, str], CapConfig] = {}
    for number, section in enumerate(written):
        option = f"caps[{number}]"
        cap = _cap(option, section)
        if caps.setdefault((cap.level, cap.selector), cap) is not cap:
            raise ConfigError(
                f"{option} sets caps of {cap.level} {cap.selector!r} a second time: write them in one [[caps]]"
            )
    return tuple(caps.values())


def _cap(option: str, written: CapsSection) -> CapConfig:
    if (written.fleet is None) == (written.vendor is None):
        raise ConfigError(f'{option} needs one of fleet and vendor: write fleet = "billing-" or vendor = "twilio"')
    if written.vendor is not None and written.vendor not in KNOWN_VENDORS:
        names = list(KNOWN_VENDORS)
        raise ConfigError(f"{option}.vendor is {written.vendor!r}: {did_you_mean(written.vendor, names)}")
    caps = Caps(
        day=values.cap_micros(f"{option}.daily_usd", written.daily_usd),
        month=values.cap_micros(f"{option}.monthly_usd", written.monthly_usd),
        total=values.cap_micros(f"{option}.total_usd", written.total_usd),
    )
    if caps == Caps():
        raise ConfigError(f"{option} sets no cap: write one of daily_usd, monthly_usd and total_usd")
    if written.vendor is not None:
        return CapConfig("vendor", written.vendor, caps)
    assert written.fleet is not None
    return CapConfig("fleet", written.fleet, caps)
