"""mitmproxy without what this job does not need: one process, two sockets, our addon.

mitmproxy's `Master` brings its command language, its flow filters and forty addons with it. What its connection
handling really asks for is small: options, something that runs hooks, something that keeps the list of connections.
`Engine` is those three, so a worker starts in a fraction of the time and of the memory, no other addon can stand
between the agent and the guard, and the handlers of a hook are looked up once.
"""

import asyncio
import inspect
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mitmproxy import ctx, hooks, options
from mitmproxy.addonmanager import Loader
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler, ServerInstance

from runcap.addon import Runcap

logger = logging.getLogger(__name__)

_BACKLOG = 2048

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
            if inspect.isawaitable(result):
                await result
        except Exception:
            logger.exception("the hook %s failed", name)


class Engine:
    """The proxy of one worker, in the place of mitmproxy's master."""

    def __init__(self, addon: Runcap) -> None:
        """Load the addon, which puts the safe options into force.

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

    async def listen(self, proxy: socket.socket, gateway: socket.socket | None) -> None:
        """Accept on sockets that are bound already."""
        for mode, sock in ((_PROXY_MODE, proxy), (_GATEWAY_MODE, gateway)):
            if sock is not None:
                instance: ServerInstance[Any] = ServerInstance.make(mode, self)
                server = await asyncio.start_server(instance.handle_stream, sock=sock, backlog=_BACKLOG)
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
