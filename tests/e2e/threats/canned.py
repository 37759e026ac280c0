"""A vendor that answers with whatever bytes it was told to: the answers that no honest server gives."""

import socket
import ssl
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from tests.fakes.certificates import FakeAuthority

OK = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 14\r\n\r\n{"id": "em_1"}'


@dataclass(frozen=True, slots=True)
class Script:
    """One answer, and what happens to the connection after it."""

    data: bytes
    then: Literal["keep", "close", "hang"] = "keep"


class Canned:
    """A TLS server on loopback; answers each request with the next script, or with a plain success."""

    def __init__(self, folder: Path, host: str, *, days: int = 2, authority: FakeAuthority | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        authority = authority or FakeAuthority.create()
        self.ca_file = folder / "ca.pem"
        authority.write_certificate(self.ca_file)
        authority.write_leaf(folder / "leaf.pem", host, days=days)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "leaf.pem")
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.received: list[bytes] = []
        self.connections = 0
        self.scripts: deque[Script] = deque()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._hang = threading.Event()

    def __enter__(self) -> Self:
        """Start accepting."""
        self._run(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything."""
        self._hang.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _run(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                plain, _ = self._listening.accept()
                self.connections += 1
                self._open.append(plain)
                self._run(self._serve, plain)

    def _serve(self, plain: socket.socket) -> None:
        with plain, suppress(OSError), self._context.wrap_socket(plain, server_side=True) as connection:
            self._open.append(connection)
            while request := _read_request(connection):
                self.received.append(request)
                script = self.scripts.popleft() if self.scripts else Script(OK)
                connection.sendall(script.data)
                if script.then == "hang":
                    self._hang.wait()
                if script.then != "keep":
                    return


def _read_request(connection: ssl.SSLSocket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < sum(lengths):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body
