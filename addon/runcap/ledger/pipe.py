"""One connection for all calls of a process: scripts are written as they come and answered in order.

redis-py takes a connection from a pool for each command and spends 50 to 100 µs of CPU on it, which for a call that
needs two would be most of what a worker does. A worker's scripts never block the server, so they can share one
connection: what is asked while an answer is awaited simply follows it on the wire, and costs hiredis a few µs.

A command that nobody waits for may be patient: it goes with the next ones, or after a moment. A server that must have
each batch on its disk before it answers then has to write half as often. One that waits alone even lets the next
command go ahead of it: whoever makes one call after another does not wait for the end of the last.

Nothing is sent twice. When the connection is lost, everything that waits on it fails, and the next command opens
another. A server that hangs is found by the oldest command that waits too long.
"""

import asyncio
import select
import ssl
import time
from collections import deque
from typing import Any

import hiredis
from redis.asyncio.connection import parse_url
from redis.exceptions import AuthenticationError, NoScriptError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from runcap.ledger.places import Place

type _Answer = asyncio.Future[Any]
type _Asked = tuple[bytes, _Answer, float]
"""A command, its answer to be, and when it was asked."""

_PATIENCE_SECONDS = 0.002
"""How long a patient command waits for company: an agent's next call comes sooner. The loop's timers are whole
milliseconds, and up to one early."""


class Pipe:
    """A lazily opened, reopened and shared connection to one server."""

    def __init__(self, url: str, timeout_seconds: float, place: Place | None = None) -> None:
        """Take ``redis://``, ``rediss://`` or ``unix://`` with redis-py's URL options; nothing is opened yet.

        Args:
            url: the server's.
            timeout_seconds: the most that connecting, and one answer, may take.
            place: where the server is, if not always at the URL's own host.
        """
        self._place = place
        self._options: dict[str, Any] = dict(parse_url(url))
        self._timeout_seconds = timeout_seconds
        self._wire: _Wire | None = None
        self._connecting = asyncio.Lock()

    async def execute(self, *parts: str | int, patient: bool = False) -> Any:
        """Send one command and return its decoded reply.

        Args:
            parts: the command.
            patient: it may wait for others to be sent with it, and one other may overtake it. But for that the order
                of all commands stays.

        Raises:
            redis.exceptions.RedisError: it could not be sent, its answer was lost, or it is an error.
            OSError: the server cannot be reached.
        """
        wire = self._wire
        if wire is None or not wire.usable():
            wire = await self._connected()
        reply = await wire.send(_packed(*parts), patient=patient)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def close(self) -> None:
        """Close the connection; what still waits fails."""
        if self._wire is not None:
            self._wire.drop(RedisConnectionError("the connection was closed"))

    async def _connected(self) -> "_Wire":
        async with self._connecting:
            if self._wire is None or not self._wire.usable():
                self._wire = await self._connect()
            return self._wire

    async def _connect(self) -> "_Wire":
        loop, options = asyncio.get_running_loop(), self._options
        try:
            async with asyncio.timeout(self._timeout_seconds):
                if "path" in options:
                    _, wire = await loop.create_unix_connection(lambda: _Wire(self._timeout_seconds), options["path"])
                else:
                    host, port = options.get("host", "localhost"), options.get("port", 6379)
                    if self._place is not None:
                        host, port = await self._place.locate()
                    _, wire = await loop.create_connection(
                        lambda: _Wire(self._timeout_seconds), host, port, ssl=_tls(options)
                    )
                try:
                    await self._introduce(wire)
                except BaseException:
                    wire.drop(RedisConnectionError("the server did not let us in"))
                    raise
        except TimeoutError as error:
            raise RedisTimeoutError("the server did not let us in in time") from error
        return wire

    async def _introduce(self, wire: "_Wire") -> None:
        """AUTH and SELECT, where the URL asks for them."""
        if password := self._options.get("password"):
            user = [name] if (name := self._options.get("username")) else []
            reply = await wire.send(_packed("AUTH", *user, password))
            if isinstance(reply, Exception):
                raise AuthenticationError(str(reply))
        if database := self._options.get("db"):
            reply = await wire.send(_packed("SELECT", database))
            if isinstance(reply, Exception):
                raise reply


