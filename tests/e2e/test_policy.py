"""Keys that end, and runs that may only do so much: what was decided on the command line holds for the next call."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from tests.e2e.client import Caller, Reply
from tests.e2e.harness import RuncapUp
from tests.e2e.waiting import wait_until
from tests.fakes import FakeVendors, Fault

_CONNECTIONS = 12


def test_revoking_holds_for_the_very_next_call(up: RuncapUp, fakes: FakeVendors) -> None:
    """Connections to both workers, open and warm, are refused on the first call after `keys revoke`."""
    run = up.issue("revoked", daily_usd="1000")
    with ExitStack() as stack:
        callers = [stack.enter_context(Caller(up, run)) for _ in range(_CONNECTIONS)]
        assert [200] * _CONNECTIONS == [caller.charge(100).status for caller in callers]
        mark = fakes.journal.mark()
        up.cli_json("keys", "revoke", run.run_id)
        replies = [caller.charge(100) for caller in callers]
    assert [(401, "key_revoked")] * _CONNECTIONS == [(reply.status, reply.code) for reply in replies]
    assert [] == fakes.journal.entries(mark)
    assert _CONNECTIONS == len([row for row in up.calls(run, 2 * _CONNECTIONS) if row["code"] == "key_revoked"])


def test_a_key_expires(up: RuncapUp, fakes: FakeVendors) -> None:
    """After its TTL a key is refused as expired, by the ledger's clock."""
    run = up.issue("expiring", daily_usd="10", ttl="1s")

    def expired() -> bool:
        with Caller(up, run) as caller:
            return caller.get("/v1/balance").code == "key_expired"

    wait_until("the key to expire", expired, seconds=5)
    mark = fakes.journal.mark()
    with Caller(up, run) as caller:
        assert (401, "key_expired") == ((reply := caller.charge(100)).status, reply.code)
    assert [] == fakes.journal.entries(mark)


def test_a_run_for_one_vendor_may_not_use_another(up: RuncapUp, fakes: FakeVendors) -> None:
    """``--vendor resend``: Stripe is refused."""
    mark = fakes.journal.mark()
    run = up.issue("mail-only", daily_usd="10", vendor=["resend"])
    with Caller(up, run) as caller:
        assert (403, "vendor_not_allowed") == ((reply := caller.charge(100)).status, reply.code)
    assert [] == fakes.journal.entries(mark)
    [row] = up.calls(run, 1)
    assert ("blocked", "vendor_not_allowed") == (row["decision"], row["code"])


def test_a_run_for_one_operation_may_do_nothing_else(up: RuncapUp, fakes: FakeVendors) -> None:
    """``--only``: the operation goes through, every other is refused and told what is allowed."""
    operation = "POST /v1/payment_intents"
    run = up.issue("charge-only", daily_usd="10", only=[operation])
    with Caller(up, run) as caller:
        assert 200 == caller.charge(100).status
        mark = fakes.journal.mark()
        refused = caller.post("/v1/customers", email="someone@example.com")
    assert (403, "operation_not_allowed") == (refused.status, refused.code)
    told = refused.json
    assert ([operation], "POST /v1/customers") == (told["allowed_operations"], told["attempted"])
    assert [] == fakes.journal.entries(mark)


def test_freezing_stops_a_fleet_and_thawing_lets_it_go_on(up: RuncapUp, fakes: FakeVendors) -> None:
    """``freeze --fleet``: all its runs are refused with 403 at once, others are not; ``unfreeze`` undoes it."""
    frozen, other = up.issue("ice-1", daily_usd="10"), up.issue("fire-1", daily_usd="10")
    with Caller(up, frozen) as cold, Caller(up, other) as warm:
        assert 200 == cold.charge(100).status
        assert 0 == up.cli("freeze", "--fleet", "ice-")[0]
        assert (403, "frozen") == ((reply := cold.charge(100)).status, reply.code)
        assert 200 == warm.charge(100).status
        assert 0 == up.cli("unfreeze", "--fleet", "ice-")[0]
        assert 200 == cold.charge(100).status


def test_a_retry_under_one_key_counts_once(up: RuncapUp, fakes: FakeVendors) -> None:
    """The same idempotency key and body is one charge, at the vendor and in the ledger; another body is a 409."""
    mark = fakes.journal.mark()
    run, stranger = up.issue("retry", daily_usd="10"), up.issue("stranger", daily_usd="10")
    form = {"Content-Type": "application/x-www-form-urlencoded", "Idempotency-Key": "order-7"}
    body = "amount=400&currency=usd&payment_method=pm_card_visa&confirm=true"
    with Caller(up, run) as caller, Caller(up, stranger) as other:
        first = caller.request("POST", "/v1/payment_intents", body, form)
        again = caller.request("POST", "/v1/payment_intents", body, form)
        assert (200, first.json["id"]) == (again.status, again.json["id"])
        refused = caller.request("POST", "/v1/payment_intents", body.replace("400", "401"), form)
        assert (409, "idempotency_mismatch") == (refused.status, refused.code)
        assert first.json["id"] != other.request("POST", "/v1/payment_intents", body, form).json["id"]
    assert (4_000_000, 4_000_000) == (up.spent_micros(run), up.spent_micros(stranger))
    assert 800 == fakes.journal.moved(mark)


def test_twins_under_one_key_get_one_answer(up: RuncapUp, fakes: FakeVendors) -> None:
    """At once and by different workers: one charge, and whoever came second waits for the first one's answer."""
    mark = fakes.journal.mark()
    run = up.issue("twins", daily_usd="10")
    form = {"Content-Type": "application/x-www-form-urlencoded", "Idempotency-Key": "order-8"}
    body = "amount=400&currency=usd&payment_method=pm_card_visa&confirm=true"
    fakes.fault(Fault("stripe", delay_seconds=0.7))

    def charge(_: int) -> Reply:
        with Caller(up, run) as caller:
            return caller.request("POST", "/v1/payment_intents", body, form)

    with ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(charge, range(6)))

    assert [200] * 6 == [reply.status for reply in replies]
    assert 1 == len({reply.json["id"] for reply in replies})
    assert 4_000_000 == up.spent_micros(run)
    assert 400 == fakes.journal.moved(mark)
    rows = up.calls(run, 6)
    assert {("allowed", "settled")} == {(row["decision"], row["outcome"]) for row in rows}
    assert [0] * 5 + [4_000_000] == sorted(row["settled_micros"] for row in rows)


def test_sigterm_waits_for_calls_under_way(up: RuncapUp, fakes: FakeVendors) -> None:
    """A stop lets what was sent come back: nothing is left held, and the next start goes on from there."""
    run = up.issue("drain", daily_usd="10")
    fakes.fault(Fault("stripe", delay_seconds=1.0))
    mark = fakes.journal.mark()
    with Caller(up, run) as caller, ThreadPoolExecutor(1) as pool:
        pending = pool.submit(caller.charge, 100)
        time.sleep(0.4)
        up.stop()
        assert 200 == pending.result().status
    assert 100 == fakes.journal.moved(mark)
    up.start()
    [row] = up.calls(run, 1)
    assert ("settled", 1_000_000) == (row["outcome"], row["settled_micros"])
    assert 1_000_000 == up.spent_micros(run)
