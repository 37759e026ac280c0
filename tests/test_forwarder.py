"""A pooled connection that the vendor closes just as a call goes out on it: what is sent again, and what never is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from runcap.forwarder import Forwarder, NoAnswer, NotSent
from runcap.vendors.base import Upstream
from tests.fakes.scripted import Behaviour, ScriptedVendor, answers

_KEY = (("authorization", "Bearer sk"), ("idempotency-key", "k"))
_NO_KEY = (("authorization", "Bearer sk"),)


async def resets(writer: asyncio.StreamWriter) -> None:
    """Close without an answer and without a goodbye, as a server does to what it has given up."""
    writer.transport.abort()


async def closes(writer: asyncio.StreamWriter) -> None:
    """Close in order, without an answer."""
    writer.close()


async def answers_half(writer: asyncio.StreamWriter) -> None:
    """Close in the middle of the answer's head."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-")
    await writer.drain()
    writer.close()


async def answers_half_a_body(writer: asyncio.StreamWriter) -> None:
    """Close in the middle of the answer's body."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nok")
    await writer.drain()
    writer.close()


@asynccontextmanager
async def vendor(tmp_path: Path, *behaviours: Behaviour) -> AsyncIterator[tuple[ScriptedVendor, Forwarder]]:
    """A vendor behind TLS, and a forwarder that knows it."""
    behaving = ScriptedVendor(list(behaviours))
    async with behaving.serving(tmp_path) as route:
        routes = {"stripe": route, "twilio": route, "resend": route}
        async with Forwarder(routes, timeout_seconds=10) as forwarder:
            yield behaving, forwarder


def charge(method: str = "POST") -> Upstream:
    """A call."""
    return Upstream(method, "/v1/charges", "", (), b"amount=1" if method != "GET" else b"")


@pytest.mark.parametrize("drops", [resets, closes])
@pytest.mark.parametrize("name", ["stripe", "resend"])
async def test_a_call_with_a_key_survives_a_stale_connection(tmp_path: Path, drops: Behaviour, name: str) -> None:
    """It is sent again, the very same, on a connection of its own; the pool goes on afterwards."""
    async with vendor(tmp_path, answers, drops) as (behaving, forwarder):
        await forwarder.send(name, charge(), _KEY)
        assert 200 == (await forwarder.send(name, charge(), _KEY)).status
        assert [1, 1, 2] == [connection for connection, _ in behaving.requests]
        assert {"POST /v1/charges"} == {line for _, line in behaving.requests}
        assert 200 == (await forwarder.send(name, charge(), _KEY)).status


async def test_a_read_survives_it_too(tmp_path: Path) -> None:
    """At any vendor: reading twice changes nothing."""
    async with vendor(tmp_path, answers, resets) as (behaving, forwarder):
        await forwarder.send("twilio", charge("GET"), _NO_KEY)
        assert b"ok" == (await forwarder.send("twilio", charge("GET"), _NO_KEY)).body
        assert 3 == len(behaving.requests)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("drops", [resets, closes])
async def test_a_write_without_a_key_is_never_sent_again(tmp_path: Path, drops: Behaviour, method: str) -> None:
    """As all of Twilio's: nobody can tell whether it was seen."""
    async with vendor(tmp_path, answers, drops) as (behaving, forwarder):
        await forwarder.send("twilio", charge("GET"), _NO_KEY)
        with pytest.raises(NoAnswer, match="the connection ended"):
            await forwarder.send("twilio", charge(method), _NO_KEY)
        assert 2 == len(behaving.requests)


@pytest.mark.parametrize("drops", [resets, closes])
async def test_a_new_connection_that_dies_is_no_stale_one(tmp_path: Path, drops: Behaviour) -> None:
    """Something is wrong with the vendor then, and a second attempt is the agent's to make."""
    async with vendor(tmp_path, drops) as (behaving, forwarder):
        with pytest.raises(NoAnswer):
            await forwarder.send("stripe", charge(), _KEY)
        assert 1 == len(behaving.requests)


@pytest.mark.parametrize("breaks", [answers_half, answers_half_a_body])
async def test_an_answer_that_had_begun_is_not_asked_for_again(tmp_path: Path, breaks: Behaviour) -> None:
    """The vendor has the call."""
    async with vendor(tmp_path, answers, breaks) as (behaving, forwarder):
        await forwarder.send("stripe", charge(), _KEY)
        with pytest.raises(NoAnswer):
            await forwarder.send("stripe", charge(), _KEY)
        assert 2 == len(behaving.requests)


async def test_it_is_sent_twice_at_the_most(tmp_path: Path) -> None:
    """A second connection that dies is the end of it."""
    async with vendor(tmp_path, answers, resets, resets) as (behaving, forwarder):
        await forwarder.send("stripe", charge(), _KEY)
        with pytest.raises(NoAnswer):
            await forwarder.send("stripe", charge(), _KEY)
        assert 3 == len(behaving.requests)


async def test_a_second_attempt_that_finds_no_connection_is_no_release(tmp_path: Path) -> None:
    """The first may have arrived; only a call whose first attempt found none was certainly not sent."""
    async with vendor(tmp_path, answers) as (behaving, forwarder):

        async def stops_and_resets(writer: asyncio.StreamWriter) -> None:
            behaving.stop()
            writer.transport.abort()

        behaving.behaviours.append(stops_and_resets)
        await forwarder.send("stripe", charge(), _KEY)
        with pytest.raises(NoAnswer):
            await forwarder.send("stripe", charge(), _KEY)
        with pytest.raises(NotSent):
            await forwarder.send("stripe", charge(), _KEY)
