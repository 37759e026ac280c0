"""What an operator does holds for the very next call, and is in the audit."""

import pytest
from msgspec.structs import replace

from runcap.decision import Code, Refused
from runcap.ledger import keys
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Caps, CapSetting, Run, Spend
from runcap.ledger.policy import Policy
from runcap.runs import new_run_id
from tests.ledger.support import (
    ACTOR,
    CHARGE,
    admin_rows,
    ask,
    counted,
    denied,
    denied_code,
    issue,
    move_to,
    redis,
    release,
    settle,
    spent,
)

_POLICY = Policy(only=(CHARGE,), allow=("GET /x",), max_call_micros=0, count_refunds=False, countries=("US",))


async def test_a_run_comes_back_as_it_was_issued(ledger: Ledger) -> None:
    """With its times by the ledger's clock; the audit holds all that bringing it back needs, but no key."""
    wanted = Run(new_run_id(), "a b~", "f" * 64, Caps(1, None, 2**53 - 1), ("stripe", "resend"), _POLICY)
    issued = await ledger.issue(wanted, ACTOR, ttl_ms=60_000)
    assert issued == await ledger.get_run(wanted.run_id)
    assert issued.expires_at_ms == issued.created_at_ms + 60_000
    assert replace(wanted, created_at_ms=issued.created_at_ms, expires_at_ms=issued.expires_at_ms) == issued
    row = (await admin_rows(ledger))[-1]
    assert ("key_issued", wanted.run_id, "a b~", ACTOR) == (
        row["action"],
        row["run_id"],
        row["label"],
        row["detail"]["actor"],
    )
    assert {"key_digest": "f" * 64, "caps": {"day": 1, "month": None, "total": 2**53 - 1}}.items() <= row["detail"][
        "run"
    ].items()


@pytest.mark.parametrize(
    "change",
    [
        {"label": "a|b"},
        {"label": ""},
        {"vendors": ()},
        {"vendors": ("stri\npe",)},
        {"policy": Policy(only=("",))},
        {"caps": Caps(day=-1)},
        {"caps": Caps(total=2**53)},
    ],
)
async def test_what_cannot_be_stored_safely_is_no_run(ledger: Ledger, change: dict[str, object]) -> None:
    """Names are printable ASCII, caps are in range."""
    run = Run(new_run_id(), "label", "f" * 64, Caps(), ("stripe",))
    with pytest.raises(ValueError, match=r"."):
        await ledger.issue(replace(run, **change), ACTOR)
    assert None is await ledger.get_run(run.run_id)


async def test_a_run_is_issued_once(ledger: Ledger) -> None:
    """Neither its key nor its id can be taken by another."""
    run = await issue(ledger)
    for twin in (replace(run, run_id=new_run_id()), replace(run, key_digest="0" * 64)):
        with pytest.raises(ValueError, match="exists already"):
            await ledger.issue(twin, ACTOR)


async def test_a_revoked_key_is_refused_from_the_next_call_on(ledger: Ledger) -> None:
    """What is under way may still end; revoking again keeps the first time."""
    run = await issue(ledger)
    held = await ledger.reserve(ask(run, 10))
    revoked = await ledger.revoke(run.run_id, ACTOR)
    assert revoked is not None
    assert revoked.revoked_at_ms
    assert Code.KEY_REVOKED == await denied_code(ledger, ask(run, 0))
    assert revoked == await ledger.revoke(run.run_id, ACTOR)
    assert None is await ledger.revoke("nobody", ACTOR)
    await settle(ledger, held)
    assert (0, 10) == await counted(ledger, run)
    assert ["key_revoked"] == [row["action"] for row in (await admin_rows(ledger))[2:]]


async def test_an_expired_key_is_refused(ledger: Ledger) -> None:
    """By the ledger's clock, from the very ms on."""
    now = await ledger.clock_ms()
    gone = await issue(ledger, expires_at_ms=now)
    good = await issue(ledger, expires_at_ms=now + 60_000)
    assert Code.KEY_EXPIRED == await denied_code(ledger, ask(gone, 0))
    assert 1 == (await ledger.reserve(ask(good, 1))).held_micros