class _Wire(asyncio.Protocol):
    """One connection: answers come in the order of the commands."""

    def __init__(self, timeout_seconds: float) -> None:
        self._lost = False
        self._timeout_seconds = timeout_seconds
        self._reader = hiredis.Reader(encoding="utf-8", errors="backslashreplace", replyError=_reply_error)
        self._patient: list[_Asked] = []
        """Not written yet, and in no hurry."""
        self._unsent: list[_Asked] = []
        self._waiting: deque[_Asked] = deque()
        """Written, and not answered yet."""
        self._transport: asyncio.Transport | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._planned: asyncio.Handle | None = None
        """Writes what is unsent, at the end of this turn of the loop if hurried, else when patience is over."""
        self._hurried = False
        self._idle_poll: select.poll | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports do not inherit from asyncio's
        if transport.get_extra_info("ssl_object") is None:
            self._idle_poll = select.poll()
            self._idle_poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def usable(self) -> bool:
        """Whether a command may be written. A server that is gone is noticed here, not by losing a command to it.

        The loop tells of an end of file only when it comes round to it; while nothing is awaited, a socket that can
        be read means just that. (With TLS it may mean other things, so there the loop is relied on.)
        """
        if not self._lost and self._idle() and self._idle_poll is not None and self._idle_poll.poll(0):
            self.drop(RedisConnectionError("the connection to the ledger was lost"))
        return not self._lost

    def send(self, command: bytes, *, patient: bool = False) -> _Answer:
        """Write a command; its answer, or an error reply as an exception object, comes by the future."""
        loop = asyncio.get_running_loop()
        answer: _Answer = loop.create_future()
        if self._lost or self._transport is None:
            answer.set_exception(RedisConnectionError("the connection to the ledger was lost"))
            return answer
        asked = (command, answer, time.monotonic())
        if patient:
            self._patient.append(asked)
            self._planned = self._planned or loop.call_later(_PATIENCE_SECONDS, self._write_all)
        elif not self._idle():  # what else is asked in this turn of the loop goes with it
            self._unsent.append(asked)
            self._hurry()
        elif len(self._patient) == 1:
            self._write([asked])
        else:
            self._unsent.append(asked)
            self._write_all()
        if self._watch is None:
            self._watch = loop.call_later(self._timeout_seconds, self._look)
        return answer

    def _idle(self) -> bool:
        """Nothing waits for an answer, or is about to."""
        return not self._waiting and not self._unsent

    def _hurry(self) -> None:
        """Write all at the end of this turn of the loop."""
        if not self._hurried:
            self._cancel_planned()
            self._planned, self._hurried = asyncio.get_running_loop().call_soon(self._write_all), True

    def _cancel_planned(self) -> None:
        if self._planned is not None:
            self._planned.cancel()
        self._planned, self._hurried = None, False

    def _write_all(self) -> None:
        self._cancel_planned()
        self._write([*self._patient, *self._unsent])
        self._patient.clear()
        self._unsent.clear()

    def _write(self, asked: list[_Asked]) -> None:
        self._waiting.extend(asked)
        if self._transport is not None:
            self._transport.write(b"".join([command for command, _, _ in asked]))

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                _, answer, _ = self._waiting.popleft()
                if not answer.done():  # whoever asked may have been cancelled
                    answer.set_result(reply)
        except (hiredis.ProtocolError, IndexError) as error:
            self.drop(RedisConnectionError(f"the server does not speak the protocol: {error}"))
        if self._patient:
            self._hurry()

    def connection_lost(self, error: Exception | None) -> None:
        self.drop(RedisConnectionError(f"the connection to the ledger was lost: {error or 'closed by the server'}"))

    def drop(self, error: Exception) -> None:
        """End the connection; nobody knows whether what waits was done."""
        self._lost = True
        self._cancel_planned()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._transport is not None:
            self._transport.abort()
        for _, answer, _ in (*self._waiting, *self._patient, *self._unsent):
            if not answer.done():
                answer.set_exception(error)
        for asked in (self._waiting, self._patient, self._unsent):
            asked.clear()

    def _look(self) -> None:
        """Drop the connection if the oldest command has waited too long."""
        self._watch = None
        if not self._waiting:
            return
        left = self._waiting[0][2] + self._timeout_seconds - time.monotonic()
        if left <= 0:
            self.drop(RedisTimeoutError(f"the server did not answer in {self._timeout_seconds:g} s"))
        else:
            self._watch = asyncio.get_running_loop().call_later(left, self._look)


def _packed(*parts: str | int) -> bytes:
    packed: bytes = hiredis.pack_command(parts)  # type: ignore[arg-type]  # its stub knows tuples of one item only
    return packed


def _reply_error(message: str) -> ResponseError:
    return NoScriptError(message) if message.startswith("NOSCRIPT") else ResponseError(message)


def _tls(options: dict[str, Any]) -> ssl.SSLContext | None:
    """The TLS settings of redis-py's URL options, for ``rediss://``."""
    connection_class = options.get("connection_class")
    if connection_class is None or "SSL" not in connection_class.__name__:
        return None
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
    if options.get("ssl_cert_reqs") == "none":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    elif str(options.get("ssl_check_hostname", "true")).lower() in ("false", "0", "no"):
        context.check_hostname = False
    if certificate := options.get("ssl_certfile"):
        context.load_cert_chain(certificate, options.get("ssl_keyfile"))
    return context
