"""The process behind `FakeVendors`: three HTTPS servers on free loopback ports, told what to do over its stdin.

A bare asyncio protocol over llhttp, since a fake has to be able to break the rules of HTTP (cut, truncate, 103), and
since it must not be what a benchmark measures. It ends when its stdin closes.
"""

import argparse
import asyncio
import gzip
import json
import ssl
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httptools

from tests.fakes.journal import Entry, Journal
from tests.fakes.model import Answer, FakeVendor, Fault, Seen
from tests.fakes.resend import FakeResend
from tests.fakes.stripe import FakeStripe
from tests.fakes.twilio import FakeTwilio

_REASONS = {200: "OK", 201: "Created", 302: "Found"}


class Exchange:
    """Answers requests of one vendor: admit, wait, execute, keep, write down, and only then answer."""

    def __init__(self, vendor: FakeVendor, journal: Journal, faults: list[Fault], latency_seconds: float) -> None:
        self._vendor = vendor
        self._journal = journal
        self._faults = faults
        self._latency_seconds = latency_seconds
        self._count = 0

    async def serve(self, seen: Seen, transport: asyncio.Transport) -> None:
        """Answer one request on its connection."""
        fault = self._take_fault(seen.path)
        if fault.redirect:
            answer = Answer(302, {}, (("location", fault.redirect),))
        else:
            answer = await self._answer(seen, fault)
        self._count += 1
        request_id = f"req_{self._vendor.name}{self._count:010d}"
        self._journal.append(
            Entry(
                vendor=self._vendor.name, method=seen.method, path=seen.path, query=seen.query,
                headers=[list(header) for header in seen.headers], body=seen.body.decode("latin-1"),
                params=answer.params, status=answer.status, request_id=request_id, moved=answer.moved,
                unit=answer.unit, replayed=answer.replayed, ending=fault.ending,
            )
        )  # fmt: skip
        headers = [*answer.headers, (self._vendor.request_id_header, request_id)]
        body = answer.body
        if fault.echo_authorization:
            echo = seen.header("authorization") or ""
            headers.append(("x-echo", echo))
            body = {**body, "echo": echo}
        await _write(transport, answer.status, headers, json.dumps(body).encode(), fault)

    async def _answer(self, seen: Seen, fault: Fault) -> Answer:
        answer = self._vendor.admit(seen)
        if answer is not None:
            return answer
        if fault.delay_seconds or self._latency_seconds:
            await asyncio.sleep(fault.delay_seconds or self._latency_seconds)
        answer = self._vendor.execute(seen)
        if fault.ending == "error_500":
            answer = replace(answer, status=500, body=self._vendor.failure())
        self._vendor.keep(seen, answer)
        return answer

    def _take_fault(self, path: str) -> Fault:
        for index, fault in enumerate(self._faults):
            if fault.vendor == self._vendor.name and fault.path in path:
                if fault.times > 1:
                    self._faults[index] = replace(fault, times=fault.times - 1)
                else:
                    del self._faults[index]
                return fault
        return Fault(self._vendor.name)


class Connection(asyncio.Protocol):
    """One client connection: whole requests, in order. The ``on_`` names are httptools'."""

    def __init__(self, serve: Callable[[Seen, asyncio.Transport], Awaitable[None]]) -> None:
        self._serve = serve
        self._parser = httptools.HttpRequestParser(self)
        self._queue: asyncio.Queue[Seen | None] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self.on_message_begin()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start answering."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._worker = asyncio.get_running_loop().create_task(self._work(transport))

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave a request that is being executed alone: a vendor carries on when its client hangs up."""
        self._queue.put_nowait(None)

    def data_received(self, data: bytes) -> None:
        """Parse; what is not HTTP ends the connection."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            assert self._transport is not None
            self._transport.abort()

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers: list[tuple[str, str]] = []
        self._body: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode()
        url = urlsplit(self._url.decode("latin-1"))
        self._queue.put_nowait(Seen(method, url.path, url.query, tuple(self._headers), b"".join(self._body)))

    async def _work(self, transport: asyncio.Transport) -> None:
        while (seen := await self._queue.get()) is not None:
            await self._serve(seen, transport)


async def _write(
    transport: asyncio.Transport, status: int, headers: list[tuple[str, str]], body: bytes, fault: Fault
) -> None:
    if fault.ending == "hang":
        await asyncio.get_running_loop().create_future()
    if fault.ending == "cut":
        transport.abort()
        return
    if fault.early_hints:
        transport.write(b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n")
    if fault.gzip:
        body = gzip.compress(body)
        headers = [*headers, ("content-encoding", "gzip")]
    framing = ("transfer-encoding", "chunked") if fault.trailers else ("content-length", str(len(body)))
    lines = [f"{name}: {value}\r\n" for name, value in (("content-type", "application/json"), framing, *headers)]
    head = f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}\r\n{''.join(lines)}\r\n".encode("latin-1")
    if fault.trailers:
        body = b"%x\r\n%b\r\n0\r\nx-trailer: yes\r\n\r\n" % (len(body), body)
    if fault.ending == "truncate":
        transport.write(head + body[: len(body) // 2])
        transport.close()
        return
    transport.write(head + body)


async def _control(faults: list[Fault]) -> None:
    """Obey JSON lines on stdin until it closes; each is answered with one line."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command: dict[str, Any] = json.loads(line)
        if command["command"] == "fault":
            faults.append(Fault(**command["fault"]))
        elif command["command"] == "clear":
            faults.clear()
        _say({"done": command["command"], "pending": len(faults)})


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def serve(arguments: argparse.Namespace) -> None:
    """Serve until stdin closes."""
    settings = json.loads(sys.stdin.buffer.readline())
    loop = asyncio.get_running_loop()
    faults: list[Fault] = []
    journal = Journal(arguments.directory / "journal.jsonl")
    vendors: list[FakeVendor] = [
        FakeStripe(settings["stripe"]),
        FakeTwilio(settings["account_sid"], settings["twilio"]),
        FakeResend(settings["resend"]),
    ]
    ports = {}
    for vendor in vendors:
        exchange = Exchange(vendor, journal, faults, arguments.latency_seconds)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.directory / f"{vendor.host}.pem")
        context.set_alpn_protocols(["http/1.1"])

        def connect(exchange: Exchange = exchange) -> Connection:
            return Connection(exchange.serve)

        server = await loop.create_server(connect, "127.0.0.1", 0, ssl=context, backlog=1024)
        ports[vendor.name] = server.sockets[0].getsockname()[1]
    _say(ports)
    await _control(faults)


def main() -> None:
    """``python -m tests.fakes.server``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--latency-seconds", type=float, default=0.0)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
