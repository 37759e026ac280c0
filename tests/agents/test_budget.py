"""What an agent may ask runcap itself, on a ledger of the test's own."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from runcap.agents.budget import BUDGET_PATH, LAST_REFUSAL_PATH, Desk, own_path
from runcap.decision import Code, Refused
from runcap.entrance.wire import Message
from runcap.ledger.budgets import Allowance
from runcap.ledger.model import Caps, Run, Spend
from runcap.runs import key_digest, new_vault_key

KEY = new_vault_key()
RUN = Run(
    run_id="01M8", label="billing-eu", key_digest=key_digest(KEY), caps=Caps(day=50_000_000),
    vendors=("stripe", "resend"),
    expires_at_ms=1_796_000_000_000,
)  # fmt: skip
NOW_MS = 1_795_521_600_000
"""2026-11-24T12:00:00Z."""


class FakeLedger:
    """One run, and what bounds it."""

    def __init__(self, run: Run = RUN) -> None:
        self.run = run
        self.now_ms = NOW_MS

    async def run_of_key(self, key_digest: str) -> Run | None:
        return self.run if key_digest == self.run.key_digest else None

    async def allowances(self, run: Run) -> list[Allowance]:
        return [
            Allowance("run", run.run_id, "day", 50_000_000, Spend(1_000_000, 19_000_000)),
            Allowance("run", run.run_id, "month", None, Spend(1_000_000, 19_000_000)),
            Allowance("fleet", "billing-", "total", 25_000_000, Spend(0, 20_000_000)),
            Allowance("vendor", "resend", "month", 21_000_000, Spend(0, 30_000_000)),
        ]

    async def freezes_of(self, run: Run) -> list[str]:
        return ["vendor:resend"]

    async def clock_ms(self) -> int:
        return self.now_ms


def ask(path: str, *headers: tuple[str, str], method: str = "GET") -> Message:
    return Message(method, f"http://runcap.local{path}", headers, b"", keep_alive=True)


def desk(ledger: FakeLedger, audit: Path = Path("/nowhere/audit.db")) -> Desk:
    return Desk(ledger, audit, has_secret=lambda _name: True)


async def budget(ledger: FakeLedger) -> Any:
    reply = await desk(ledger).answer(BUDGET_PATH, ask(BUDGET_PATH, ("authorization", f"Bearer {KEY}")))
    assert 200 == reply.status
    return json.loads(reply.body)


async def test_every_level_has_its_line() -> None:
    """Dollars in text, what is held counted as spent, and when each window ends."""
    found = await budget(FakeLedger())
    names = ("level", "selector", "window", "spent_usd", "held_usd", "cap_usd", "remaining_usd", "resets_at")
    assert [
        ("run", "01M8", "day", "20.00", "1.00", "50.00", "30.00", "2026-11-25T00:00:00Z"),
        ("run", "01M8", "month", "20.00", "1.00", None, None, "2026-12-01T00:00:00Z"),
        ("fleet", "billing-", "total", "20.00", "0.00", "25.00", "5.00", None),
        ("vendor", "resend", "month", "30.00", "0.00", "21.00", "0.00", "2026-12-01T00:00:00Z"),
    ] == [tuple(level[name] for name in names) for level in found["levels"]]


async def test_the_tightest_cap_of_each_vendor() -> None:
    """A vendor's own cap is nothing to the others; an overrun one leaves nothing."""
    found = await budget(FakeLedger())
    assert {"stripe": "5.00", "resend": "0.00"} == found["remaining_usd"]
    assert ("billing-eu", ["vendor:resend"], "2026-11-24T12:00:00Z") == tuple(
        found[name] for name in ("label", "frozen", "now")
    )


@pytest.mark.parametrize(
    ("run", "code"),
    [
        (replace(RUN, expires_at_ms=NOW_MS), Code.KEY_EXPIRED),
        (replace(RUN, revoked_at_ms=NOW_MS - 1), Code.KEY_REVOKED),
        (replace(RUN, key_digest="0" * 64), Code.KEY_UNKNOWN),
    ],
)
async def test_a_key_that_is_not_good(run: Run, code: Code) -> None:
    """It is told why, as for a call."""
    with pytest.raises(Refused) as refused:
        await budget(FakeLedger(run))
    assert code is refused.value.deny.code


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("authorization", "Basic abc"),),
        (("authorization", "Bearer "),),
        (("authorization", f"Bearer {KEY}"), ("authorization", f"Bearer {KEY}")),
    ],
)
async def test_one_bearer_key(headers: tuple[tuple[str, str], ...]) -> None:
    """Anything else than exactly one is no key."""
    with pytest.raises(Refused) as refused:
        await desk(FakeLedger()).answer(BUDGET_PATH, ask(BUDGET_PATH, *headers))
    assert Code.KEY_MISSING is refused.value.deny.code


@pytest.mark.parametrize(("path", "method", "code"), [("/x", "GET", "host_denied"), (BUDGET_PATH, "POST", "malformed")])
async def test_nothing_else_is_answered(path: str, method: str, code: str) -> None:
    """Another path or method is refused before the key is looked at."""
    with pytest.raises(Refused) as refused:
        await desk(FakeLedger()).answer(path, ask(path, method=method))
    assert code == str(refused.value.deny.code)


async def test_without_an_audit_there_is_no_last_refusal() -> None:
    """It is refused, not answered with "none"."""
    with pytest.raises(Refused) as refused:
        await desk(FakeLedger()).answer(LAST_REFUSAL_PATH, ask(LAST_REFUSAL_PATH, ("authorization", f"Bearer {KEY}")))
    assert Code.AUDIT_UNAVAILABLE is refused.value.deny.code


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("http://runcap.local/budget", "/budget"),
        ("http://runcap.local.example/budget", None),
        ("http://runcap.local:80/budget", None),
        ("https://runcap.local/budget", None),
        ("http://RUNCAP.local/budget", None),
        ("http://u@runcap.local/budget", None),
        ("/budget", None),
    ],
)
def test_our_own_name_has_one_spelling(target: str, expected: str | None) -> None:
    """All else is some other request."""
    assert expected == own_path(Message("GET", target, (), b"", keep_alive=True))
