"""A vendor for the benchmark: answers each call at once, after it has read the whole of it.

An answer that is sent before the body was read makes some proxies drop the connection, so that they look slower than
they are; and a proxy is measured here, not a vendor, so the vendor costs as little as Python can (`loop`).
"""

import argparse
import itertools
import os
import re
import socket
import ssl
import sys
import threading

from scripts.bench.loop import Loop, Steps, receive, secure

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nrequest-id: req_1\r\ncontent-length: %d\r\n\r\n"
_BODY = b'{"id":"pi_%09d","object":"payment_intent","amount":100,"currency":"usd","status":"requires_confirmation"}'
_ANSWER = _HEAD % len(_BODY % 0) + _BODY
_ids = itertools.count()


def whole_call(buffer: bytes) -> int:
    """How many bytes of it are the first call; 0 if it is not whole yet."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return 0
    length = _LENGTH.search(buffer, 0, end + 2)
    whole = end + 4 + (int(length[1]) if length else 0)
    return whole if len(buffer) >= whole else 0


def accept(loop: Loop, listener: socket.socket, context: ssl.SSLContext) -> Steps[None]:
    """Take every connection."""
    while True:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            yield listener
            continue
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop.start(serve(loop, connection, context))


def serve(loop: Loop, connection: socket.socket, context: ssl.SSLContext) -> Steps[None]:
    """One connection: every whole call gets a new PaymentIntent."""
    try:
        tls = yield from secure(loop, connection, context, server=True)
    except OSError:
        return  # the other side has gone, which it may
    buffer = b""
    try:
        while data := (yield from receive(tls)):
            buffer += data
            while whole := whole_call(buffer):
                buffer = buffer[whole:]
                tls.sendall(_ANSWER % next(_ids))
    except OSError:
        pass
    loop.close(tls)


def main() -> None:
    """Print the port, and serve until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--certificate", action="append", required=True, help="HOST=PEM; the first is the default")
    contexts = {}
    for given in parser.parse_args().certificate:
        host, _, path = given.partition("=")
        contexts[host] = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        contexts[host].load_cert_chain(path)
    context = next(iter(contexts.values()))

    def choose(connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = contexts.get(name or "", context)

    context.sni_callback = choose
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setblocking(False)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    loop = Loop()
    loop.start(accept(loop, listener, context))
    loop.run()


if __name__ == "__main__":
    main()
