"""The pooled client to the vendors: the only thing in runcap that can reach one.

The URL's host is always the vendor's own, so that Host, SNI and the name that is verified are pinned by aiohttp from
one value; where the vendor's `upstream` is configured to be elsewhere, only the address that is dialled changes.
No redirect is followed, no cookie kept, no proxy variable read.

Nothing is sent twice, with one exception. A vendor closes connections that are idle; when that crosses with a call, the
call dies with the connection before any byte of an answer, and nobody can tell whether the vendor has seen it. If it
can do no harm twice (a read; a write under an idempotency key, which Stripe and Resend answer from memory the second
time: docs.stripe.com/api/idempotent_requests, resend.com/docs/dashboard/emails/idempotency-keys, read 2026-11-24), it
is sent once more, on a new connection. A write to Twilio, which has no such keys, never is.
"""

import asyncio
import socket
import ssl
import time
import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from runcap.pki.pins import pin
from runcap.vendors.base import Response, Upstream

MAX_RESPONSE_BYTES = 16 * 1024 * 1024
CONNECT_SECONDS = 10.0
_POOL_LIMIT = 256
"""Connections to one vendor from one worker; Stripe's own limit is about 100 calls a second for an account."""
_KEEPALIVE_SECONDS = 20.0
"""Shorter than the vendors' own (Stripe closes idle connections after a minute or more), so that a pooled connection
is rarely one that the vendor is about to close."""


class NotSent(Exception):
    """The call never left us: no connection, or no trustworthy one. It certainly cost nothing."""


class NoAnswer(Exception):
    """The call left us and no whole answer came back. Nobody can tell what it cost."""


class _Dropped(Exception):
    """The connection ended before any byte of an answer."""


@dataclass(slots=True)
class _Attempt:
    """What is learnt of one attempt while it is made."""

    began: float = field(default_factory=time.monotonic)
    reused: bool = False
    """It went over a connection that had been idle in the pool."""


_attempt: ContextVar[_Attempt] = ContextVar("attempt")
"""The one that is being made, for the connector to note in it what it alone knows."""


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


class _DialElsewhere(AbstractResolver):
    """Resolves the vendor's name to the configured upstream's address and port."""

    def __init__(self, route: Route) -> None:
        self._route = route

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,
    ) -> list[ResolveResult]:
        del port
        loop = asyncio.get_running_loop()
        infos = await loop.getaddrinfo(
            self._route.dial_host, self._route.dial_port, family=family, type=socket.SOCK_STREAM
        )
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=int(address[1]), family=family_, proto=proto, flags=0
            )
            for family_, _, proto, _, address in infos
        ]

    async def close(self) -> None:
        pass


class _NotingConnector(aiohttp.TCPConnector):
    """Notes whether an attempt's connection was idle in the pool. aiohttp's tracing would, for a tenth of a call."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._used: weakref.WeakSet[Any] = weakref.WeakSet()

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 (aiohttp's)
    ) -> aiohttp.connector.Connection:
        connection = await super().connect(req, traces, timeout)
        _attempt.get().reused = connection.protocol in self._used
        self._used.add(connection.protocol)
        return connection


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
        # A bound on silence that the whole call's bound comes before would only cost a timer for each read.
        silence = first_byte_seconds if first_byte_seconds and first_byte_seconds < timeout_seconds else None
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=connect_seconds, sock_read=silence)
        self._timeout_seconds = timeout_seconds
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._fresh: dict[str, aiohttp.ClientSession] = {}
        """For second attempts: each on a new connection, since others in the pool may have been closed as well."""

    async def __aenter__(self) -> Self:
        """Make the sessions; connections open when the first call needs one."""
        for name, route in self._routes.items():
            context, resolver = _client_context(route), _DialElsewhere(route)
            self._sessions[name] = self._session(
                _NotingConnector(
                    ssl=context, resolver=resolver, limit=_POOL_LIMIT, keepalive_timeout=_KEEPALIVE_SECONDS
                )
            )
            self._fresh[name] = self._session(
                aiohttp.TCPConnector(ssl=context, resolver=resolver, limit=_POOL_LIMIT, force_close=True)
            )
        return self

    def _session(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            skip_auto_headers=("Content-Type", "User-Agent", "Accept"),
            middlewares=(_never_again,),
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        for session in (*self._sessions.values(), *self._fresh.values()):
            await session.close()

    async def send(self, vendor: str, upstream: Upstream, signature: tuple[tuple[str, str], ...]) -> Response:
        """Send one call and read its whole answer.

        Raises:
            NotSent: it certainly did not reach the vendor.
            NoAnswer: it may have.
        """
        host = self._routes[vendor].host
        attempt = _Attempt()
        try:
            try:
                return await self._send(self._sessions[vendor], host, upstream, signature, attempt)
            except _Dropped:
                if not (attempt.reused and _harmless_twice(upstream, signature)):
                    raise
            async with asyncio.timeout(self._timeout_seconds - (time.monotonic() - attempt.began)):
                return await self._send(self._fresh[vendor], host, upstream, signature, _Attempt())
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            if attempt.reused:  # the second attempt: the first may have arrived
                raise NoAnswer(f"no connection to {host}: {error}") from error
            raise NotSent(f"no connection to {host}: {error}") from error
        except _Dropped as error:
            raise NoAnswer(f"no answer from {host}: the connection ended") from error
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise NoAnswer(f"no whole answer from {host}: {type(error).__name__}") from error

    async def _send(
        self,
        session: aiohttp.ClientSession,
        host: str,
        upstream: Upstream,
        signature: tuple[tuple[str, str], ...],
        attempt: _Attempt,
    ) -> Response:
        _attempt.set(attempt)
        url = f"https://{host}{upstream.path}" + (f"?{upstream.query}" if upstream.query else "")
        async with session.request(
            upstream.method,
            URL(url, encoded=True),
            headers=[*upstream.headers, *signature, ("accept-encoding", "identity")],
            data=upstream.body or None,
            allow_redirects=False,
        ) as answer:
            if answer.status < 200:
                answer.close()
                raise NoAnswer(f"{host} wants to switch protocols")
            body = await _read(answer)
            return Response(
                status=answer.status,
                headers=tuple(
                    [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in answer.raw_headers]
                ),
                body=body,
            )


async def _never_again(
    request: aiohttp.ClientRequest, handler: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]]
) -> aiohttp.ClientResponse:
    """Keep aiohttp from its own second attempt, which it makes by the method alone: PUT and DELETE at any vendor."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except aiohttp.ServerDisconnectedError as error:
        if not isinstance(error.message, str):
            raise NoAnswer("half a head of an answer") from error
        raise _Dropped from error
    except aiohttp.ClientOSError as error:
        raise _Dropped from error


def _harmless_twice(upstream: Upstream, signature: tuple[tuple[str, str], ...]) -> bool:
    """A read, or a write that the vendor knows again: the key is in what the vendor's own `sign` has added."""
    return upstream.method == "GET" or any(name == "idempotency-key" for name, _ in signature)


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """The whole decoded body, bounded."""
    declared = answer.content_length
    if declared is not None and declared <= MAX_RESPONSE_BYTES and "content-encoding" not in answer.headers:
        return await answer.read()
    chunks: list[bytes] = []
    size = 0
    async for chunk in answer.content.iter_chunked(64 * 1024):
        size += len(chunk)
        if size > MAX_RESPONSE_BYTES:
            raise NoAnswer(f"the answer is larger than {MAX_RESPONSE_BYTES} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _client_context(route: Route) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(route.ca_file) if route.ca_file else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if route.pins:
        pin(context, route.pins)
    return context
