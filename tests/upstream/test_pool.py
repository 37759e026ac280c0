"""The connections to a vendor: kept, dropped, bounded, closed; and the times of a call."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from runcap.upstream import pool as pool_module
from runcap.upstream.answer import BadAnswer
from runcap.upstream.connection import Connection, ConnectionEnded
from runcap.upstream.pool import CannotConnect, Pool, Route
from runcap.upstream.request import encode_request
from runcap.vendors.base import Response, Upstream
from tests.fakes.scripted import HOST, OK, ScriptedVendor

CALL = encode_request(HOST, Upstream("POST", "/v1/charges", body=b"a=1"), ())


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (what is waited for is on the other side of a socket)
            await asyncio.sleep(0.01)


async def answers_twice(writer: asyncio.StreamWriter) -> None:
    """Answer, and send another answer that nobody has asked for."""
    writer.write(OK)
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.write(OK.replace(b"ok", b"no"))


async def answers_and_closes(writer: asyncio.StreamWriter) -> None:
    """Answer, and say that it was the last."""
    writer.write(OK.replace(b"OK", b"OK\r\nconnection: close"))


async def waits(_: asyncio.StreamWriter) -> None:
    """Never answer."""


async def dribbles(writer: asyncio.StreamWriter) -> None:
    """Answer a byte at a time, each well before the silence is too long."""
    for byte in OK:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.02)


class Vendor(ScriptedVendor):
    """One that is waited for, and has a pool."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    @asynccontextmanager
    async def pool(self) -> AsyncIterator[Pool]:
        """A pool to this vendor."""
        async with self.serving(self.folder) as route:
            pool = Pool(route, connect_seconds=5)
            yield pool
            await pool.close()

    async def until_called(self) -> None:
        """Wait until a call has come."""
        await until(lambda: bool(self.calls))

    async def until_closed(self) -> None:
        """Wait until no connection is open."""
        await until(lambda: not self.open)


@pytest.fixture
def vendor(tmp_path: Path) -> Vendor:
    return Vendor(tmp_path)


def soon(seconds: float = 5.0) -> float:
    """A deadline by the loop's clock."""
    return asyncio.get_running_loop().time() + seconds


async def call(pool: Pool, *, seconds: float = 5.0, silence: float = 5.0, fresh: bool = False) -> Response:
    """One call, as the forwarder makes it."""
    connection = await pool.take(soon(seconds), fresh=fresh)
    try:
        return await connection.exchange(CALL, deadline=soon(seconds), silence_seconds=silence)
    finally:
        pool.give_back(connection)


async def test_a_connection_is_used_again(vendor: Vendor) -> None:
    """One after the other over one; a fresh one when it is asked for."""
    async with vendor.pool() as pool:
        for _ in range(3):
            assert b"ok" == (await call(pool)).body
        await call(pool, fresh=True)
        assert [1, 1, 1, 2] == vendor.calls


async def test_calls_at_once_have_connections_of_their_own(vendor: Vendor) -> None:
    """An answer can only be its own call's."""
    async with vendor.pool() as pool:
        await asyncio.gather(*(call(pool) for _ in range(4)))
        assert {1, 2, 3, 4} == set(vendor.calls)


async def test_an_answer_that_nobody_asked_for_ends_the_connection(vendor: Vendor) -> None:
    """It must not be taken for that of the next call."""
    vendor.behaviours = [answers_twice]
    async with vendor.pool() as pool:
        await call(pool)
        await vendor.until_closed()
        assert b"ok" == (await call(pool)).body
        assert [1, 2] == vendor.calls


async def test_a_vendor_that_says_close_is_closed(vendor: Vendor) -> None:
    """At once, not when the next call comes."""
    vendor.behaviours = [answers_and_closes]
    async with vendor.pool() as pool:
        await call(pool)
        await vendor.until_closed()
        await call(pool)
        assert [1, 2] == vendor.calls


