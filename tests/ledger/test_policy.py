"""The rules of a run's policy: what each refuses, what it leaves alone, and that they are one document."""

import asyncio
from typing import Any

import msgspec
import pytest

from runcap.decision import Code, Refused, RuleHit
from runcap.ledger import keys
from runcap.ledger.ledger import Ledger
from runcap.ledger.model import Ask, Caps, Run
from runcap.ledger.policy import NO_POLICY, Policy, read_policy
from tests.ledger.support import (
    REFUND,
    ask,
    call_rows,
    counted,
    denied,
    denied_code,
    issue,
    lose,
    redis,
    release,
    settle,
    spent,
)

EVERYTHING = Policy(
    only=("POST /v1/charges",),
    allow=("POST /v1/api_keys",),
    stripe_accounts=("acct_1",),
    max_call_micros=5,
    count_refunds=False,
    countries=("US",),
    currencies=("USD",),
    dedupe_ms=60_000,
    max_concurrency=3,
    max_calls_per_minute=90,
)


def message(run: Run, micros: int = 8_300, **changes: Any) -> Ask:
    """Ask for a message by Twilio to the US."""
    facts: dict[str, Any] = {"vendor": "twilio", "operation": "POST /Messages.json", "country": "US"}
    return ask(run, micros, **{**facts, "send_digest": "same", **changes})


async def test_all_rules_are_one_document(ledger: Ledger) -> None:
    """It comes back as it was issued; what restricts nothing is not in it."""
    run = await issue(ledger, policy=EVERYTHING)
    found = await ledger.get_run(run.run_id)
    assert found is not None
    assert EVERYTHING == found.policy
    assert set(EVERYTHING.__struct_fields__) == set(msgspec.json.decode(EVERYTHING.document()))
    assert "{}" == NO_POLICY.document()
    assert NO_POLICY == read_policy("{}")


@pytest.mark.parametrize("document", ["", "nonsense", "7", None])
async def test_a_run_whose_document_is_broken_may_do_nothing(ledger: Ledger, document: str | None) -> None:
    """It is not taken for a run without rules."""
    run = await issue(ledger, policy=EVERYTHING)
    key = keys.run(ledger._client.prefix, run.key_digest)
    if document is None:
        await redis(ledger, "HDEL", key, "policy")
    else:
        await redis(ledger, "HSET", key, "policy", document)
    assert Code.LEDGER_UNAVAILABLE == await denied_code(ledger, ask(run, 0))


async def test_another_account_needs_to_be_listed(ledger: Ledger) -> None:
    """With a list only those, without one none; the account of the secret itself is always open."""
    listed, plain = await issue(ledger, policy=Policy(stripe_accounts=("acct_1", "acct_2"))), await issue(ledger)
    for asked in (ask(listed, 1, account="acct_2"), ask(listed, 1), ask(plain, 1)):
        assert 1 == (await ledger.reserve(asked)).held_micros

    deny = await denied(ledger, ask(listed, 1, account="acct_3"))
    assert (Code.OPERATION_NOT_ALLOWED, 403, "blocked") == (deny.code, deny.status, deny.decision)
    assert RuleHit("account", "acct_3", ("acct_1", "acct_2")) == deny.rule
    assert "This run may not act on the connected account acct_3, only acct_1, acct_2." == deny.message
    told = deny.fields("stripe")["policy"]
    assert {"rule": "account", "attempted": "acct_3", "allowed": ["acct_1", "acct_2"]} == told
    assert "--stripe-account" in (await denied(ledger, ask(plain, 1, account="acct_1"))).message


async def test_an_account_is_checked_before_a_lookup(ledger: Ledger) -> None:
    """`authorize` refuses it too: the real secret must not even read there."""
    run = await issue(ledger, policy=Policy(stripe_accounts=("acct_1",)))
    known: dict[str, Any] = {"needs_allow": False, "row": {}}
    await ledger.authorize(run.key_digest, "stripe", REFUND, **known, account="acct_1")
    with pytest.raises(Refused) as caught:
        await ledger.authorize(run.key_digest, "stripe", REFUND, **known, account="acct_2")
    assert Code.OPERATION_NOT_ALLOWED == caught.value.deny.code


async def test_a_single_call_has_a_ceiling(ledger: Ledger) -> None:
    """Up to and with the limit; above it the refusal names the limit and what was asked for, and no cap."""
    run = await issue(ledger, caps=Caps(total=10**9), policy=Policy(max_call_micros=20_000_000))
    assert 20_000_000 == (await ledger.reserve(ask(run, 20_000_000))).held_micros

    deny = await denied(ledger, ask(run, 20_000_001))
    assert (Code.OPERATION_NOT_ALLOWED, 20_000_001, None) == (deny.code, deny.requested_micros, deny.cap)
    assert "The call costs 20.000001 USD; one call of this run may cost 20.00 USD at the most." == deny.message
    fields = deny.fields("stripe")
    assert "20.000001" == fields["requested_usd"]
    assert {"rule": "max_call_usd", "attempted": "20.000001", "allowed": ["20.00"]} == fields["policy"]
    assert (20_000_000, 0) == await counted(ledger, run)


