"""Threats 91 to 94: an agent that floods the proxy does not take it away from the others."""

import asyncio
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from runcap.runs import new_vault_key
from tests.e2e.client import Caller
from tests.e2e.harness import IssuedRun, RuncapUp
from tests.e2e.threats.raw import STRIPE, Raw, tunnel
from tests.e2e.threats.scene import Scene
from tests.e2e.waiting import wait_until

CONNECTIONS = 2_000
BAD_KEYS = 10_000
FEW_FILES = 16
"""Less than a worker has open."""
MAX_WORKER_KIB = 300 * 1024


@pytest.fixture(autouse=True)
def bounded_memory(up: RuncapUp) -> Iterator[None]:
    """Whatever a test does, no worker has died of it or has ever held more than 300 MB."""
    workers = up.processes.workers()
    yield
    assert workers == up.processes.workers()
    for pid in workers:
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        assert MAX_WORKER_KIB > max(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


@contextmanager
def honest(up: RuncapUp, run: IssuedRun, *, pause: float = 0.02) -> Iterator[Callable[[], list[int]]]:
    """An honest agent calls all the while, on a kept connection and on new ones; gives its statuses (0: an error)."""
    statuses: list[int] = []
    stop = threading.Event()

    def work() -> None:
        with Caller(up, run) as kept:
            while not stop.wait(pause):
                try:
                    statuses.append(kept.get("/v1/balance").status)
                    with Caller(up, run) as new:
                        statuses.append(new.charge(1).status)
                except OSError as error:
                    print(f"the honest agent met {error!r}")  # noqa: T201 (seen if the test fails)
                    statuses.append(0)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield lambda: list(statuses)
    finally:
        stop.set()
        thread.join()


def unharmed(statuses: list[int], *, at_least: int = 6) -> None:
    assert {200} == set(statuses)
    assert at_least <= len(statuses)


def test_91_connections_that_drip(scene: Scene, up: RuncapUp, run: IssuedRun) -> None:
    """Two thousand slow connections at every stage, from the honest agent's own address."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, CONNECTIONS + 1_000)), hard))
    opened: list[socket.socket] = []
    proxy, gateway = (urlsplit(url) for url in (up.proxy, up.gateway))
    connect = f"CONNECT {STRIPE}:443 HTTP/1.1\r\nHost: {STRIPE}:443\r\n\r\n".encode()
    hello = connect + b"\x16\x03\x01"
    beginnings = ((proxy, connect[:20]), (gateway, b"GET /stripe/v1/b"), (proxy, hello), (proxy, b""))
    try:
        with honest(up, run) as statuses:
            for number in range(CONNECTIONS):
                url, data = beginnings[number % len(beginnings)]
                slow = socket.create_connection((url.hostname, url.port), 10)
                opened.append(slow)
                slow.sendall(data)
            for _ in range(3):
                enough = len(statuses()) + 2
                for slow in opened:
                    with suppress(OSError):  # some have had to go
                        slow.send(b"x")
                wait_until("the honest agent's calls", lambda: len(statuses()) >= enough)  # noqa: B023
        unharmed(statuses())
    finally:
        for slow in opened:
            slow.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_92_a_header_line_of_30_megabytes(scene: Scene, up: RuncapUp, run: IssuedRun) -> None:
    """At the proxy's port, inside a tunnel and on the gateway: refused long before its end."""
    line = b"GET /v1/balance HTTP/1.1\r\nX-Long: " + b"a" * 30_000_000
    openings: tuple[Callable[[], Raw], ...] = (lambda: Raw(up.proxy), lambda: tunnel(up), lambda: Raw(up.gateway))
    with honest(up, run) as statuses:
        for opening in openings:
            with opening() as raw:
                with suppress(OSError):
                    raw.send(line)
                assert b"too_large" in raw.rest()
        wait_until("the honest agent's calls", lambda: len(statuses()) >= 6)
    unharmed(statuses())


def test_93_no_file_descriptors_left(scene: Scene, up: RuncapUp, run: IssuedRun) -> None:
    """A worker that cannot open another file does not die of it, sends nothing unreserved, and recovers."""
    workers = up.processes.workers()
    before = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in workers}
    url = urlsplit(up.proxy)
    opened: list[socket.socket] = []
    try:
        for pid in workers:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (FEW_FILES, before[pid][1]))
        for _ in range(200):
            with suppress(OSError):
                opened.append(socket.create_connection((url.hostname, url.port), 2))
    finally:
        for connection in opened:
            connection.close()
        for pid, limit in before.items():
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)
    for _ in range(6):
        with Caller(up, run) as caller:
            assert 200 == caller.charge(1).status


def test_94_bad_keys_and_a_slow_ledger(scene: Scene, up: RuncapUp, run: IssuedRun) -> None:
    """Ten thousand unknown keys, and a ledger that stands still for two seconds: the honest run does not notice.

    Nor is the audit flooded: 20 rows from each worker, and one a minute for all others.
    """
    seq = scene.last_seq()
    start = time.monotonic()
    keys = [new_vault_key() if number % 2 else f"vk_{number:040}" for number in range(BAD_KEYS)]
    with honest(up, run, pause=0.1) as statuses:
        ledger = up.processes.ledger()
        os.kill(ledger, signal.SIGSTOP)
        threading.Timer(2.0, os.kill, (ledger, signal.SIGCONT)).start()
        answered = asyncio.run(_try_keys(up, keys))
    unharmed(statuses())
    assert {401: BAD_KEYS} == answered
    unknown = [row for row in scene.rows_after(seq) if row["code"] == "key_unknown"]
    minutes = 1 + int((time.monotonic() - start) // 60)
    assert 20 <= len(unknown) <= 2 * 20 * minutes


async def _try_keys(up: RuncapUp, keys: list[str]) -> dict[int, int]:
    """Try each key on a connection of its own, 50 side by side; how often each status came."""
    url = urlsplit(up.gateway)
    left = iter(keys)
    counts: dict[int, int] = {}

    async def work() -> None:
        for key in left:
            reader, writer = await asyncio.open_connection(url.hostname, url.port)
            writer.write(f"GET /stripe/v1/balance HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
            status = int((await reader.read())[9:12])
            counts[status] = counts.get(status, 0) + 1
            writer.close()

    await asyncio.gather(*(work() for _ in range(50)))
    return counts
