"""The load: the same call over and over, on kept-alive connections or each on a new one; prints figures as JSON.

A process of its own, so that its CPU is not the proxy's. It first calls for a while that is not measured, then says
so and waits for a line, so that who measures CPU does it over exactly the calls that are counted.
"""

import argparse
import json
import resource
import socket
import ssl
import sys
import time

from scripts.bench.loop import Loop, Steps, receive, secure

_BODY = b"amount=100&currency=usd&customer=cus_NffrFeUfNV2Hib&confirm=0"
_CONNECT_SECONDS = 15.0
"""How long the connections may take to come up."""


class Target:
    """Where the calls go, and how."""

    def __init__(self, arguments: argparse.Namespace, loop: Loop) -> None:
        self._loop = loop
        self.host, _, port = arguments.authority.rpartition(":")
        self._authority = arguments.authority
        self._proxied = bool(arguments.proxy)
        self._address = ("127.0.0.1", int(arguments.proxy or port))
        self._context = ssl.create_default_context(cafile=arguments.ca)
        # Verified, but not to the letter of RFC 5280: squid's leaves do without a key identifier.
        self._context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        named = self._authority.removesuffix(":443")
        self.call = (
            f"POST /v1/payment_intents HTTP/1.1\r\nHost: {named}\r\nAuthorization: Bearer {arguments.key}\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(_BODY)}\r\n\r\n"
        ).encode() + _BODY

    def connect(self) -> Steps[ssl.SSLSocket]:
        """Open one connection: TCP, CONNECT, TLS."""
        connection = socket.create_connection(self._address)
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._proxied:
            connection.sendall(f"CONNECT {self._authority} HTTP/1.1\r\nHost: {self._authority}\r\n\r\n".encode())
            yield from whole_answer(connection)
        return (yield from secure(self._loop, connection, self._context, host=self.host))


def whole_answer(connection: socket.socket) -> Steps[None]:
    """Read an answer to its end.

    Raises:
        ConnectionError: it is no 200, or it is cut off.
    """
    answer = yield from receive(connection)
    while (missing := missing_of(answer)) > 0:
        data = yield from receive(connection)
        if not data:
            raise ConnectionError(f"cut off: {answer[:400]!r}, {missing} bytes are missing")
        answer += data
    if not answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.0 200 ")):
        raise ConnectionError(answer[:400].decode("latin-1"))


def missing_of(answer: bytes) -> int:
    """How many bytes an answer lacks, at the least; 0 or less: none."""
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return 1
    head = answer[:end].lower()
    mark = head.find(b"content-length:")
    length = int(head[mark + 15 :].split(b"\r\n", 1)[0]) if mark >= 0 else 0
    return end + 4 + length - len(answer)


class Load:
    """The calls of all connections, and how long those took that count."""

    def __init__(self, target: Target, loop: Loop, rate: float, connections: int) -> None:
        self._target = target
        self._loop = loop
        self._pause = connections / rate if rate else 0.0
        self.warm = 0
        """Calls that were answered, counted or not."""
        self.began = float("inf")
        self.times: list[float] = []

    def _count(self, began: float) -> None:
        self.warm += 1
        if began >= self.began:
            self.times.append(time.perf_counter() - began)

    def keep_calling(self) -> Steps[None]:
        """Call on one connection, at a steady pace if there is one."""
        connection = yield from self._target.connect()
        due = time.perf_counter()
        while True:
            began = time.perf_counter()
            connection.sendall(self._target.call)
            yield from whole_answer(connection)
            self._count(began)
            if self._pause:
                due = max(due + self._pause, time.perf_counter())  # what was missed is not made up for
                yield due

    def keep_connecting(self) -> Steps[None]:
        """Call once a connection."""
        while True:
            yield from self.call_once()

    def call_once(self) -> Steps[None]:
        """One call on a connection of its own."""
        began = time.perf_counter()
        connection = yield from self._target.connect()
        connection.sendall(self._target.call)
        yield from whole_answer(connection)
        self._count(began)
        self._loop.close(connection)


def first_call_ms(load: Load, loop: Loop) -> float:
    """One call on a new connection, and no second one."""
    load.began = 0.0
    loop.start(load.call_once())
    while not load.times:
        loop.run(time.perf_counter() + 0.0005)
    return load.times[0] * 1000


def main() -> None:
    """Run the load and print ``{"calls", "seconds", "client_cpu_ms", "p50_ms", "p99_ms"}``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--authority", required=True)
    parser.add_argument("--proxy", default="", help="its port; empty: no proxy")
    parser.add_argument("--ca", required=True)
    parser.add_argument("--key", default="sk_test_none")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--warm-up", type=float, default=0.5, metavar="SECONDS")
    parser.add_argument("--rate", type=float, default=0.0, help="calls a second, of all connections; 0: all they can")
    parser.add_argument("--new-connections", action="store_true")
    parser.add_argument("--one", action="store_true", help="make one call, and print how many ms it took")
    arguments = parser.parse_args()
    loop = Loop()
    load = Load(Target(arguments, loop), loop, arguments.rate, arguments.connections)
    if arguments.one:
        print(first_call_ms(load, loop))
        return
    for _ in range(arguments.connections):
        loop.start(load.keep_connecting() if arguments.new_connections else load.keep_calling())
    deadline = time.perf_counter() + _CONNECT_SECONDS
    loop.run(time.perf_counter() + arguments.warm_up)
    while load.warm < 2 * arguments.connections and time.perf_counter() < deadline:
        loop.run(time.perf_counter() + 0.05)
    print("warm", flush=True)
    sys.stdin.readline()
    cpu_before = _cpu_seconds()
    load.began = time.perf_counter()
    loop.run(load.began + arguments.seconds)
    seconds = time.perf_counter() - load.began
    cpu = _cpu_seconds() - cpu_before
    times = sorted(load.times)
    if not times:
        sys.exit(f"not one call was answered in {seconds:.1f} s")
    figures = {
        "calls": len(times),
        "seconds": seconds,
        "client_cpu_ms": cpu / len(times) * 1000,
        "p50_ms": times[len(times) // 2] * 1000,
        "p99_ms": times[len(times) * 99 // 100] * 1000,
    }
    print(json.dumps(figures), flush=True)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
