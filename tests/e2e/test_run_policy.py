"""A run's policy through the real proxy: each rule refuses before the vendor hears of the call."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.e2e.client import Caller, Reply
from tests.e2e.harness import IssuedRun, RuncapUp
from tests.fakes import FakeVendors
from tests.fakes.vendors import ACCOUNT_SID

MESSAGES = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
US, FR = "+14155550100", "+33612345678"


def message(caller: Caller, to: str = US, text: str = "hello") -> Reply:
    """Send an SMS."""
    return caller.post(MESSAGES, To=to, From=US, Body=text)


def told(reply: Reply) -> tuple[int, str | None, Any]:
    """Status, code and the rule of a refusal."""
    return reply.status, reply.code, reply.json.get("policy", {}).get("rule")


def row(up: RuncapUp, run: IssuedRun, at_least: int) -> dict[str, Any]:
    """The newest audit row of a run, once there are so many."""
    return up.calls(run, at_least)[-1]


def test_another_account_is_refused_unless_listed(up: RuncapUp, fakes: FakeVendors) -> None:
    """``--stripe-account``: the header goes through for a listed account, and for no other."""
    run = up.issue("connect", daily_usd="100", stripe_account=["acct_1listed"])
    body = "amount=500&currency=usd&payment_method=pm_card_visa&confirm=true"
    with Caller(up, run) as caller:
        mark = fakes.journal.mark()
        listed = caller.request("POST", "/v1/payment_intents", body, {**FORM, "Stripe-Account": "acct_1listed"})
        assert 200 == listed.status
        assert ["acct_1listed"] == [entry.header("stripe-account") for entry in fakes.journal.entries(mark)]
        mark = fakes.journal.mark()
        other = caller.request("POST", "/v1/payment_intents", body, {**FORM, "Stripe-Account": "acct_2other"})
        assert (403, "operation_not_allowed", "account") == told(other)
        assert other.json["message"].startswith("This run may not act on the connected account acct_2other")
    assert [] == fakes.journal.entries(mark)
    assert ("blocked", "operation_not_allowed") == ((last := row(up, run, 2))["decision"], last["code"])


def test_one_call_has_a_ceiling(up: RuncapUp, fakes: FakeVendors) -> None:
    """``--max-call-usd``: refused with the limit and what was asked for, however much the caps leave."""
    run = up.issue("ceiling", daily_usd="100", max_call_usd="20")
    with Caller(up, run) as caller:
        assert 200 == caller.charge(2000).status
        mark = fakes.journal.mark()
        reply = caller.charge(2001)
    assert (403, "operation_not_allowed", "max_call_usd") == told(reply)
    assert ("20.01", ["20.00"]) == (reply.json["requested_usd"], reply.json["policy"]["allowed"])
    assert [] == fakes.journal.entries(mark)
    assert 20_000_000 == up.spent_micros(run)


def test_only_some_currencies(up: RuncapUp, fakes: FakeVendors) -> None:
    """``--currency``: Stripe moves no other."""
    run = up.issue("dollars", daily_usd="100", currency=["usd"])
    with Caller(up, run) as caller:
        assert 200 == caller.charge(100).status
        mark = fakes.journal.mark()
        assert (403, "operation_not_allowed", "currency") == told(caller.charge(100, currency="eur"))
        assert 200 == caller.get("/v1/balance").status
    assert 0 == fakes.journal.moved(mark)


def test_only_some_countries(up: RuncapUp, fakes: FakeVendors) -> None:
    """``--country``: Twilio reaches no other."""
    run = up.issue("domestic", daily_usd="100", country=["us"])
    with Caller(up, run, "twilio") as caller:
        assert 201 == message(caller).status
        mark = fakes.journal.mark()
        assert (403, "operation_not_allowed", "country") == told(message(caller, FR))
    assert [] == fakes.journal.entries(mark)


def test_refunds_count_unless_told_otherwise(up: RuncapUp, fakes: FakeVendors) -> None:
    """A charge of 8 dollars and its refund are 16 against a cap of 10."""
    run = up.issue("refunds", daily_usd="10")
    mark = fakes.journal.mark()
    with Caller(up, run) as caller:
        intent = caller.charge(800).json["id"]
        reply = caller.post("/v1/refunds", payment_intent=intent)
    assert (429, "cap_exhausted") == (reply.status, reply.code)
    assert (8_000_000, 800) == (up.spent_micros(run), fakes.journal.moved(mark))


def test_refunds_may_be_left_uncounted(up: RuncapUp, fakes: FakeVendors) -> None:
    """``--no-count-refunds``: the refund goes through and counts as 0; the audit has what it was priced at."""
    issued = up.cli_json("keys", "issue", "--label", "refunds", "--daily-usd", "10", "--no-count-refunds")
    run = IssuedRun(issued["vault_key"], issued["run_id"], issued["label"])
    mark = fakes.journal.mark()
    with Caller(up, run) as caller:
        intent = caller.charge(800).json["id"]
        reply = caller.post("/v1/refunds", payment_intent=intent)
    assert (200, "0.00") == (reply.status, reply.headers["runcap-cost-usd"])
    assert (8_000_000, 1600) == (up.spent_micros(run), fakes.journal.moved(mark))
    last = row(up, run, 2)
    assert (8_000_000, 0) == (last["cost_micros"], last["settled_micros"])


def test_the_same_message_twice_is_sent_once(up: RuncapUp, fakes: FakeVendors) -> None:
    """``--dedupe``: a repeated send is a 409 that never reaches Twilio, also if all come at once on two workers."""
    run = up.issue("dedupe", daily_usd="100", dedupe="60s")
    mark = fakes.journal.mark()
    with ThreadPoolExecutor(8) as pool:

        def send(_: int) -> Reply:
            with Caller(up, run, "twilio") as caller:
                return message(caller, text="your code is 1234")

        replies = list(pool.map(send, range(8)))
    assert [201, *[409] * 7] == sorted(reply.status for reply in replies)
    assert {"duplicate"} == {reply.code for reply in replies if reply.status == 409}
    assert 1 == len(fakes.journal.entries(mark))
    with Caller(up, run, "twilio") as caller:
        assert 201 == message(caller, text="your code is 9876").status


def test_without_dedupe_the_same_message_is_sent_twice(up: RuncapUp, fakes: FakeVendors) -> None:
    """It is off unless a run asks for it."""
    run = up.issue("chatty", daily_usd="100")
    mark = fakes.journal.mark()
    with Caller(up, run, "twilio") as caller:
        assert [201, 201] == [message(caller).status for _ in range(2)]
    assert 2 == len(fakes.journal.entries(mark))


def test_lookups_are_in_the_audit(up: RuncapUp, fakes: FakeVendors) -> None:
    """What a refund's price was read from, with its status and how long it took."""
    run = up.issue("lookups", daily_usd="100")
    with Caller(up, run) as caller:
        intent = caller.charge(300).json["id"]
        assert 200 == caller.post("/v1/refunds", payment_intent=intent).status
    [lookup] = json.loads(row(up, run, 2)["extra"])["lookups"]
    assert (f"/v1/payment_intents/{intent}", 200, True) == (lookup["path"], lookup["status"], lookup["ms"] >= 0)


