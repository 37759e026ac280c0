"""The lock by which one process of a host at a time writes an audit."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

_LOCK_POLL_SECONDS = 0.2


def lock_path(audit_path: Path) -> Path:
    """The lock file of whoever writes an audit."""
    return audit_path.with_name(audit_path.name + ".lock")


@asynccontextmanager
async def exclusive(path: Path, stopping: asyncio.Event) -> AsyncIterator[bool]:
    """Hold the lock file alone among all processes; False: told to stop before it was free.

    Polled rather than waited for in a thread, which nobody could interrupt. The system drops it if we die.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not stopping.is_set():
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), _LOCK_POLL_SECONDS)
            else:
                yield True
                return
        yield False
    finally:
        os.close(descriptor)
