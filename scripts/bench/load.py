"""The load: calls on kept-alive connections, or each on a new one; prints what it measured as JSON.

A process of its own, so that its CPU is not the proxy's. Kept to bare protocols: a client library would be most of
what is measured.
"""

import argparse
import asyncio
import json
import ssl
import sys
import time
from typing import cast

import uvloop


class Caller(asyncio.Protocol):
    """One connection; a call at a time."""

    def __init__(self) -> None:
        self._buffer = b""
        self._whole: asyncio.Future[bytes] | None = None

    def data_received(self, data: bytes) -> None:
        """Wake the call up when its answer is whole."""
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._whole is None:
            return
        head = self._buffer[:end].lower()
        mark = head.find(b"content-length:")
        length = int(head[mark + 15 :].split(b"\r\n", 1)[0]) if mark >= 0 else 0
        if len(self._buffer) >= end + 4 + length:
            answer, self._buffer = self._buffer, b""
            self._whole.set_result(answer)
            self._whole = None

    def connection_lost(self, error: Exception | None) -> None:
        """A call that waits has failed."""
        if self._whole is not None and not self._whole.done():
            self._whole.set_exception(ConnectionError(str(error)))

    async def send(self, transport: asyncio.Transport, data: bytes) -> bytes:
        """Send bytes and wait for the answer."""
        self._whole = asyncio.get_running_loop().create_future()
        transport.write(data)
        return await self._whole


class Target:
    """Where the calls go, and how."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.host, _, port = arguments.authority.rpartition(":")
        self._authority = arguments.authority
        self._address = ("127.0.0.1", int(port))
        self._proxied = bool(arguments.proxy)
        if self._proxied:
            self._address = ("127.0.0.1", int(arguments.proxy))
        self._context = ssl.create_default_context(cafile=arguments.ca)
        body = b"amount=100&currency=usd&customer=cus_NffrFeUfNV2Hib&confirm=0"
        self.call = (
            f"POST /v1/payment_intents HTTP/1.1\r\nHost: {self.host}\r\nAuthorization: Bearer {arguments.key}\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body

    async def connect(self) -> tuple[asyncio.Transport, Caller]:
        """Open one connection: TCP, CONNECT, TLS."""
        loop = asyncio.get_running_loop()
        if not self._proxied:
            direct, caller = await loop.create_connection(
                Caller, *self._address, ssl=self._context, server_hostname=self.host
            )
            return direct, caller
        plain, caller = await loop.create_connection(Caller, *self._address)
        head = f"CONNECT {self._authority} HTTP/1.1\r\nHost: {self._authority}\r\n\r\n".encode()
        answer = await caller.send(plain, head)
        if b" 200 " not in answer[:16]:
            raise ConnectionError(answer.decode("latin-1"))
        secure = await loop.start_tls(plain, caller, self._context, server_hostname=self.host)
        return cast(asyncio.Transport, secure), caller


async def keep_calling(target: Target, until: float, times: list[float]) -> None:
    """Call on one connection until the time is over."""
    transport, caller = await target.connect()
    await _checked(caller, transport, target.call)
    while (began := time.perf_counter()) < until:
        await _checked(caller, transport, target.call)
        times.append(time.perf_counter() - began)
    transport.close()


async def keep_connecting(target: Target, until: float, times: list[float]) -> None:
    """Call once a connection until the time is over."""
    while (began := time.perf_counter()) < until:
        transport, caller = await target.connect()
        await _checked(caller, transport, target.call)
        times.append(time.perf_counter() - began)
        transport.close()


async def _checked(caller: Caller, transport: asyncio.Transport, call: bytes) -> None:
    answer = await caller.send(transport, call)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(answer[:400].decode("latin-1"))


async def main() -> None:
    """Run the load and print ``{"calls", "seconds", "p50_ms", "p99_ms"}``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--authority", required=True)
    parser.add_argument("--proxy", default="")
    parser.add_argument("--ca", required=True)
    parser.add_argument("--key", default="sk_test_none")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--new-connections", action="store_true")
    arguments = parser.parse_args()
    target = Target(arguments)
    work = keep_connecting if arguments.new_connections else keep_calling
    began = time.perf_counter()
    times: list[float] = []
    await asyncio.gather(*(work(target, began + arguments.seconds, times) for _ in range(arguments.connections)))
    seconds = time.perf_counter() - began
    times.sort()
    json.dump(
        {
            "calls": len(times),
            "seconds": seconds,
            "p50_ms": times[len(times) // 2] * 1000,
            "p99_ms": times[len(times) * 99 // 100] * 1000,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    uvloop.run(main())
