"""The connections to one vendor: made when they are needed, kept for the next call, never too many."""

import asyncio
import socket
import ssl
import weakref
from dataclasses import dataclass
from pathlib import Path

import aiohappyeyeballs

from runcap.pki.pins import pin
from runcap.upstream.connection import Connection

MAX_CALLS = 256
"""At once to one vendor from one worker; Stripe's own limit is about 100 calls a second for an account."""
KEEPALIVE_SECONDS = 20.0
"""Shorter than the vendors' own (Stripe closes idle connections after a minute or more), so that a pooled connection
is rarely one that the vendor is about to close."""
_CLOSE_SECONDS = 1.0
_NEXT_ADDRESS_SECONDS = 0.25
"""After which the next address of a name is tried beside the first (RFC 8305, section 5)."""


class CannotConnect(Exception):
    """No connection, or no trustworthy one, or none in time: nothing was sent."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where one vendor is reached."""

    host: str
    """The vendor's real name: Host header, SNI, and the name that the certificate must carry."""
    dial_host: str
    dial_port: int
    ca_file: Path | None = None
    """Trust these roots, and no others; None: the system's."""
    pins: tuple[bytes, ...] = ()
    """If not empty: one of these must be in the vendor's chain, see `runcap.pki.pins`."""


class Pool:
    """Verified connections to one vendor. What is taken must be given back, whatever became of it."""

    def __init__(self, route: Route, connect_seconds: float) -> None:
        """Prepare; `connect_seconds` bounds making a connection, TLS included."""
        self._route = route
        self._connect_seconds = connect_seconds
        self._context = _client_context(route)
        self._free = asyncio.Semaphore(MAX_CALLS)
        self._idle: list[Connection] = []
        """The one that was used last is at the end, and is used next: the others can grow old and be closed."""
        self._open: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._sweep: asyncio.TimerHandle | None = None

    async def take(self, deadline: float, *, fresh: bool = False) -> Connection:
        """A connection for one call; a fresh one has carried none.

        Raises:
            CannotConnect: also if none was free at the deadline, by the loop's clock.
        """
        try:
            if self._free.locked():
                async with asyncio.timeout_at(deadline):
                    await self._free.acquire()
            else:
                await self._free.acquire()
        except TimeoutError as error:
            raise CannotConnect(f"all {MAX_CALLS} connections were busy") from error
        connection = None if fresh else self._pooled()
        if connection is not None:
            return connection
        try:
            return await self._dial(deadline)
        except BaseException:
            self._free.release()
            raise

    def give_back(self, connection: Connection) -> None:
        """Keep it for the next call if it is good for one, else close it."""
        self._free.release()
        if not connection.usable:
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(KEEPALIVE_SECONDS, self._close_old)

    async def close(self) -> None:
        """Close all connections; a call that is under way on one fails."""
        if self._sweep is not None:
            self._sweep.cancel()
        self._idle.clear()
        connections = list(self._open)
        for connection in connections:
            connection.abort()
        if connections:
            await asyncio.wait([connection.lost for connection in connections], timeout=_CLOSE_SECONDS)

    def _pooled(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if _is_good(connection):
                return connection
            connection.abort()
        return None

    def _close_old(self) -> None:
        self._idle, idle = [], self._idle
        for connection in idle:
            if _is_good(connection):
                self._idle.append(connection)
            else:
                connection.abort()
        self._sweep = None
        if self._idle:
            next_old = self._idle[0].idle_since + KEEPALIVE_SECONDS
            self._sweep = asyncio.get_running_loop().call_at(next_old, self._close_old)

    async def _dial(self, deadline: float) -> Connection:
        loop, route = asyncio.get_running_loop(), self._route
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + self._connect_seconds)):
                addresses = await loop.getaddrinfo(route.dial_host, route.dial_port, type=socket.SOCK_STREAM)
                dialled = await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS)
                _, connection = await loop.create_connection(
                    Connection, sock=dialled, ssl=self._context, server_hostname=route.host
                )
        except TimeoutError as error:
            raise CannotConnect("it took too long") from error
        except (OSError, RuntimeError, UnicodeError) as error:  # uvloop has RuntimeErrors for some of the system's
            raise CannotConnect(str(error)) from error
        self._open.add(connection)
        return connection


def _is_good(connection: Connection) -> bool:
    """Whether an idle one can carry another call."""
    young = asyncio.get_running_loop().time() - connection.idle_since < KEEPALIVE_SECONDS
    return young and connection.usable


def _client_context(route: Route) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(route.ca_file) if route.ca_file else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if route.pins:
        pin(context, route.pins)
    return context