def test_the_price_of_a_refund_is_explained(up: RuncapUp, fakes: FakeVendors) -> None:
    """`runcap price --lookup` asks with the real secret, and sends nothing but that."""
    run = up.issue("explained", daily_usd="100")
    with Caller(up, run) as caller:
        intent = caller.charge(300).json["id"]
    mark = fakes.journal.mark()
    call = ("--vendor", "stripe", "--path", "/v1/refunds", "--data", f"payment_intent={intent}")
    told = up.cli_json("price", *call, "--lookup")
    assert ("3.00", None) == (told["quote_usd"], told["would_look_up"])
    assert [(f"/v1/payment_intents/{intent}", 200)] == [(row["path"], row["status"]) for row in told["lookups"]]
    assert [("GET", f"/v1/payment_intents/{intent}")] == [
        (entry.method, entry.path) for entry in fakes.journal.entries(mark)
    ]
    assert 3_000_000 == up.spent_micros(run)


def test_the_policy_is_shown(up: RuncapUp) -> None:
    """`keys show` prints all rules of a run in one document."""
    run = up.issue("shown", daily_usd="1", max_call_usd="0.5", country=["US", "de"], dedupe="10m")
    policy = up.cli_json("keys", "show", run.run_id)["policy"]
    assert ("0.50", ["US", "DE"], 600_000) == (policy["max_call_usd"], policy["countries"], policy["dedupe_ms"])
