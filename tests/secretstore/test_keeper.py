"""Secrets of commands are fetched before they are needed, and again when they are too old or when somebody asks."""

import asyncio

import pytest

from runcap.secretstore import SecretStore
from runcap.secretstore import keeper as secretkeeper
from runcap.secretstore.keeper import SecretKeeper


class CountingStore(SecretStore):
    """Counts how often it is read anew."""

    def __init__(self, *, commands: bool, works: bool = True) -> None:
        self.refreshed = asyncio.Semaphore(0)
        self.times = 0
        self._commands, self._works = commands, works
        self._loop = asyncio.get_running_loop()

    @property
    def has_commands(self) -> bool:
        return self._commands

    def refresh(self) -> bool:
        self.times += 1
        self._loop.call_soon_threadsafe(self.refreshed.release)
        if self.times == 2 and not self._works:
            raise RuntimeError("unforeseen")
        return self._works


async def test_all_are_read_before_the_first_call() -> None:
    """Inside, no call waits for a command; without one, nothing is read again by itself."""
    store = CountingStore(commands=False)
    async with SecretKeeper(store, 1) as keeper:
        assert 1 == store.times
        assert None is keeper._pause_seconds(fresh=True)


async def test_reload_reads_anew() -> None:
    """Without waiting for the age."""
    store = CountingStore(commands=True)
    async with SecretKeeper(store, 3600) as keeper:
        await store.refreshed.acquire()
        keeper.reload()
        await store.refreshed.acquire()
    assert 2 == store.times


async def test_age_and_failure_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure is tried again sooner, even one that nobody foresaw."""
    monkeypatch.setattr(secretkeeper, "_RETRY_SECONDS", 0)
    store = CountingStore(commands=True, works=False)
    async with SecretKeeper(store, 3600), asyncio.timeout(60):
        for _ in range(4):
            await store.refreshed.acquire()
    assert store.times >= 4


@pytest.mark.parametrize(
    ("max_age", "fresh", "expected"), [(3600, True, 3600), (0, True, None), (0, False, 30), (5, False, 5)]
)
async def test_how_long_it_waits(max_age: int, fresh: bool, expected: int | None) -> None:
    """The age that is configured; 0 waits for SIGHUP, but not after a failure."""
    assert expected == SecretKeeper(CountingStore(commands=True), max_age)._pause_seconds(fresh=fresh)
