"""A ledger whose clock a test can set: the scripts are the real ones, on a real server, but for one line.

Valkey has no clock of its own to set, so `now_ms` of common.lua adds an offset that the test keeps beside the namespace
(outside of its prefix, so that a rebuild does not wipe it).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from runcap.ledger import lua
from runcap.ledger.ledger import Ledger

_REAL = "  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)\n"
_SET = _REAL.rstrip() + " + tonumber(redis.call('GET', 'clock:' .. PREFIX) or 0)\n"


@contextmanager
def settable_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let `set_offset` move the clock of ledgers that are used inside."""
    read, clock_ms = lua._read, Ledger.clock_ms

    def read_patched(name: str) -> str:
        text = read(name)
        assert name != "common" or _REAL in text
        return text.replace(_REAL, _SET)

    async def clock_ms_patched(ledger: Ledger) -> int:
        offset = await ledger._client.command("GET", f"clock:{ledger._client.prefix}")
        return await clock_ms(ledger) + int(offset or 0)

    with monkeypatch.context() as patched:
        patched.setattr(lua, "_read", read_patched)
        patched.setattr(Ledger, "clock_ms", clock_ms_patched)
        lua.script.cache_clear()
        try:
            yield
        finally:
            lua.script.cache_clear()


async def set_offset(ledger: Ledger, offset_ms: int) -> None:
    """How far the ledger's clock is ahead of the real one."""
    await ledger._client.command("SET", f"clock:{ledger._client.prefix}", offset_ms)
