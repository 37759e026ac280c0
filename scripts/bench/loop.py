"""Many connections in one thread at the least CPU that Python allows: epoll, OpenSSL on the bare socket, generators.

Load and vendor share two cores with what they measure, so what they cost is taken from it. A call costs them about a
fifth of what it costs with an event loop's TLS, whose records pass through memory buffers and futures.

A connection is a generator: it yields a socket and goes on when that can be read, or a moment (`time.perf_counter`)
and goes on then. Nothing waits to write: a call and its answer are smaller than any socket's buffer.
"""

import heapq
import itertools
import select
import socket
import ssl
import time
from collections.abc import Generator

type Wait = socket.socket | float
type Steps[T] = Generator[Wait, None, T]

_TAKE_BYTES = 65536


class Loop:
    """Runs connections until a moment, or for good."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._readers: dict[int, Steps[None]] = {}
        self._timers: list[tuple[float, int, Steps[None]]] = []
        self._order = itertools.count()

    def start(self, steps: Steps[None]) -> None:
        """Run a connection up to its first wait."""
        wait = next(steps, None)
        if isinstance(wait, float):
            heapq.heappush(self._timers, (wait, next(self._order), steps))
        elif wait is not None:
            descriptor = wait.fileno()
            if descriptor not in self._readers:
                self._epoll.register(descriptor, select.EPOLLIN)
            self._readers[descriptor] = steps

    def run(self, until: float = float("inf")) -> None:
        """Run all connections until a moment."""
        readers, start, poll, timers = self._readers, self.start, self._epoll.poll, self._timers
        while (now := time.perf_counter()) < until:
            while timers and timers[0][0] <= now:
                start(heapq.heappop(timers)[2])
            next_moment = min(until, timers[0][0] if timers else until, now + 1.0)
            for descriptor, _ in poll(max(0.0, next_moment - now)):
                steps = readers.get(descriptor)
                if steps is not None:
                    start(steps)

    def close(self, connection: socket.socket) -> None:
        """Close a connection that the loop has waited for: its number will be another's soon."""
        self._readers.pop(connection.fileno(), None)
        connection.close()


def secure(
    loop: Loop, connection: socket.socket, context: ssl.SSLContext, *, server: bool = False, host: str | None = None
) -> Steps[ssl.SSLSocket]:
    """TLS on a connection, either side of it. The plain one is no longer to be used, nor to be closed.

    Raises:
        OSError: the handshake failed; the connection is closed.
    """
    tls = context.wrap_socket(connection, server_side=server, server_hostname=host, do_handshake_on_connect=False)
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            yield tls
        except OSError:
            loop.close(tls)
            raise
        else:
            return tls


def receive(connection: socket.socket) -> Steps[bytes]:
    """The next bytes; none at the end."""
    while True:
        try:
            return connection.recv(_TAKE_BYTES)
        except (ssl.SSLWantReadError, BlockingIOError):
            yield connection
