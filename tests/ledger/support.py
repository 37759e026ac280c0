"""What the ledger's tests share: a run to spend with, and short ways to ask, end and look."""

import json
import secrets
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from runcap.decision import Code, Deny, Refused
from runcap.ledger import keys
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Ask, Caps, End, Ended, Held, Level, Run, Window
from runcap.ledger.policy import NO_POLICY, Policy
from runcap.runs import key_digest, new_run_id, new_vault_key
from runcap.vendors.base import Ending

ACTOR = "test"
CHARGE = "POST /v1/charges"
REFUND = "POST /v1/refunds"
TRANSFER = "POST /v1/transfers"
DAY_MS = 86_400_000


async def issue(
    ledger: Ledger,
    *,
    label: str = "billing-nightly",
    caps: Caps | None = None,
    vendors: tuple[str, ...] = ("stripe",),
    policy: Policy = NO_POLICY,
    expires_at_ms: int | None = None,
) -> Run:
    """Issue a run of a new key."""
    digest = key_digest(new_vault_key())
    run = Run(new_run_id(), label, digest, caps or Caps(), vendors, policy, expires_at_ms=expires_at_ms)
    return await ledger.issue(run, ACTOR)


def ask(run: Run, micros: int, **changes: Any) -> Ask:
    """Ask for a charge by Stripe that costs `micros`."""
    row = {"vendor": "stripe", "operation": CHARGE, "cost_micros": micros}
    base = Ask(secrets.token_hex(16), run.key_digest, "stripe", CHARGE, micros, 60_000, row)
    return replace(base, **changes)


async def denied(ledger: Ledger, asked: Ask) -> Deny:
    """Ask, and return the refusal."""
    with pytest.raises(Refused) as caught:
        await ledger.reserve(asked)
    return caught.value.deny


async def denied_code(ledger: Ledger, asked: Ask) -> Code:
    """Ask, and return why it was refused."""
    return (await denied(ledger, asked)).code


async def settle(ledger: Ledger, held: Held, micros: int | None = None, **changes: Any) -> Ended:
    """End a reservation as settled."""
    return await ledger.finish(End(held.reservation_id, Ending.SETTLED, micros, **changes))


async def release(ledger: Ledger, held: Held) -> Ended:
    """End a reservation as released."""
    return await ledger.finish(End(held.reservation_id, Ending.RELEASED))


async def lose(ledger: Ledger, held: Held, **changes: Any) -> Ended:
    """End a reservation as unknown."""
    return await ledger.finish(End(held.reservation_id, Ending.UNKNOWN, **changes))


async def spent(ledger: Ledger, level: Level, selector: str, window: Window = "total") -> tuple[int, int]:
    """Held and spent micros."""
    found = (await ledger.spend(level, selector))[window]
    return found.held_micros, found.spent_micros


async def counted(ledger: Ledger, run: Run) -> tuple[int, int]:
    """Held and spent micros of a run, the same in all windows."""
    found = await ledger.spend("run", run.run_id)
    assert found["day"] == found["month"] == found["total"]
    return found["total"].held_micros, found["total"].spent_micros


async def call_rows(ledger: Ledger) -> list[dict[str, str]]:
    """The audit rows of calls."""
    return [row for _, row in await ledger.read_audit("0", 10_000) if row["kind"] == "call"]


async def admin_rows(ledger: Ledger) -> list[dict[str, Any]]:
    """The audit rows of administration, their detail decoded."""
    rows = [row for _, row in await ledger.read_audit("0", 10_000) if row["kind"] == "admin"]
    return [row | {"detail": json.loads(row["detail"])} for row in rows]


async def expire(ledger: Ledger, held: Held | str) -> None:
    """Put a reservation's deadline into the past."""
    reservation_id = held if isinstance(held, str) else held.reservation_id
    await redis(ledger, "ZADD", keys.open_reservations(ledger._client.prefix), 1, reservation_id)


async def redis(ledger: Ledger, *parts: str | int) -> Any:
    """Speak to the server directly, as a tamperer or a fault would."""
    return await ledger._client.command(*parts)


async def snapshot(ledger: Ledger) -> dict[str, Any]:
    """All that the namespace holds."""
    readers = {
        "string": ("GET",),
        "hash": ("HGETALL",),
        "zset": ("ZRANGE", 0, -1, "WITHSCORES"),
        "stream": ("XRANGE", "-", "+"),
    }
    found = {}
    for key in sorted(await redis(ledger, "KEYS", f"{ledger._client.prefix}*")):
        command, *rest = readers[await redis(ledger, "TYPE", key)]
        found[key] = await redis(ledger, command, key, *rest)
    return found


async def move_to(ledger: Ledger, held: Held, days_ago: int) -> str:
    """Make a reservation one of an earlier day, as if midnight had passed since; returns that day."""
    prefix = ledger._client.prefix
    key = keys.reservation(prefix, held.reservation_id)
    lines = (await redis(ledger, "GET", key)).split("\n")
    today, day = lines[4], str(date.fromisoformat(lines[4]) - timedelta(days=days_ago))
    await redis(ledger, "SET", key, "\n".join([*lines[:4], day, *lines[5:]]))
    for hold in lines[16:-1]:
        micros, _, selector = hold.partition(" ")
        counters = keys.spend(prefix, selector)
        for before, after in ((f"day:{today}", f"day:{day}"), (f"month:{today[:7]}", f"month:{day[:7]}")):
            await redis(ledger, "HINCRBY", counters, f"{before}:held", f"-{micros}")
            await redis(ledger, "HINCRBY", counters, f"{after}:held", micros)
            await redis(ledger, "HINCRBY", counters, f"{after}:spent", 0)
    return day


async def field(ledger: Ledger, selector: str, name: str) -> int | None:
    """One field of a selector's counters."""
    text = await redis(ledger, "HGET", keys.spend(ledger._client.prefix, selector), name)
    return None if text is None else int(text)


async def today_of(ledger: Ledger) -> str:
    """The ledger's day, such as ``2026-11-24``."""
    return datetime.fromtimestamp(await ledger.clock_ms() / 1000, UTC).strftime("%Y-%m-%d")
