"""The certificate authority: a root that may sign for the vendors' names alone, and short-lived leaves.

The story: ``Authority.load_or_create(folder)`` → ``authority.leaf("api.stripe.com")`` → ``leaf.certificate``.

An agent's machine trusts this root, so the root says itself, critically, that it is good for three DNS
names and no IP address: whoever steals its key can impersonate no bank. Each leaf has a key of its own
(mitmproxy would use the root's for all). A folder with a certificate and leaves but no key, made elsewhere
by ``runcap ca issue`` or ``runcap ca sign``, is enough to run. While the root is being replaced
(`runcap.pki.rotation`), ``ca.pem`` holds the next root behind this one, so that agents trust both.
"""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from runcap.home import locked, prepare, read_private, write_file
from runcap.hosts import KNOWN_VENDORS
from runcap.pki.certificates import extension_of, key_pem_of, new_leaf, new_root, pem_of
from runcap.pki.files import CERTIFICATE, KEY, LEAVES, AuthorityError, check_leaf, check_root, parse_all, parse_key

HOSTS = tuple(vendor.host for vendor in KNOWN_VENDORS.values())
"""The names that a new root may sign for. In X.509 a permitted DNS name covers the names below it too."""

LEAF_LIFE = dt.timedelta(days=30)
"""Online leaves renew themselves, so they can be far shorter than what clients accept."""
OFFLINE_LEAF_LIFE = dt.timedelta(days=90)

ROOT_NOTICE = dt.timedelta(days=90)
"""How long before its end a root should be replaced."""

__all__ = ["HOSTS", "LEAF_LIFE", "OFFLINE_LEAF_LIFE", "Authority", "AuthorityError", "Leaf", "LeafCache"]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate for one vendor host, and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    chain_pem: bytes
    """The leaf, then the root that signed it."""

    @property
    def key_pem(self) -> bytes:
        """The private key, PKCS #8, not encrypted."""
        return key_pem_of(self.key)

    @property
    def renew_at(self) -> dt.datetime:
        """From when on another should be made: after two thirds of its life."""
        start, end = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        return start + (end - start) * 2 / 3


