"""The home folder: mode 0700, its files 0600, checked whenever they are read.

It holds the CA's key, sealed secrets, the embedded ledger and the audit, so whoever can read it can spend
past every cap. What is found too open is refused rather than quietly tightened: somebody may have read it
already.
"""

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class HomeError(ValueError):
    """The home folder, or a file in it, is not fit to keep secrets in. The message says what to do."""


def prepare(home: Path) -> Path:
    """Make the folder (and those above it) if it is not there, and check it if it is.

    Raises:
        HomeError: it is no folder, belongs to somebody else, or others may enter it.
    """
    try:
        home.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        found = home.stat()
    except OSError as error:
        raise HomeError(f"The home folder {home} cannot be made: {error.strerror}.") from error
    if found.st_uid != os.geteuid():
        raise HomeError(
            f"The home folder {home} belongs to user {found.st_uid}, and runcap runs as user {os.geteuid()}: "
            "set `home` in runcap.toml, or RUNCAP_HOME, to a folder of its own."
        )
    if found.st_mode & _OTHERS:
        # One that was made by hand a moment ago has nothing to hide yet.
        if any(home.iterdir()):
            raise HomeError(
                f"The home folder {home} is open to other users (mode {_mode(found)}): "
                f"if it is runcap's alone, run `chmod 700 {home}`."
            )
        home.chmod(PRIVATE_FOLDER)
    return home


def read_private(path: Path) -> bytes:
    """Read a file that only its owner may read.

    Raises:
        FileNotFoundError: there is none.
        HomeError: others may read or write it, or it belongs to somebody else.
    """
    with path.open("rb") as file:
        # The open file is asked, not the name: the name may mean another file a moment later.
        found = os.fstat(file.fileno())
        if found.st_mode & _OTHERS:
            raise HomeError(
                f"{path} is open to other users (mode {_mode(found)}): run `chmod 600 {path}`, "
                "and replace what is in it if somebody else uses this machine."
            )
        if found.st_uid != os.geteuid():
            raise HomeError(f"{path} belongs to user {found.st_uid}, and runcap runs as user {os.geteuid()}.")
        return file.read()


def write_file(path: Path, content: bytes, mode: int = PRIVATE_FILE) -> None:
    """Write a whole file or none of it: whoever reads meanwhile sees the old one or the new one."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file alone among all processes; the system drops it if this one dies."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _mode(found: os.stat_result) -> str:
    return f"{stat.S_IMODE(found.st_mode):04o}"
