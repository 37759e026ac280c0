"""mitmproxy without what this job does not need: one process, two sockets, our addon.

A stock `Master` dispatches each hook by looking through all addons; here the handlers of a hook are found once. Of
mitmproxy's own addons only `Proxyserver` is loaded: it declares the options that the connection handling reads and
keeps the list of connections. Its own listening is not used, since it cannot share a port between processes.
"""

import asyncio
import inspect
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from mitmproxy import hooks, options
from mitmproxy.addonmanager import AddonManager
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.master import Master
from mitmproxy.proxy.mode_servers import ServerInstance

from runcap.addon import Runcap

logger = logging.getLogger(__name__)

_BACKLOG = 2048

PROXY_MODE = "regular@127.0.0.1:0"
GATEWAY_MODE = "reverse:http://runcap.invalid@127.0.0.1:0"
"""The modes only choose the first layer; the sockets are ours, and the upstream that is named is never dialled."""


class _Dispatcher(AddonManager):
    """Calls a hook's handlers from a table instead of asking every addon each time."""

    def __init__(self, master: Master) -> None:
        super().__init__(master)
        self._handlers: dict[str, list[Callable[..., Awaitable[None] | None]]] = {}

    async def handle_lifecycle(self, event: hooks.Hook) -> None:
        """Run the handlers of one hook; an exception ends that handler alone, as in mitmproxy."""
        handlers = self._handlers.get(event.name)
        if handlers is None:
            handlers = self._handlers[event.name] = [
                handler for addon in self.chain if (handler := getattr(addon, event.name, None)) is not None
            ]
        for handler in handlers:
            try:
                result = handler(*event.args())
                if inspect.isawaitable(result):
                    await result
            except Exception:
                logger.exception("the hook %s failed", event.name)


class Engine(Master):
    """The proxy of one worker."""

    addons: AddonManager

    def __init__(self, addon: Runcap) -> None:
        """Load the addon and check the options, in the running event loop."""
        super().__init__(options.Options(), with_termlog=False)
        self.addons = _Dispatcher(self)
        self._proxyserver = Proxyserver()  # type: ignore[no-untyped-call]
        self.addons.add(self._proxyserver, addon)  # type: ignore[no-untyped-call]
        self._servers: list[asyncio.Server] = []

    async def listen(self, proxy: socket.socket, gateway: socket.socket | None) -> None:
        """Accept on sockets that are bound already."""
        for mode, sock in ((PROXY_MODE, proxy), (GATEWAY_MODE, gateway)):
            if sock is not None:
                instance: ServerInstance[Any] = ServerInstance.make(mode, self._proxyserver)
                server = await asyncio.start_server(instance.handle_stream, sock=sock, backlog=_BACKLOG)
                self._servers.append(server)

    async def close(self) -> None:
        """Accept no more, and close the connections on which no call is under way."""
        for server in self._servers:
            server.close()

    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._proxyserver.connections)


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
