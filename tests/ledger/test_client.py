"""Whatever is wrong with the server, a call is refused; nothing that may have run is sent again."""

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from runcap.decision import Code, Refused
from runcap.ledger.embedded import EmbeddedLedger
from runcap.ledger.ledger import Ledger
from tests.ledger.support import ACTOR, ask, counted, denied_code, issue, redis


async def test_scripts_that_the_server_forgot_are_sent_again(ledger: Ledger) -> None:
    """SCRIPT FLUSH in the midst of calls costs nothing."""
    run = await issue(ledger)

    async def flush() -> None:
        for _ in range(20):
            await redis(ledger, "SCRIPT", "FLUSH")

    await asyncio.gather(flush(), *(ledger.reserve(ask(run, 1)) for _ in range(100)))
    assert (100, 0) == await counted(ledger, run)


async def test_no_server_is_a_refusal() -> None:
    """By TCP and by socket."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        for url in (f"redis://127.0.0.1:{unused.getsockname()[1]}", "unix:///nowhere/ledger.sock"):
            ledger = Ledger.connect(url)
            with pytest.raises(Refused) as caught:
                await ledger.ping()
            assert (Code.LEDGER_UNAVAILABLE, 503) == (caught.value.deny.code, caught.value.deny.status)
            await ledger.close()


async def test_a_server_that_hangs_is_a_refusal_and_its_hold_ends_as_spent(tmp_path: Path) -> None:
    """The answer is lost, the hold is not: it is there once, until the sweeper ends it."""
    with EmbeddedLedger(tmp_path) as embedded:
        ledger = Ledger.connect(embedded.url, timeout_seconds=0.2)
        await ledger.initialise("epoch", ACTOR)
        run = await issue(ledger)
        await ledger.reserve(ask(run, 1))
        pid = int((await ledger._client.redis.info("server"))["process_id"])
        os.kill(pid, signal.SIGSTOP)
        try:
            assert Code.LEDGER_UNAVAILABLE == await denied_code(ledger, ask(run, 10, deadline_ms=0))
        finally:
            os.kill(pid, signal.SIGCONT)
        # The stopped server reads it when it goes on; there is no event for that on our side.
        while await counted(ledger, run) == (1, 0):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert 1 == await ledger.sweep()
        assert (1, 10) == await counted(ledger, run)
        await ledger.close()


async def test_a_server_out_of_memory_is_a_refusal(tmp_path: Path) -> None:
    """Nothing is half-written, and it goes on when there is memory again."""
    with EmbeddedLedger(tmp_path) as embedded:
        ledger = Ledger.connect(embedded.url)
        await ledger.initialise("epoch", ACTOR)
        run = await issue(ledger)
        await ledger._client.redis.config_set("maxmemory", "1")
        assert Code.LEDGER_UNAVAILABLE == await denied_code(ledger, ask(run, 1))
        await ledger._client.redis.config_set("maxmemory", "0")
        assert (0, 0) == await counted(ledger, run)
        assert 1 == (await ledger.reserve(ask(run, 1))).held_micros
        assert [] == await ledger.check()
        await ledger.close()


@pytest.mark.parametrize("url", ["http://127.0.0.1", "nonsense"])
def test_a_url_that_is_none_is_an_error(url: str) -> None:
    """At once, not at the first call."""
    with pytest.raises(ValueError, match="URL"):
        Ledger.connect(url)
