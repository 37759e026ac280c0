"""What the ledger can take: pairs of reserve and finish, with nothing in it and with a million runs.

Both ledgers are up at the same time and asked by turns, so that their ratio is not that of two minutes.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from redis import Redis

from runcap.ledger.embedded import EmbeddedLedger
from runcap.ledger.ledger import Ledger
from scripts.bench.bulk import Filler, ask, end, issue
from scripts.bench.figures import record
from scripts.bench.rounds import Span

_IN_FLIGHT = 32
_ONE_BY_ONE = 300


@contextmanager
def embedded(home: Path) -> Iterator[str]:
    """An embedded ledger as `runcap up` has it; its URL."""
    home.mkdir()
    with EmbeddedLedger(home) as ledger:
        yield ledger.url


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Ledger]:
    """An initialised ledger's client."""
    ledger = Ledger.connect(url, timeout_seconds=60.0)
    try:
        await ledger.initialise("bench", "bench")
        yield ledger
    finally:
        await ledger.close()


async def measure(folder: Path, runs: int, caps: int, *, seconds: float, turns: int, note: str) -> dict[str, Any]:
    """Pairs a second with the empty and with the full ledger, and a lone reserve.

    Args:
        folder: for both.
        runs: in the full one.
        caps: fleet caps in the full one.
        seconds: of a turn.
        turns: with each of both.
        note: about the size, for the report.
    """
    rates: dict[str, list[float]] = {"empty": [], "full": []}
    with embedded(folder / "empty") as empty_url, embedded(folder / "full") as full_url:
        async with opened(empty_url) as empty, opened(full_url) as full:
            await _fill(full_url, runs, caps)
            digests = {"empty": await issue(empty), "full": await issue(full)}
            ledgers = {"empty": empty, "full": full}
            for turn in range(-1, turns):  # the first one warms up
                for name in ("empty", "full") if turn % 2 else ("full", "empty"):
                    rate = await _pairs_per_second(ledgers[name], digests[name], seconds)
                    if turn >= 0:
                        rates[name].append(rate)
            durable = await _one_by_one_ms(empty, digests["empty"])
            with Redis.from_url(empty_url) as connection:
                connection.config_set("appendfsync", "no")
            lazy = await _one_by_one_ms(empty, digests["empty"])
    return {
        "pairs": record(Span.of(rates["empty"])),
        "pairs_large": record(Span.of(f / e for f, e in zip(rates["full"], rates["empty"], strict=True)), note),
        "reserve": record(durable),
        "reserve_lazy": record(lazy),
    }


async def _pairs_per_second(ledger: Ledger, digest: str, seconds: float) -> float:
    began, done = time.perf_counter(), 0

    async def pairs(number: int) -> None:
        nonlocal done
        while time.perf_counter() < began + seconds:
            done += 1
            identity = f"{began}-{number}-{done}"
            await ledger.reserve(ask(identity, digest))
            await ledger.finish(end(identity))

    await asyncio.gather(*(pairs(number) for number in range(_IN_FLIGHT)))
    rate = done / (time.perf_counter() - began)
    await forget_audit(ledger)
    return rate


async def _one_by_one_ms(ledger: Ledger, digest: str) -> float:
    times = []
    for number in range(_ONE_BY_ONE):
        identity = f"{time.perf_counter()}-{number}"
        began = time.perf_counter()
        await ledger.reserve(ask(identity, digest))
        times.append(time.perf_counter() - began)
        await ledger.finish(end(identity))
    return statistics.median(times) * 1000


async def _fill(url: str, runs: int, caps: int) -> None:
    """Fill a ledger without waiting for the disk, and leave its server as it was: all on disk, at rest, and durable."""
    with Redis.from_url(url) as connection:
        connection.config_set("appendfsync", "no")
        connection.config_set("auto-aof-rewrite-percentage", 0)
        filler = Filler(url)
        await filler.runs_and_caps(runs, caps)
        filler.close()
        connection.bgrewriteaof()
        while _rewrites(connection):  # noqa: ASYNC110 (the server tells nobody when it has)
            await asyncio.sleep(0.2)
        connection.config_set("auto-aof-rewrite-percentage", 100)
        connection.config_set("appendfsync", "always")


def _rewrites(connection: Redis) -> bool:
    info: Any = connection.info("persistence")
    return bool(info["aof_rewrite_in_progress"] or info["aof_rewrite_scheduled"])


async def forget_audit(ledger: Ledger) -> None:
    """Empty the stream: nobody audits here."""
    while entries := await ledger.read_audit("0-0", 10_000, 0):
        await ledger.trim_audit(entries[-1][0])
