"""The client to the vendors: the only thing in runcap that can reach one.

Host, SNI and the name that is verified are pinned to the vendor's own by its `Route`; where the vendor's `upstream` is
configured to be elsewhere, only the address that is dialled changes. No redirect is followed, no cookie kept, no proxy
variable read.

Nothing is sent twice, with one exception. A vendor closes connections that are idle; when that crosses with a call, the
call dies with the connection before any byte of an answer, and nobody can tell whether the vendor has seen it. If it
can do no harm twice (a read; a write under an idempotency key, which Stripe and Resend answer from memory the second
time: docs.stripe.com/api/idempotent_requests, resend.com/docs/dashboard/emails/idempotency-keys, read 2026-11-24), it
is sent once more, on a new connection, since others in the pool may have been closed as well. A write to Twilio, which
has no such keys, never is.
"""

import asyncio
from types import TracebackType
from typing import Self

from runcap.upstream.answer import BadAnswer
from runcap.upstream.connection import ConnectionEnded
from runcap.upstream.pool import CannotConnect, Pool, Route
from runcap.upstream.request import encode_request
from runcap.vendors.base import Response, Upstream

CONNECT_SECONDS = 10.0


class NotSent(Exception):
    """The call never left us: no connection, or no trustworthy one. It certainly cost nothing."""


class NoAnswer(Exception):
    """The call left us and no whole answer came back. Nobody can tell what it cost."""


class Forwarder:
    """Sends calls and lookups to the vendors over pooled, verified connections."""

    def __init__(
        self,
        routes: dict[str, Route],
        *,
        timeout_seconds: float,
        connect_seconds: float = CONNECT_SECONDS,
        first_byte_seconds: float | None = None,
    ) -> None:
        """Prepare for these vendors, by name.

        Args:
            routes: where each vendor is.
            timeout_seconds: bounds a whole call.
            connect_seconds: bounds making a new connection, TLS included.
            first_byte_seconds: bounds the vendor's silence, before the first byte of its answer and within it.
        """
        self._routes = routes
        self._timeout_seconds = timeout_seconds
        self._connect_seconds = connect_seconds
        self._silence_seconds = first_byte_seconds or timeout_seconds
        self._pools: dict[str, Pool] = {}

    async def __aenter__(self) -> Self:
        """Make the pools; connections open when the first call needs one."""
        self._pools = {name: Pool(route, self._connect_seconds) for name, route in self._routes.items()}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            await pool.close()

    async def send(self, vendor: str, upstream: Upstream, signature: tuple[tuple[str, str], ...]) -> Response:
        """Send one call and read its whole answer.

        Raises:
            NotSent: it certainly did not reach the vendor.
            NoAnswer: it may have.
        """
        pool, host = self._pools[vendor], self._routes[vendor].host
        deadline = asyncio.get_running_loop().time() + self._timeout_seconds
        try:
            request = encode_request(host, upstream, signature)
        except ValueError as error:
            raise NotSent(f"the call cannot be sent to {host}: {error}") from error
        try:
            try:
                return await self._attempt(pool, request, deadline)
            except ConnectionEnded as error:
                if not (error.stale and _harmless_twice(upstream, signature)):
                    raise
            return await self._second_attempt(pool, request, deadline)
        except CannotConnect as error:
            raise NotSent(f"no connection to {host}: {error}") from error
        except (ConnectionEnded, BadAnswer, TimeoutError) as error:
            raise NoAnswer(f"no whole answer from {host}: {error}") from error

    async def _attempt(self, pool: Pool, request: bytes, deadline: float, *, fresh: bool = False) -> Response:
        connection = await pool.take(deadline, fresh=fresh)
        try:
            return await connection.exchange(request, deadline=deadline, silence_seconds=self._silence_seconds)
        finally:
            pool.give_back(connection)

    async def _second_attempt(self, pool: Pool, request: bytes, deadline: float) -> Response:
        try:
            return await self._attempt(pool, request, deadline, fresh=True)
        except CannotConnect as error:
            raise NoAnswer(f"no answer, and no second connection: {error}") from error  # the first may have arrived


def _harmless_twice(upstream: Upstream, signature: tuple[tuple[str, str], ...]) -> bool:
    """A read, or a write that the vendor knows again: the key is in what the vendor's own `sign` has added."""
    return upstream.method == "GET" or any(name == "idempotency-key" for name, _ in signature)