async def test_refunds_may_be_left_uncounted(ledger: Ledger) -> None:
    """Held and settled at 0, whatever the answer or the sweeper says; other calls count as ever."""
    run = await issue(ledger, caps=Caps(total=100), policy=Policy(count_refunds=False))
    for ending in (settle, lose, release):
        held = await ledger.reserve(ask(run, 5_000, refund=True))
        assert 0 == held.held_micros
        await ending(ledger, held)
    about_object = await ledger.reserve(ask(run, 5_000, refund=True, object_id="re_1"))
    assert 0 == (await settle(ledger, about_object, 5_000, object_id="re_1")).settled_micros
    assert (0, 0) == await counted(ledger, run)
    assert (0, 0) == await spent(ledger, "vendor", "stripe")
    assert ["0", "0", "0", "0"] == [row["settled_micros"] for row in await call_rows(ledger)]

    assert Code.CAP_EXHAUSTED == await denied_code(ledger, ask(run, 101))
    counting = await issue(ledger, caps=Caps(total=100))
    assert Code.CAP_EXHAUSTED == await denied_code(ledger, ask(counting, 101, refund=True))


async def test_an_uncounted_refund_has_a_ceiling_all_the_same(ledger: Ledger) -> None:
    """--max-call-usd is about the call, not about what it counts as."""
    run = await issue(ledger, policy=Policy(count_refunds=False, max_call_micros=10))
    assert Code.OPERATION_NOT_ALLOWED == await denied_code(ledger, ask(run, 11, refund=True))


@pytest.mark.parametrize(
    ("policy", "vendor", "fact", "values"),
    [
        (Policy(countries=("US", "DE")), "twilio", "country", ("DE", "FR")),
        (Policy(currencies=("USD", "EUR")), "stripe", "currency", ("EUR", "JPY")),
    ],
)
async def test_countries_and_currencies(
    ledger: Ledger, policy: Policy, vendor: str, fact: str, values: tuple[str, str]
) -> None:
    """What is not listed is refused, and so is a call that costs something and does not say."""
    run = await issue(ledger, vendors=("stripe", "twilio", "resend"), policy=policy)
    good, bad = values
    for asked in (
        ask(run, 1, vendor=vendor, **{fact: good}),
        ask(run, 0, vendor=vendor),
        ask(run, 1, vendor="resend"),
    ):
        assert asked.micros == (await ledger.reserve(asked)).held_micros
    for value in (bad, ""):
        deny = await denied(ledger, ask(run, 1, vendor=vendor, **{fact: value}))
        assert deny.rule is not None
        assert (Code.OPERATION_NOT_ALLOWED, fact, value) == (deny.code, deny.rule.rule, deny.rule.attempted)


async def test_the_same_send_is_refused_within_the_window(ledger: Ledger) -> None:
    """Another text goes through; a run without the rule, and another run, are not concerned."""
    run = await issue(ledger, vendors=("twilio",), policy=Policy(dedupe_ms=60_000))
    await settle(ledger, await ledger.reserve(message(run)))

    deny = await denied(ledger, message(run))
    assert (Code.DUPLICATE, 409, "blocked") == (deny.code, deny.status, deny.decision)
    assert "This run has sent the very same less than 60 s ago, so it was not sent again." == deny.message
    assert ("blocked", "duplicate") == ((row := (await call_rows(ledger))[-1])["decision"], row["code"])
    await ledger.reserve(message(run, send_digest="other"))
    plain = await issue(ledger, vendors=("twilio",))
    for _ in range(2):
        await ledger.reserve(message(plain))


async def test_only_one_of_many_equal_sends_at_once_goes_through(ledger: Ledger) -> None:
    """The script decides them one by one, while the first is still under way."""
    run = await issue(ledger, vendors=("twilio",), policy=Policy(dedupe_ms=60_000))
    answers = await asyncio.gather(*(ledger.reserve(message(run)) for _ in range(20)), return_exceptions=True)
    codes = [answer.deny.code for answer in answers if isinstance(answer, Refused)]
    assert [Code.DUPLICATE] * 19 == codes


async def test_a_send_that_never_happened_may_be_sent_again(ledger: Ledger) -> None:
    """Released: it certainly was not sent. Unknown: it may have been."""
    run = await issue(ledger, vendors=("twilio",), policy=Policy(dedupe_ms=60_000))
    await release(ledger, await ledger.reserve(message(run)))
    await lose(ledger, await ledger.reserve(message(run)))
    assert Code.DUPLICATE == await denied_code(ledger, message(run))


async def test_a_send_is_forgotten_after_the_window(ledger: Ledger) -> None:
    """The record has the window's length to live; once it is gone the same may be sent again."""
    run = await issue(ledger, vendors=("twilio",), policy=Policy(dedupe_ms=3_600_000))
    held = await ledger.reserve(message(run))
    record = keys.idempotency(ledger._client.prefix, run.run_id, "send-same")
    assert 3_590_000 < await redis(ledger, "PTTL", record) <= 3_600_000
    await redis(ledger, "DEL", record)
    assert 8_300 == (await ledger.reserve(message(run))).held_micros
    await settle(ledger, held)
    assert Code.DUPLICATE == await denied_code(ledger, message(run))


@pytest.mark.parametrize(
    "policy",
    [
        Policy(only=("GET /\n",)),
        Policy(stripe_accounts=("acct_",)),
        Policy(countries=("us",)),
        Policy(currencies=("usd",)),
        Policy(max_call_micros=-1),
        Policy(max_call_micros=10**12 + 1),
        Policy(dedupe_ms=0),
        Policy(dedupe_ms=86_400_001),
    ],
)
async def test_rules_that_could_never_be_met_are_not_issued(ledger: Ledger, policy: Policy) -> None:
    """A typing error must not become a run that is refused everything, or a rule that holds nothing."""
    with pytest.raises(ValueError, match=r"no |up to|at the most"):
        await issue(ledger, policy=policy)
    assert [] == await ledger.list_runs()
