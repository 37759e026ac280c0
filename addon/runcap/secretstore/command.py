"""A secret that a command prints: ``exec:vault kv get -field=key secret/stripe``, or a cloud's secret manager.

The command runs without a shell, with nothing on its stdin; its stdout is the secret. What it says on stderr is thrown
away: a secret manager's errors may repeat what must stay in no log, so whoever sets it up runs it by hand.
"""

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping

_MAX_BYTES = 4096


class CommandFailed(ValueError):
    """The command has not printed a secret. The message names no more than its first word."""


def run(command: str, *, timeout_seconds: int, environment: Mapping[str, str]) -> str:
    """Run a command and return what it printed, without blanks around it. Blocks: not for an event loop.

    Args:
        command: words as a shell would split them, the first of which is a program on PATH or a path.
        timeout_seconds: then it is killed, with all that it has started.
        environment: the command's own.

    Raises:
        CommandFailed: it cannot be run, does not end in time or not with 0, or prints too much or no ASCII.
    """
    words = shlex.split(command)
    deadline = time.monotonic() + timeout_seconds
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environment),
            start_new_session=True,
        )
    except OSError as error:
        raise CommandFailed(f"{words[0]} cannot be run: {error.strerror}.") from error
    try:
        printed = _read(process, words[0], deadline)
        code = process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"{words[0]} did not end in {timeout_seconds} s.") from None
    finally:
        # Whatever it has started belongs to its session.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    if code != 0:
        raise CommandFailed(f"{words[0]} ended with {code}: run it by hand to see why.")
    try:
        return printed.decode("ascii").strip()
    except UnicodeDecodeError:
        raise CommandFailed(f"{words[0]} printed something else than one line of ASCII.") from None


def _read(process: subprocess.Popen[bytes], name: str, deadline: float) -> bytes:
    """Read stdout to its end. Not `communicate`, which would take gigabytes of a command that does not stop."""
    assert process.stdout is not None
    descriptor, printed = process.stdout.fileno(), b""
    with selectors.DefaultSelector() as selector:  # unlike select(2), it takes descriptors beyond 1024
        selector.register(descriptor, selectors.EVENT_READ)
        while len(printed) <= _MAX_BYTES:
            left = deadline - time.monotonic()
            if left <= 0 or not selector.select(left):
                raise subprocess.TimeoutExpired(name, 0)
            chunk = os.read(descriptor, _MAX_BYTES)
            if not chunk:
                return printed
            printed += chunk
    raise CommandFailed(f"{name} printed more than {_MAX_BYTES} bytes.")
