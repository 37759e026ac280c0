"""The one connection that all scripts of a process share: order, loss, hanging servers, TLS options."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import AuthenticationError, NoScriptError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from runcap.ledger.pipe import Pipe

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    """A server of the test's own; yields its URL, and ends with its connections."""
    handlers: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        try:
            await handler(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{running.sockets[0].getsockname()[1]}"
    finally:
        running.close()
        await asyncio.gather(*handlers)


async def read_command(reader: asyncio.StreamReader) -> list[bytes]:
    """One command in the protocol's array form."""
    count = int((await reader.readline())[1:])
    parts = []
    for _ in range(count):
        length = int((await reader.readline())[1:])
        parts.append((await reader.readexactly(length + 2))[:-2])
    return parts


async def test_answers_find_their_askers(server_url: str) -> None:
    """Many at once on one connection: each gets its own answer."""
    pipe = Pipe(server_url, 2)

    answers = await asyncio.gather(*(pipe.execute("ECHO", str(number)) for number in range(500)))

    assert [str(number) for number in range(500)] == answers
    clients = await pipe.execute("CLIENT", "LIST")
    assert 1 == sum("cmd=client" in line for line in clients.splitlines())
    pipe.close()


async def test_error_replies_are_raised_and_the_connection_stays(server_url: str) -> None:
    """An error belongs to its command alone."""
    pipe = Pipe(server_url, 2)

    with pytest.raises(NoScriptError):
        await pipe.execute("EVALSHA", "0" * 40, 0)
    with pytest.raises(ResponseError, match="unknown command"):
        await pipe.execute("NONSENSE")
    assert "PONG" == await pipe.execute("PING")
    pipe.close()


async def test_a_cancelled_asker_does_not_shift_the_answers(server_url: str) -> None:
    """The answer to a command that nobody awaits any more is thrown away, not given to the next."""
    pipe = Pipe(server_url, 2)
    await pipe.execute("PING")
    abandoned = asyncio.create_task(pipe.execute("ECHO", "abandoned"))
    await asyncio.sleep(0)
    abandoned.cancel()

    assert "mine" == await pipe.execute("ECHO", "mine")
    with pytest.raises(asyncio.CancelledError):
        await abandoned
    pipe.close()


async def test_patient_commands_go_with_the_next_or_after_a_moment() -> None:
    """One that waits alone lets the next go first; more are in one write with it, in their place in the order."""
    arrived: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            arrived.append(b" ".join(data.split()[2::3]))
            writer.write(b"+OK\r\n" * data.count(b"*"))
        writer.close()

    async with server(answer) as url:
        pipe = Pipe(url, 2)
        await pipe.execute("FIRST")

        async def with_patient(*names: str) -> None:
            waiting = [asyncio.create_task(pipe.execute(name, patient=True)) for name in names]
            await asyncio.sleep(0)
            await asyncio.gather(pipe.execute("NEXT"), *waiting)

        await with_patient("LONELY")
        await with_patient("ONE", "TWO")
        assert "OK" == await pipe.execute("NOTHING-FOLLOWS", patient=True)
        pipe.close()

    assert [b"FIRST", b"NEXT", b"LONELY", b"ONE TWO NEXT", b"NOTHING-FOLLOWS"] == arrived


async def test_closing_fails_what_was_not_even_sent() -> None:
    """A patient command that is still with us is lost as one that is under way is."""
    arrived: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            arrived.append(data)
            writer.write(b"+OK\r\n")
        writer.close()

    async with server(answer) as url:
        pipe = Pipe(url, 2)
        await pipe.execute("FIRST")
        late = asyncio.create_task(pipe.execute("LATE", patient=True))
        await asyncio.sleep(0)
        pipe.close()
        with pytest.raises(RedisConnectionError):
            await late

    assert 1 == len(arrived)


async def test_a_lost_connection_fails_what_waits_and_is_opened_again() -> None:
    """Nothing is sent twice: what was under way fails, what comes next connects anew."""
    seen: list[bytes] = []

    async def answer_the_second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (command, *_) = await read_command(reader)
        seen.append(command)
        if len(seen) > 1:
            writer.write(b"+OK\r\n")
        writer.close()

    async with server(answer_the_second) as url:
        pipe = Pipe(url, 2)
        with pytest.raises(RedisConnectionError):
            await pipe.execute("FIRST")
        assert "OK" == await pipe.execute("SECOND")
        pipe.close()
    assert [b"FIRST", b"SECOND"] == seen


async def test_a_server_that_hangs_is_given_up() -> None:
    """The oldest command that waits too long ends the connection and all that waits on it."""
    release = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    async with server(hang) as url:
        pipe = Pipe(url, 0.1)
        answers = await asyncio.gather(pipe.execute("PING"), pipe.execute("PING"), return_exceptions=True)
        assert [RedisTimeoutError, RedisTimeoutError] == [type(answer) for answer in answers]
        release.set()
        pipe.close()


async def test_bytes_that_are_no_protocol_end_the_connection() -> None:
    """A server that speaks something else is an error, not a wait."""

    async def speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_command(reader)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    async with server(speak_http) as url:
        pipe = Pipe(url, 2)
        with pytest.raises(RedisConnectionError):
            await pipe.execute("PING")
        pipe.close()


async def test_a_password_and_a_database_are_said_first() -> None:
    """AUTH and SELECT go out before the first command; a refused password is an error, and ends the connection."""
    seen: list[list[bytes]] = []
    ended: asyncio.Queue[bytes] = asyncio.Queue()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ValueError, asyncio.IncompleteReadError):
            while True:
                command = await read_command(reader)
                seen.append(command)
                refused = command[-1] == b"wrong"
                writer.write(b"-WRONGPASS no\r\n" if refused else b"+OK\r\n")
        ended.put_nowait(seen[-1][-1])
        writer.close()

    async with server(listen) as url:
        address = url.removeprefix("redis://")
        good = Pipe(f"redis://user:right@{address}/3", 2)
        assert "OK" == await good.execute("PING")
        assert [[b"AUTH", b"user", b"right"], [b"SELECT", b"3"], [b"PING"]] == seen
        good.close()
        bad = Pipe(f"redis://:wrong@{address}", 2)
        with pytest.raises(AuthenticationError):
            await bad.execute("PING")
        async with asyncio.timeout(10):
            assert {b"PING", b"wrong"} == {await ended.get(), await ended.get()}
        bad.close()


async def test_nobody_there() -> None:
    """A port at which nobody listens is an error of the system's."""
    async with server(lambda *_: asyncio.sleep(0)) as url:
        pass
    with pytest.raises(OSError, match=r"Connect call failed|refused"):
        await Pipe(url, 2).execute("PING")
