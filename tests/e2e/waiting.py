"""Waiting for something to become true: the one loop that end-to-end tests need."""

import time
from collections.abc import Callable


def wait_until[T](what: str, look: Callable[[], T], *, seconds: float = 15.0) -> T:
    """Look again and again until there is something true to see, and return it.

    Raises:
        AssertionError: naming what was waited for.
    """
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what}; last seen: {seen!r}")
        time.sleep(0.02)
    return seen
