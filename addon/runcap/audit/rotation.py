"""How one file of the audit is closed and the next begins: at every moment there is exactly one current file.

The next file is written whole, with its first rows, under another name; then the old one gets a second name, and in one
step the next takes its place. A crash before that step leaves the old file as it was, one after it the next one.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from runcap.audit.chain import Anchor
from runcap.audit.files import begins_after, closed_files, closed_name


def close_and_begin(
    path: Path, db: sqlite3.Connection, last: Anchor, write_next: Callable[[Path], Anchor]
) -> Anchor | None:
    """Close a file and put the next in its place.

    Args:
        path: where the current file is; in the end the next one is there.
        db: the connection to the current file; closed in the end.
        last: its last row.
        write_next: makes the next file at the path that it is given, and returns that file's last row.

    Returns:
        What `write_next` did; None, and nothing has changed, if somebody else has the file open.
    """
    try:
        # Without its log the file is complete in itself. That takes that nobody else has it open.
        db.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.OperationalError:
        db.execute("PRAGMA journal_mode=WAL").fetchone()
        return None
    closed = closed_name(path, begins_after(db).seq + 1, last.seq)
    db.close()
    upcoming = _upcoming(path)
    _remove(upcoming)
    written = write_next(upcoming)
    os.link(path, closed)
    os.replace(upcoming, path)  # noqa: PTH105 (beside link)
    closed.chmod(0o400)
    _sync(path.parent)
    return written


def finish(path: Path) -> None:
    """Bring a rotation that was cut short to the end that it had got to: the old file, or the next one."""
    upcoming = _upcoming(path)
    if not upcoming.exists():
        return
    if path.exists() and any(path.samefile(closed) for closed in closed_files(path)):
        os.replace(upcoming, path)  # noqa: PTH105
        _sync(path.parent)
    else:
        _remove(upcoming)


def _upcoming(path: Path) -> Path:
    return path.with_name(f"{path.name}.next")


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()


def _sync(folder: Path) -> None:
    """Make the names themselves survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