@pytest.mark.parametrize(
    ("level", "selector"),
    [
        ("run", "RUN"),
        ("fleet", ""),
        ("fleet", "billing-"),
        ("fleet", "billing-nightly"),
        ("vendor", "stripe"),
        ("all", ""),
    ],
)
async def test_a_freeze_stops_the_very_next_call(ledger: Ledger, level: str, selector: str) -> None:
    """Free calls too; unfreezing lets them through again."""
    run = await issue(ledger)
    selector = selector.replace("RUN", run.run_id)
    for other in (("fleet", "billing-x"), ("vendor", "twilio")):
        await ledger.freeze(*other, ACTOR)

    await ledger.reserve(ask(run, 0))
    assert await ledger.freeze(level, selector, ACTOR)
    assert not await ledger.freeze(level, selector, ACTOR)
    assert (level, selector) in await ledger.list_frozen()
    deny = await denied(ledger, ask(run, 0))
    assert (Code.FROZEN, run.run_id) == (deny.code, deny.run_id)
    with pytest.raises(Refused):
        await ledger.authorize(run.key_digest, "stripe", CHARGE, needs_allow=False, row={})
    found = await ledger.get_run(run.run_id)
    assert found is not None
    assert (level == "run") == found.frozen
    assert await ledger.unfreeze(level, selector, ACTOR)
    await ledger.reserve(ask(run, 0))
    assert [("fleet", "billing-x"), ("vendor", "twilio")] == await ledger.list_frozen()


async def test_what_does_not_exist_cannot_be_frozen_or_capped(ledger: Ledger) -> None:
    """An unknown run and an unknown level are errors, not silence."""
    for attempt in (
        ledger.freeze("run", "nobody", ACTOR),
        ledger.set_cap("run", "nobody", Caps(day=1), ACTOR),
    ):
        with pytest.raises(LookupError):
            await attempt
    for wrong in (ledger.freeze("planet", "x", ACTOR), ledger.set_cap("vendor", "", Caps(day=1), ACTOR)):
        with pytest.raises(ValueError, match=r"level|names no"):
            await wrong


async def test_a_cap_set_in_the_middle_of_the_day_counts_the_whole_day(ledger: Ledger) -> None:
    """Spent and held so far, of this fleet's runs only; what is open ends in the fleet's counters too."""
    run, twin = await issue(ledger, label="billing-a"), await issue(ledger, label="billing-b")
    other = await issue(ledger, label="ops")
    await settle(ledger, await ledger.reserve(ask(run, 300)))
    await settle(ledger, await ledger.reserve(ask(other, 5_000)))
    held = await ledger.reserve(ask(twin, 200))
    old = await ledger.reserve(ask(run, 50))
    await move_to(ledger, old, 1)

    await ledger.set_cap("fleet", "billing-", Caps(day=1_000), ACTOR)

    assert (200, 300) == await spent(ledger, "fleet", "billing-", "day")
    assert (250, 300) == await spent(ledger, "fleet", "billing-")
    assert Code.CAP_EXHAUSTED == await denied_code(ledger, ask(run, 501))
    await settle(ledger, held, 150)
    await release(ledger, old)
    assert (0, 450) == await spent(ledger, "fleet", "billing-")
    assert 550 == (await ledger.reserve(ask(run, 550))).held_micros


async def test_a_fleet_is_counted_on_while_it_has_no_cap(ledger: Ledger) -> None:
    """So that a cap that is set again knows everything."""
    run = await issue(ledger)
    await ledger.set_cap("fleet", "billing-", Caps(day=1_000), ACTOR)
    await ledger.remove_cap("fleet", "billing-", "day", ACTOR)
    assert [] == await ledger.list_caps()
    await settle(ledger, await ledger.reserve(ask(run, 5_000)))
    await ledger.set_cap("fleet", "billing-", Caps(day=5_001), ACTOR)
    assert (0, 5_000) == await spent(ledger, "fleet", "billing-")
    assert Code.CAP_EXHAUSTED == await denied_code(ledger, ask(run, 2))


