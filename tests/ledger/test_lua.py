"""The calendar and the numbers of common.lua, against Python's."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from runcap.ledger import lua

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_MS = 253_370_764_800_000 - 1
"""The end of the year 9998: the first of the next month has to have four digits too."""

_settings = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)


@pytest.fixture(scope="module")
def redis(server_url: str) -> Iterator[Redis]:
    """One connection for all examples."""
    with Redis.from_url(server_url, decode_responses=True) as connected:
        yield connected


def evaluate(redis: Redis, expression: str, *args: str) -> list[str]:
    """Run an expression behind common.lua."""
    text = lua._read("common") + f"\nreturn {{ {expression} }}"
    found: list[str] = redis.eval(text, 1, "runcap:{none}:", *args)
    return found


@_settings
@given(ms=st.integers(0, _LATEST_MS))
def test_days_and_resets_are_those_of_the_calendar(redis: Redis, ms: int) -> None:
    """Day, month, and when both begin anew, for every ms from 1970 on."""
    now = _EPOCH + timedelta(milliseconds=ms)
    tomorrow = now + timedelta(days=1)
    next_month = (now.replace(day=1) + timedelta(days=31)).replace(day=1)
    names = "day_of(tonumber(ARGV[1])), month_of(day_of(tonumber(ARGV[1]))), "
    resets = "resets_at('day', tonumber(ARGV[1])), resets_at('month', tonumber(ARGV[1])), resets_at('total', 0)"
    assert [
        f"{now:%Y-%m-%d}",
        f"{now:%Y-%m}",
        f"{tomorrow:%Y-%m-%d}T00:00:00Z",
        f"{next_month:%Y-%m-%d}T00:00:00Z",
        "",
    ] == evaluate(redis, names + resets, str(ms))


@_settings
@given(number=st.integers(0, 2**53 - 1))
def test_numbers_pass_unchanged(redis: Redis, number: int) -> None:
    """Read, written as text, and read again from what the server has written: all digits."""
    write = "redis.call('HSET', KEYS[1], 'f', number_of(ARGV[1], 'n'))"
    stored = f"(function() {write} return redis.call('HGET', KEYS[1], 'f') end)()"
    expression = f"text_of(number_of(ARGV[1], 'n')), text_of(stored_number(ARGV[1], 'n')), {stored}"
    assert [str(number)] * 3 == evaluate(redis, expression, str(number))


@_settings
@given(text=st.text(alphabet="0123456789+-.exnaif \n\u0661", max_size=20))
def test_whatever_is_no_plain_number_is_refused(redis: Redis, text: str) -> None:
    """number_of takes exactly what is ASCII digits, at most 16, below 2^53."""
    plain = text.isascii() and text.isdigit() and len(text) <= 16 and int(text) < 2**53
    (taken,) = evaluate(redis, "tostring((pcall(number_of, ARGV[1], 'n')))", text)
    assert ("true" if plain else "false") == taken


def test_each_script_says_what_it_does() -> None:
    """Purpose, KEYS and what it returns stand in the header of every script; none is left out of the package."""
    scripts = [
        entry for entry in (resources.files("runcap.ledger") / "scripts").iterdir() if entry.name.endswith(".lua")
    ]
    assert len(scripts) > 15
    for entry in scripts:
        text = entry.read_text("utf-8")
        if text.startswith("-- include:"):
            header = text.partition("\n\n")[0]
            assert {True} == {word in header for word in ("KEYS[1]", "Returns")}, entry.name
            assert lua.script(entry.name.removesuffix(".lua")).text.endswith(text)
        else:
            assert text.startswith("-- Shared"), entry.name
