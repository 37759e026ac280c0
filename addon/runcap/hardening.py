"""What a process that holds secrets does first: it lets nobody else read its memory.

A core dump would hold the vendors' secrets, and so do ``/proc/PID/mem`` and ``/proc/PID/environ``, which any process of
the same user may read, an agent's too, unless the process says otherwise: prctl(2), PR_SET_DUMPABLE.
"""

import ctypes
import logging
import resource
import sys

logger = logging.getLogger(__name__)

_PR_SET_DUMPABLE = 4


def harden() -> None:
    """Forbid core dumps of this process and of those that it starts, and hide its memory and environment."""
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError) as error:
        logger.warning("core dumps cannot be forbidden: %s", error)
    hide_memory()


def hide_memory() -> None:
    """Hide this process alone from others of its user. Its children have to do so themselves: exec(2) undoes it."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        logger.warning("this process's memory cannot be hidden from others: errno %d", ctypes.get_errno())
