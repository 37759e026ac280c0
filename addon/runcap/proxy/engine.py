"""mitmproxy without what this job does not need: one process, two sockets, our addon.

mitmproxy's `Master` brings its command language, its flow filters and forty addons with it. What its connection
handling really asks for is small: options, something that runs hooks, something that keeps the list of connections.
`Engine` is those three, so a worker starts in a fraction of the time and of the memory, no other addon can stand
between the agent and the guard, and the handlers of a hook are looked up once.
"""

import asyncio
import logging
import math
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from mitmproxy import ctx, hooks, options
from mitmproxy.addonmanager import Loader
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler
from mitmproxy.proxy.mode_specs import ProxyMode

from runcap.addon import Runcap
from runcap.decision import Code, Deny
from runcap.entrance.limits import DEFAULT_LIMITS, LINGER_SECONDS, Limits
from runcap.proxy.crowd import Crowd
from runcap.reply import encode, plain_refusal

logger = logging.getLogger(__name__)

_BACKLOG = 2048
_OVERLOADED = encode(
    plain_refusal(Deny(Code.OVERLOADED, "Too many connections are open; nothing was sent. Try again.")), last=True
)
_MAX_REFUSING = 64
"""Connections beyond the limit that are told so at once; the others are closed without a word."""

_PROXY_MODE = "regular@127.0.0.1:0"
_GATEWAY_MODE = "reverse:http://runcap.invalid@127.0.0.1:0"
"""The modes only choose the first layer; the sockets are ours, and the upstream that is named is never dialled."""

_Handler = Callable[..., Awaitable[None] | None]


class _Hooks:
    """Runs hooks on one addon; mitmproxy calls this its addon manager."""

    def __init__(self, addon: Runcap) -> None:
        self._addon = addon
        self._handlers: dict[str, _Handler | None] = {}

    async def handle_lifecycle(self, event: hooks.Hook) -> None:
        """Run one hook; an exception is logged, and what the hook should have decided stays undecided."""
        name = event.name
        if name in self._handlers:
            handler = self._handlers[name]
        else:
            handler = self._handlers[name] = getattr(self._addon, name, None)
        if handler is None:
            return
        try:
            result = handler(*event.args())
            if result is not None:
                await result
        except (Exception, asyncio.CancelledError):
            # A hook that is cancelled must not end its connection's task with it: the client would wait for ever.
            logger.exception("the hook %s failed", name)


class Engine:
    """The proxy of one worker, in the place of mitmproxy's master."""

    def __init__(self, addon: Runcap, limits: Limits = DEFAULT_LIMITS) -> None:
        """Load the addon, which puts the safe options into force.

        Args:
            addon: decides on everything that comes in.
            limits: how many connections may be open at once.

        Raises:
            mitmproxy.exceptions.OptionsError: if an option is unsafe.
        """
        self.options = options.Options()
        self.options.add_option("connection_strategy", str, "lazy", "Never dial before a layer asks for it.")
        self.addons = _Hooks(addon)
        self.connections: dict[tuple[Any, ...] | str, ProxyConnectionHandler] = {}
        ctx.options = self.options  # mitmproxy's own way to reach them
        ctx.master = self  # type: ignore[assignment]
        addon.load(Loader(self))
        addon.configure(set(self.options.keys()))
        self._servers: list[asyncio.Server] = []
        self._limits = limits
        self._refusing = 0
        self.crowd = addon.crowd = Crowd(limits)

    async def listen(self, proxy: socket.socket, gateway: socket.socket | None) -> None:
        """Accept on sockets that are bound already."""
        for mode, sock in ((_PROXY_MODE, proxy), (_GATEWAY_MODE, gateway)):
            if sock is not None:
                serve = partial(self._serve, ProxyMode.parse(mode))
                server = await asyncio.start_server(serve, sock=sock, backlog=_BACKLOG)
                self._servers.append(server)

    def close(self) -> None:
        """Accept no more; the connections that are open stay open."""
        for server in self._servers:
            server.close()

    @contextmanager
    def register_connection(
        self, connection_id: tuple[Any, ...] | str, handler: ProxyConnectionHandler
    ) -> Iterator[None]:
        """Keep a connection in the list while it lasts."""
        self.connections[connection_id] = handler
        try:
            yield
        finally:
            del self.connections[connection_id]

    async def _serve(self, mode: ProxyMode, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one connection, as mitmproxy's own servers would, if there is room for it."""
        # Its first layer is asked for at once: a client's time begins when it connects, not with its first byte.
        handler = ProxyConnectionHandler(ctx.master, reader, writer, self.options, mode)
        handler.timeout_watchdog.timeout = math.ceil(self._limits.idle_seconds)
        client = handler.client
        address = client.peername[0] if client.peername else ""
        if not self.crowd.enter(client.id, address, writer.transport.abort):
            await self._refuse(reader, writer)
            return
        try:
            with self.register_connection(client.id, handler):
                await handler.handle_client()
        finally:
            self.crowd.leave(client.id)

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Say 503, and read what the client is sending, lest it is reset before it has read that."""
        if self._refusing < _MAX_REFUSING:
            self._refusing += 1
            try:
                writer.write(_OVERLOADED)
                writer.write_eof()
                async with asyncio.timeout(LINGER_SECONDS):
                    await reader.read(65536)
            except (OSError, TimeoutError):
                logger.debug("a refused connection had gone already")
            finally:
                self._refusing -= 1
        writer.close()


def bind(host: str, port: int) -> socket.socket:
    """A TCP socket on an address that several workers may share; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    sock.setblocking(False)
    return sock