class Authority:
    """The root of one home folder."""

    def __init__(
        self,
        folder: Path,
        certificate: x509.Certificate,
        key: ec.EllipticCurvePrivateKey | None,
        successor: x509.Certificate | None = None,
    ) -> None:
        """Take what was read; use `load_or_create`. Without a key, leaves come ready-made from the folder."""
        self.folder = folder
        self.certificate = certificate
        self.successor = successor
        """The next root, that agents should trust as well; None if none is on its way."""
        self._key = key

    @classmethod
    def load_or_create(cls, folder: Path) -> Self:
        """Read the root from ``ca.pem`` and ``ca.key``, or make one; safe among many processes.

        Raises:
            AuthorityError: the files are damaged, do not belong together, or the root has expired.
            HomeError: the folder or the key is open to other users.
        """
        prepare(folder)
        with locked(folder / ".lock"):
            if not (folder / CERTIFICATE).exists():
                certificate, key = new_root(HOSTS, _now())
                # The key first: a crash in between leaves a key that nobody trusts yet, and the next start
                # makes both.
                write_file(folder / KEY, key_pem_of(key))
                write_file(folder / CERTIFICATE, pem_of(certificate), mode=0o644)
            return cls._load(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the root, and make none.

        Raises:
            AuthorityError, HomeError: as `load_or_create`, and if there is none.
        """
        if not (folder / CERTIFICATE).exists():
            raise AuthorityError(f"There is no root certificate {folder / CERTIFICATE}.")
        with locked(prepare(folder) / ".lock"):
            return cls._load(folder)

    @classmethod
    def _load(cls, folder: Path) -> Self:
        certificate, *others = parse_all((folder / CERTIFICATE).read_bytes(), folder / CERTIFICATE)
        check_root(certificate, folder / CERTIFICATE, _now())
        successor = others[0] if others else None
        try:
            key = parse_key(read_private(folder / KEY), folder / KEY)
        except FileNotFoundError:
            if not (folder / LEAVES).is_dir():
                raise AuthorityError(
                    f"{folder} has a root certificate, but neither its key {KEY} nor ready-made leaves: "
                    f"put one of them back, or move {CERTIFICATE} away and let agents trust a new root."
                ) from None
            return cls(folder, certificate, None, successor)
        if key.public_key() != certificate.public_key():
            advice = "" if successor is None else " Run `runcap ca rotate --finish` again if it was cut off."
            raise AuthorityError(f"{folder / KEY} is not the key of {folder / CERTIFICATE}.{advice}")
        return cls(folder, certificate, key, successor)

    @cached_property
    def certificate_pem(self) -> bytes:
        """What an agent's machine has to trust: this root, and the next one if one is on its way."""
        return pem_of(self.certificate) + (b"" if self.successor is None else pem_of(self.successor))

    @property
    def name(self) -> str:
        """The root's common name."""
        return self.certificate.subject.rfc4514_string().removeprefix("CN=")

    @property
    def hosts(self) -> tuple[str, ...]:
        """The DNS names that the root may sign for; empty if it says nothing."""
        constraints = extension_of(self.certificate, x509.NameConstraints)
        permitted = constraints.permitted_subtrees if constraints is not None else None
        return tuple(name.value for name in permitted or () if isinstance(name, x509.DNSName))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the root certificate, as tools print it: ``AB:CD:…``."""
        return fingerprint_of(self.certificate)

    @property
    def offline(self) -> bool:
        """True if the root's key is not here."""
        return self._key is None

    def warnings(self, now: dt.datetime | None = None) -> list[str]:
        """What will have to be done soon, one sentence each.

        Raises:
            AuthorityError, HomeError: a ready-made leaf cannot be used.
        """
        now = now or _now()
        found = []
        if now >= self.certificate.not_valid_after_utc - ROOT_NOTICE:
            end = self.certificate.not_valid_after_utc
            found.append(f"The root {self.name} expires on {end:%Y-%m-%d}: replace it with `runcap ca rotate`.")
        for host in self.hosts if self.offline else ():
            leaf = self._ready_made(host, now)
            if now >= leaf.renew_at:
                end = leaf.certificate.not_valid_after_utc
                found.append(f"The leaf for {host} expires on {end:%Y-%m-%d}: make new ones with `runcap ca sign`.")
        return found

    def leaf(self, host: str, now: dt.datetime | None = None) -> Leaf:
        """Make a certificate for a vendor's host; with an offline root, read the one that was made for it.

        Raises:
            AuthorityError: the root may not sign for this host, or has no usable leaf for it.
        """
        if host not in self.hosts:
            permitted = ", ".join(self.hosts) or "no name"
            raise AuthorityError(
                f"The root {self.name} may not sign for {host}, only for {permitted}: "
                f"move {self.folder} away; the next start makes a new root, which agents then have to trust."
            )
        now = now or _now()
        if self._key is None:
            return self._ready_made(host, now)
        return self._issue(host, now, LEAF_LIFE)

    def write_leaves(self, folder: Path) -> None:
        """Make leaves of 90 days into a folder that, without a root key, serves as a host's ``ca`` folder.

        Raises:
            AuthorityError: the root's key is not here.
        """
        if self._key is None:
            raise AuthorityError(f"{self.folder} holds no root key to make leaves with.")
        leaves = prepare(prepare(folder) / LEAVES)
        write_file(folder / CERTIFICATE, self.certificate_pem, mode=0o644)
        for host in self.hosts:
            leaf = self._issue(host, _now(), OFFLINE_LEAF_LIFE)
            # One file, so that a certificate is never read with the key of another.
            write_file(leaves / f"{host}.pem", leaf.key_pem + leaf.chain_pem)

    def _issue(self, host: str, now: dt.datetime, life: dt.timedelta) -> Leaf:
        assert self._key is not None
        certificate, key = new_leaf(host, self.certificate, self._key, now=now, life=life)
        return Leaf(certificate, key, pem_of(certificate) + pem_of(self.certificate))

    def _ready_made(self, host: str, now: dt.datetime) -> Leaf:
        path = self.folder / LEAVES / f"{host}.pem"
        try:
            content = read_private(path)
        except FileNotFoundError:
            raise AuthorityError(f"The root's key is not here, and there is no leaf {path} for {host}.") from None
        key = parse_key(content, path)
        certificate = parse_all(content, path)[0]
        check_leaf(certificate, key, self.certificate, path)
        if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
            raise AuthorityError(f"{path} has expired: make new leaves where the root's key is.")
        return Leaf(certificate, key, pem_of(certificate) + pem_of(self.certificate))


class LeafCache:
    """The leaves of one process: made at first use, and made anew before they expire."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._leaves: dict[str, Leaf] = {}

    def get(self, host: str, now: dt.datetime | None = None) -> Leaf:
        """The leaf for a host.

        Raises:
            AuthorityError: as `Authority.leaf`.
        """
        now = now or _now()
        leaf = self._leaves.get(host)
        if leaf is None or now >= leaf.renew_at:
            leaf = self._leaves[host] = self._authority.leaf(host, now)
        return leaf


def fingerprint_of(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate, as tools print it."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
