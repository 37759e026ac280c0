"""The embedded ledger: a Valkey server of our own on a Unix socket, shared by all processes that use one home.

Two locks (flock, so the kernel lets go of them when a process dies) say who may start and stop it:

- ``use.lock`` is held shared by every user for as long as it uses the ledger;
- ``start.lock`` is held for the moment of starting, stopping or looking, so that these never overlap.

The last user stops the server. One that was killed stops nothing: the server stays, and the next user finds and uses
it. So the command line works with the ledger whether `runcap up` runs or not.
"""

import contextlib
import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from runcap.ledger import server

_MAX_SOCKET_PATH = 100
"""Bytes of a Unix socket's address: 104 with its final NUL on macOS, 108 on Linux."""


class EmbeddedLedger:
    """One user of the embedded ledger of one home folder. Blocks: use it by way of `asyncio.to_thread`."""

    def __init__(self, home: Path) -> None:
        self._folder = home.absolute() / "ledger"
        self._socket_path = _socket_path(self._folder)
        self._use_fd: int | None = None

    @property
    def url(self) -> str:
        """For `runcap.ledger.ledger.Ledger.connect`."""
        return f"unix://{self._socket_path}"

    @property
    def lock_fds(self) -> tuple[int, ...]:
        """Pass these to a child (``pass_fds``) that uses the ledger too: it stays up until the child ends as well."""
        return () if self._use_fd is None else (self._use_fd,)

    def acquire(self) -> None:
        """Begin to use the ledger; starts the server if none runs.

        Raises:
            RuntimeError: it cannot be started; the message says why.
        """
        if self._use_fd is not None:
            raise RuntimeError("the embedded ledger is in use by this object already")
        _private_folder(self._folder)
        with self._starting():
            _private_folder(self._socket_path.parent)
            use_fd = _open_lock(self._folder / "use.lock")
            try:
                fcntl.flock(use_fd, fcntl.LOCK_SH)
                self._start_if_down()
            except BaseException:
                os.close(use_fd)
                raise
            self._use_fd = use_fd

    def ensure_running(self) -> bool:
        """Start the server again if it has died; returns whether it had. For a supervisor that looks now and then.

        Raises:
            RuntimeError: it cannot be started; the message says why.
        """
        self._check_that_used()
        with self._starting():
            self._check_that_used()  # again: it may have been released while we waited, and nobody would stop a server
            return self._start_if_down()

    def release(self) -> None:
        """End the use of the ledger; the last user stops the server. Releasing twice is no error."""
        if self._use_fd is None:
            return
        with self._starting():
            # Closed, not unlocked: unlocking would end the use of a child that has inherited the descriptor too.
            os.close(self._use_fd)
            self._use_fd = None
            probe_fd = _open_lock(self._folder / "use.lock")
            try:
                fcntl.flock(probe_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # somebody else uses it
            else:
                server.stop(self._socket_path)
                if self._socket_path.parent != self._folder:
                    self._socket_path.parent.rmdir()
            finally:
                os.close(probe_fd)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def _check_that_used(self) -> None:
        if self._use_fd is None:
            raise RuntimeError("the embedded ledger is not in use by this object")

    def _start_if_down(self) -> bool:
        if server.is_alive(self._socket_path) or server.wait_until_alive(self._socket_path):
            return False
        if server.is_listening(self._socket_path):
            # Two servers on one folder would tear its files: rather none than two.
            raise RuntimeError(f"The embedded ledger's server hangs (socket {self._socket_path}).")
        server.start(self._folder, self._socket_path)
        return True

    @contextlib.contextmanager
    def _starting(self) -> Iterator[None]:
        fd = _open_lock(self._folder / "start.lock")
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _socket_path(folder: Path) -> Path:
    """Where the socket is: in the folder, or where that is too deep for one, in a short private folder of our own."""
    path = folder / "ledger.sock"
    if len(os.fsencode(path)) <= _MAX_SOCKET_PATH:
        return path
    name = "runcap-" + hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    for base in (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"):  # noqa: S108 (checked below)
        short = Path(base) / f"{name}-{os.getuid()}" / "ledger.sock"
        if base and Path(base).is_dir() and len(os.fsencode(short)) <= _MAX_SOCKET_PATH:
            return short
    raise RuntimeError(
        f"No folder is short enough for the embedded ledger's socket: choose a home nearer to /: {folder}"
    )


def _private_folder(folder: Path) -> None:
    """Make a folder that only we can enter.

    Raises:
        RuntimeError: it is somebody else's, no folder, or open to others: in a shared place such as /tmp somebody may
            have put it there before us.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise RuntimeError(f"{folder} has to be a folder of yours with mode 0700: `chmod 700 {folder}`")
