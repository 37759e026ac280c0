"""Where the ledger's server is, if that can change: behind Sentinels, or in a cluster.

All keys of a namespace are in one slot, so also in a cluster the ledger is one server at a time, and all that is needed
is to ask for it anew with every new connection. A connection never follows a redirection: it is closed, and the command
goes over a new one, since a server that redirects has not run it.

- ``redis+sentinel://host:port,host:port/service``: the Sentinels are asked for the service's primary, the first one
  that answers is believed. A password in the URL is the server's own; ``?sentinel_password=`` is the Sentinels'.
- ``redis+cluster://host:port,host:port``: any of the nodes is asked which of them has the namespace's slot.

``rediss+sentinel`` and ``rediss+cluster`` speak TLS with the server (and in a cluster also to ask).
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from redis.asyncio import Connection, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MovedError, ReadOnlyError, RedisError

logger = logging.getLogger(__name__)

SCHEMES = ("redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")

type Address = tuple[str, int]
_DEFAULT_PORTS = {"sentinel": 26379, "cluster": 6379}


@dataclass(slots=True)
class Place:
    """Finds the server; remembers where it was last found."""

    url: str
    """The server's own URL, with a host that stands for whichever it is."""
    _ask: Callable[[Address], Awaitable[Address | None]]
    _seeds: list[Address]
    found: Address | None = field(default=None)
    moves: int = 0
    """How often it was found elsewhere than before."""

    async def locate(self) -> Address:
        """Ask for it.

        Raises:
            redis.exceptions.ConnectionError: nobody who could know answers, or none knows.
        """
        for seed in self._seeds:
            try:
                address = await self._ask(seed)
            except (RedisError, OSError) as error:
                logger.debug("%s:%d does not say where the ledger is: %s", *seed, error)
                continue
            if address is not None:
                self.moves += self.found not in (None, address)
                self.found = address
                return address
        raise RedisConnectionError("nobody knows where the ledger's server is")


def find_place(url: str, prefix: str, timeout_seconds: float) -> Place | None:
    """Read a URL of Sentinels or of a cluster; None: it is one server's.

    Args:
        url: see the module.
        prefix: of the ledger's keys; says which node of a cluster.
        timeout_seconds: for each one who is asked.

    Raises:
        ValueError: a host, or the service, is missing.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        return None
    server_scheme, _, kind = parts.scheme.partition("+")
    credentials, at, hosts = parts.netloc.rpartition("@")
    seeds = [_address(host, _DEFAULT_PORTS[kind]) for host in hosts.split(",")]
    query = dict(parse_qsl(parts.query))
    options: dict[str, Any] = {"socket_timeout": timeout_seconds, "socket_connect_timeout": timeout_seconds}
    if kind == "sentinel":
        if not (service := parts.path.strip("/")):
            raise ValueError(f"a URL of Sentinels ends with the service's name: {parts.scheme}://HOST:PORT/SERVICE")
        options["password"] = query.pop("sentinel_password", None)
        ask = _asking_sentinels(service, options)
    else:
        ask = _asking_nodes(key_slot(prefix.encode()), _node_options(parts, server_scheme, options))
    server_url = f"{server_scheme}://{credentials}{at}ledger:6379/?{urlencode(query)}"
    return Place(server_url, ask, seeds)


def is_elsewhere(error: Exception) -> bool:
    """Whether the server has not run a command since it is not the one for it, or not any more."""
    return isinstance(error, MovedError | ReadOnlyError) or str(error).startswith(("MOVED ", "READONLY "))


class _Located:
    """A connection that asks for its server whenever it connects."""

    def __init__(self, *, place: Place, **options: Any) -> None:
        super().__init__(**options)
        self._place = place

    async def connect(self) -> None:
        if not self.is_connected:  # type: ignore[attr-defined]
            self.host, self.port = await self._place.locate()
        await super().connect()  # type: ignore[misc]


class LocatedConnection(_Located, Connection):
    """For the pool."""


class LocatedTLSConnection(_Located, SSLConnection):
    """For the pool, with TLS."""


def _asking_sentinels(service: str, options: dict[str, Any]) -> Callable[[Address], Awaitable[Address | None]]:
    async def ask(seed: Address) -> Address | None:
        async with _asking(seed, options) as client:
            found = await client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)  # type: ignore[no-untyped-call]
        return None if found is None else (str(found[0]), int(found[1]))

    return ask


def _asking_nodes(slot: int, options: dict[str, Any]) -> Callable[[Address], Awaitable[Address | None]]:
    async def ask(seed: Address) -> Address | None:
        async with _asking(seed, options) as client:
            ranges = await client.execute_command("CLUSTER", "SLOTS")  # type: ignore[no-untyped-call]
        for first, last, primary, *_ in ranges:
            if first <= slot <= last:
                return str(primary[0]) or seed[0], int(primary[1])
        return None

    return ask


def _asking(seed: Address, options: dict[str, Any]) -> aclosing[Redis]:
    client = Redis(
        host=seed[0], port=seed[1], decode_responses=True, protocol=2, retry=Retry(NoBackoff(), 0), **options
    )
    return cast("aclosing[Redis]", aclosing(client))


def _node_options(parts: SplitResult, scheme: str, options: dict[str, Any]) -> dict[str, Any]:
    """A node is asked in the way in which the ledger itself is spoken to."""
    server = Redis.from_url(f"{scheme}://{parts.netloc.rpartition('@')[0]}@node/?{parts.query}")
    known = server.connection_pool.connection_kwargs
    names = (
        "username",
        "password",
        "ssl_ca_certs",
        "ssl_cert_reqs",
        "ssl_certfile",
        "ssl_keyfile",
        "ssl_check_hostname",
    )
    return options | {name: known[name] for name in names if name in known} | {"ssl": scheme == "rediss"}


def _address(text: str, default_port: int) -> Address:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a URL of Sentinels or of a cluster lists hosts: HOST:PORT,HOST:PORT")
    return parts.hostname, parts.port or default_port