async def test_an_idle_connection_is_closed_in_time(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the vendor does it, and whether or not another call comes."""
    monkeypatch.setattr(pool_module, "KEEPALIVE_SECONDS", 0.1)
    async with vendor.pool() as pool:
        await asyncio.gather(call(pool), call(pool))
        await vendor.until_closed()
        await call(pool)
        assert 3 == vendor.connections


async def test_the_oldest_idle_connections_are_not_kept_alive_by_new_calls(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection that was used last is used next, so that after a busy hour the others can go."""
    monkeypatch.setattr(pool_module, "KEEPALIVE_SECONDS", 0.3)
    async with vendor.pool() as pool:
        await asyncio.gather(*(call(pool) for _ in range(3)))
        async with asyncio.timeout(5):
            while vendor.open > 1:
                await call(pool)
                await asyncio.sleep(0.02)
        assert 3 == vendor.connections


async def test_no_more_at_once_than_the_limit(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next waits for one to be given back, and at its deadline it was not sent."""
    monkeypatch.setattr(pool_module, "MAX_CALLS", 2)
    async with vendor.pool() as pool:
        held = [await pool.take(soon()), await pool.take(soon())]
        with pytest.raises(CannotConnect, match="busy"):
            await pool.take(soon(0.05))
        waiting = asyncio.create_task(call(pool))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        pool.give_back(held[0])
        assert 200 == (await waiting).status
        pool.give_back(held[1])
        assert 2 == vendor.connections


async def test_a_failed_dial_takes_no_place(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a vendor that was down for a while could never be reached again."""
    monkeypatch.setattr(pool_module, "MAX_CALLS", 1)
    async with vendor.pool():
        pass
    pool = Pool(Route(HOST, "127.0.0.1", 1, vendor.folder / "ca.pem"), connect_seconds=5)
    for _ in range(3):
        with pytest.raises(CannotConnect, match="Connect call failed"):
            await pool.take(soon(0.5))
    await pool.close()


async def test_silence_and_lateness(vendor: Vendor) -> None:
    """A byte ends a silence; the deadline is the answer's as a whole. Neither leaves a connection to the next call."""
    vendor.behaviours = [waits, dribbles, dribbles]
    async with vendor.pool() as pool:
        with pytest.raises(TimeoutError):
            await call(pool, silence=0.1)
        assert b"ok" == (await call(pool, silence=0.3)).body
        with pytest.raises(TimeoutError):
            await call(pool, seconds=0.3, silence=0.3)
        await call(pool)
        assert [1, 2, 2, 3] == vendor.calls


async def test_a_call_that_is_cancelled_ends_its_connection(vendor: Vendor) -> None:
    """Its answer may still come, and would be the next call's."""
    vendor.behaviours = [waits]
    async with vendor.pool() as pool:
        calling = asyncio.create_task(call(pool))
        await vendor.until_called()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await vendor.until_closed()
        await call(pool)
        assert [1, 2] == vendor.calls


async def test_closing_ends_what_is_under_way(vendor: Vendor) -> None:
    """No call outlives the pool."""
    vendor.behaviours = [waits]
    async with vendor.pool() as pool:
        calling = asyncio.create_task(call(pool))
        await vendor.until_called()
        await pool.close()
        with pytest.raises(ConnectionEnded):
            await calling
        await vendor.until_closed()


async def test_another_name_is_not_spoken_to(vendor: Vendor) -> None:
    """The certificate must carry the vendor's own name, wherever it is dialled."""
    async with vendor.pool() as good:
        port = good._route.dial_port
        pool = Pool(Route("api.twilio.com", "127.0.0.1", port, vendor.folder / "ca.pem"), connect_seconds=5)
        with pytest.raises(CannotConnect, match="not valid for"):
            await pool.take(soon())
        await pool.close()
    assert [] == vendor.calls


async def test_the_second_address_is_tried(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name whose first address does not answer is reached by its next."""
    async with vendor.pool() as pool:
        loop = asyncio.get_running_loop()
        port = pool._route.dial_port
        good, dead = await loop.getaddrinfo("127.0.0.1", port), await loop.getaddrinfo("127.0.0.1", 1)

        async def both(*_: object, **__: object) -> list[object]:
            monkeypatch.undo()  # uvloop asks once more for each address when it dials it
            return [dead[0], good[0]]

        monkeypatch.setattr(loop, "getaddrinfo", both)
        assert 200 == (await call(pool)).status


async def test_a_bad_answer_ends_the_connection(vendor: Vendor) -> None:
    """What follows it could be anything."""

    async def answers_badly(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!")

    vendor.behaviours = [answers_badly]
    async with vendor.pool() as pool:
        with pytest.raises(BadAnswer):
            await call(pool)
        await call(pool)
        assert [1, 2] == vendor.calls


async def test_a_connection_belongs_to_one_call(vendor: Vendor) -> None:
    """While one is under way, it is not in the pool."""
    async with vendor.pool() as pool:
        first: Connection = await pool.take(soon())
        second = await pool.take(soon())
        assert first is not second
        pool.give_back(first)
        assert first is await pool.take(soon())
        pool.give_back(first)
        pool.give_back(second)


ON_BOTH_LOOPS = [name for name, test in globals().items() if name.startswith("test_")]


@pytest.mark.parametrize("name", ON_BOTH_LOOPS)
def test_the_same_on_uvloop(name: str, request: pytest.FixtureRequest) -> None:
    """Which a worker runs on; the tests above are on asyncio's own loop, as mitmdump and commands are."""
    test = globals()[name]
    fixtures = {fixture: request.getfixturevalue(fixture) for fixture in inspect.signature(test).parameters}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test(**fixtures))