@pytest.mark.parametrize("known", [True, False])
async def test_a_fleet_of_any_length_is_found(ledger: Ledger, known: bool) -> None:
    """Also by a ledger that does not know how long the prefixes are; the check finds one that knows it wrongly."""
    if not known:
        await redis(ledger, "HDEL", keys.meta(ledger._client.prefix), "fleet_lengths")
    run = await issue(ledger, label="billing-nightly")
    for micros, prefix in ((900, ""), (700, "billing-nightly"), (500, "billing-"), (300, "bill")):
        await ledger.set_cap("fleet", "ops-and-more-of-it", Caps(day=micros), ACTOR)
        await ledger.set_cap("fleet", prefix, Caps(day=micros), ACTOR)
        refused = await denied(ledger, ask(run, micros + 1))
        assert refused.cap is not None
        assert (prefix, micros) == (refused.cap.selector, refused.cap.cap_micros)
    assert [] == await ledger.check()

    await redis(ledger, "HSET", keys.meta(ledger._client.prefix), "fleet_lengths", "0,15,8,")

    found = await ledger.check()
    assert ["fleet:bill has caps that no call asks for: change one of them."] == [
        line for line in found if "bill " in line
    ]
    await ledger.set_cap("fleet", "bill", Caps(day=299), ACTOR)
    await ledger.set_cap("fleet", "ops-and-more-of-it", Caps(day=299), ACTOR)
    assert [] == await ledger.check()


async def test_setting_a_cap_leaves_the_other_windows(ledger: Ledger) -> None:
    """Setting what is set already changes nothing and writes no row."""
    run = await issue(ledger, caps=Caps(total=9))
    assert await ledger.set_cap("run", run.run_id, Caps(day=5), ACTOR)
    assert not await ledger.set_cap("run", run.run_id, Caps(day=5, total=9), ACTOR)
    assert await ledger.remove_cap("run", run.run_id, "total", ACTOR)
    assert not await ledger.remove_cap("run", run.run_id, "month", ACTOR)
    found = await ledger.get_run(run.run_id)
    assert found is not None
    assert Caps(day=5) == found.caps
    rows = (await admin_rows(ledger))[2:]
    assert [("cap_set", run.run_id), ("cap_removed", run.run_id)] == [(row["action"], row["run_id"]) for row in rows]
    assert {"day": 5, "month": None, "total": None} == rows[0]["detail"]["caps"]


async def test_caps_are_listed_with_what_they_have_counted(ledger: Ledger) -> None:
    """Fleets and vendors, each window that has one."""
    run = await issue(ledger)
    await ledger.set_cap("vendor", "stripe", Caps(day=70, month=80), ACTOR)
    await ledger.set_cap("fleet", "", Caps(total=90), ACTOR)
    await ledger.reserve(ask(run, 30))
    assert [
        CapSetting("fleet", "", "total", 90, Spend(30, 0)),
        CapSetting("vendor", "stripe", "day", 70, Spend(30, 0)),
        CapSetting("vendor", "stripe", "month", 80, Spend(30, 0)),
    ] == await ledger.list_caps()


async def test_runs_are_listed_by_label_prefix(ledger: Ledger) -> None:
    """Oldest first within a label, at most as many as asked for."""
    labels = ("billing-b", "billing-a", "ops", "billing-b~")
    runs = {label: await issue(ledger, label=label) for label in labels}
    assert [runs["billing-a"], runs["billing-b"], runs["billing-b~"]] == await ledger.list_runs("billing-")
    assert [runs["billing-a"]] == await ledger.list_runs("", 1)
    assert [] == await ledger.list_runs("x")


async def test_only_an_empty_namespace_can_be_initialised(blank: Ledger) -> None:
    """Whatever is left there says that something was lost."""
    assert not await blank.is_initialised()
    with pytest.raises(Refused) as caught:
        await issue(blank)
    assert Code.LEDGER_UNTRUSTED == caught.value.deny.code
    key = keys.spend(blank._client.prefix, "vendor:stripe")
    await redis(blank, "HSET", key, "total:spent", "1")
    assert not await blank.initialise("one", ACTOR)
    await redis(blank, "DEL", key)
    assert await blank.initialise("two", ACTOR)
    assert not await blank.initialise("three", ACTOR)
    assert "two" == await blank.epoch()
    assert ["ledger_initialised"] == [row["action"] for row in await admin_rows(blank)]
