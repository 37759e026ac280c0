"""Where a CONNECT may go: a vendor, the open internet, or nowhere.

A vendor's host at port 443 is intercepted. Other hosts are tunnelled untouched if the policy says so, but only to
port 443 of a public address; the address that was checked is the one that is dialled, so a name that resolves
differently the second time gains nothing.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from runcap.decision import Code, refuse
from runcap.vendors.base import Vendor

_AUTHORITY = re.compile(r"(?P<host>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):(?P<port>[1-9][0-9]{0,4})", re.ASCII)
_RESOLVE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Intercept:
    """The tunnel is a vendor's: our TLS, our layer."""

    vendor: Vendor


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The tunnel leads elsewhere: bytes are relayed untouched to this address."""

    address: tuple[str, int]


class Destinations:
    """Decides on each CONNECT."""

    def __init__(
        self,
        vendors: Mapping[str, Vendor],
        other_hosts: Literal["tunnel", "deny"],
        *,
        allow_hosts: Collection[str] = (),
        deny_hosts: Collection[str] = (),
    ) -> None:
        """Take the vendors by host, and the policy for all other hosts.

        Args:
            vendors: by their host.
            other_hosts: what happens to hosts that no list names.
            allow_hosts: patterns of hosts that are tunnelled in any case but the next: ``example.com``, or
                ``*.example.com`` for all below it.
            deny_hosts: patterns of hosts that never are.
        """
        self._vendors = vendors
        self._other_hosts = other_hosts
        self._allow_hosts = frozenset(allow_hosts)
        self._deny_hosts = frozenset(deny_hosts)

    async def decide(self, authority: str) -> Intercept | Tunnel:
        """Decide on ``host:port`` as it stands in the CONNECT's target.

        Raises:
            Refused: ``host_denied``, with the reason.
        """
        match = _AUTHORITY.fullmatch(authority)
        if match is None:
            raise refuse(Code.HOST_DENIED, f"{authority[:300]!r} is not host:port.")
        host, port = match["host"], int(match["port"])
        if host in self._vendors:
            if port != 443:
                raise refuse(Code.HOST_DENIED, f"{host} is reached at port 443 only.")
            return Intercept(self._vendors[host])
        self._check_relation(host)
        self._check_policy(host)
        if port != 443:
            raise refuse(Code.HOST_DENIED, f"Other hosts are tunnelled at port 443 only, not {port}.")
        return Tunnel((await _public_address(host.strip("[]"), port), port))

    def check_name(self, name: str) -> None:
        """Check the server name of a TLS handshake inside a tunnel to another host, as if it were the CONNECT's.

        Raises:
            Refused: ``host_denied``: it is a vendor's, or one that the policy does not let through.
        """
        if _plain(name) in self._vendors:
            raise refuse(Code.HOST_DENIED, f"The TLS handshake names {name} in a tunnel to another host.")
        self._check_relation(name)
        self._check_policy(name)

    def _check_policy(self, host: str) -> None:
        names = _patterns(_plain(host))
        if not self._deny_hosts.isdisjoint(names):
            raise refuse(Code.HOST_DENIED, f"{host} is denied by proxy.deny_hosts.")
        if self._other_hosts == "deny" and self._allow_hosts.isdisjoint(names):
            raise refuse(Code.HOST_DENIED, f"runcap forwards to {', '.join(self._vendors)} only; {host} is not one.")

    def _check_relation(self, host: str) -> None:
        """Refuse what is nearly a vendor's host: other spellings, and its other hosts, whose calls have no price."""
        plain = _plain(host)
        for vendor in self._vendors.values():
            if plain == vendor.host:
                raise refuse(Code.HOST_DENIED, f"Write the host as {vendor.host}.")
            if plain == vendor.sibling_domain or plain.endswith("." + vendor.sibling_domain):
                raise refuse(
                    Code.HOST_DENIED,
                    f"{plain} belongs to {vendor.name}, and runcap prices calls to {vendor.host} only.",
                )


def _plain(host: str) -> str:
    return host.lower().rstrip(".")


def _patterns(host: str) -> list[str]:
    """Every pattern that a host could be listed by: itself, and ``*.`` with each domain above it."""
    labels = host.split(".")
    return [host, *("*." + ".".join(labels[start:]) for start in range(1, len(labels)))]


async def _public_address(host: str, port: int) -> str:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_RESOLVE_SECONDS):
            infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError) as error:
        raise refuse(Code.HOST_DENIED, f"{host} does not resolve.") from error
    addresses = [str(info[4][0]) for info in infos]
    return choose_public(host, addresses)


def choose_public(host: str, addresses: Collection[str]) -> str:
    """The first address, if every one is public: one private among them is how a rebinding name looks.

    Raises:
        Refused: ``host_denied``.
    """
    if not addresses or not all(is_public(address) for address in addresses):
        raise refuse(Code.HOST_DENIED, f"{host} resolves to an address that is not public.")
    return next(iter(addresses))


def is_public(text: str) -> bool:
    """Whether an address is out on the internet: not loopback, private, link-local, shared (100.64/10) or the like."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is not None:
            return is_public(str(inner))
        if address in ipaddress.ip_network("64:ff9b::/96"):
            return is_public(str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)))
    return address.is_global and not address.is_multicast and not address.is_reserved
