"""Redis or Valkey servers on free loopback ports, as an operator would run them; each ends with its test."""

import secrets
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis
from redis.exceptions import RedisError

from runcap.ledger.server import find_binary

_START_SECONDS = 20.0
_GIVEN: set[int] = set()


def installed_binary() -> Path:
    """The system's own server, such as Debian's ``redis-server``, else the one that comes with runcap."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    return find_binary()


class Server:
    """One server. A context manager; may be killed and started again inside."""

    def __init__(self, folder: Path, *settings: str, port: int = 0) -> None:
        """Prepare; `settings` are options of its command line, or one file for a Sentinel."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = port or free_port()
        self._settings = settings
        self._binary = installed_binary()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and wait until it answers.

        Raises:
            RuntimeError: it does not; with its log.
        """
        log_path = self.folder / "server.log"
        with log_path.open("ab") as log:
            command = [
                str(self._binary),
                *self._settings,
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
            ]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(RedisError, OSError):
                if self.tell("PING"):
                    return
            time.sleep(0.02)
        self.kill()
        raise RuntimeError(log_path.read_text("utf-8", "replace"))

    def kill(self) -> None:
        """``kill -9``; ending twice is no error."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    @property
    def bus(self) -> int:
        """The port by which nodes of a cluster speak with one another."""
        return self.port + 10_000

    def said(self, *command: str | int) -> str:
        """The same as `tell`, as one text to look something up in."""
        return str(self.tell(*command))

    def tell(self, *command: str | int) -> object:
        """Run a command on it."""
        with Redis(port=self.port, socket_timeout=2, decode_responses=True) as client:
            answer: object = client.execute_command(*command)
            return answer


def free_port() -> int:
    """A port that nobody has just now, for a server that others are told of before it starts, or that comes back on it.

    None of those that the system gives to whoever asks for any port, from 32,768 on: in between another test, or just a
    connection of its, could get it. The bus of a cluster's node, 10,000 above, is none of these either.
    """
    while True:
        port = 10_000 + secrets.randbelow(10_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _GIVEN:
                _GIVEN.add(port)
                return port
