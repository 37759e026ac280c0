"""The way of a call, step by step, with every neighbour replaced by a record of what it was asked."""

import asyncio
import json
from collections.abc import Callable, Generator
from typing import Any

import pytest
from msgspec.structs import replace

from runcap.call import Call
from runcap.decision import Code, Deny, Refused, refuse
from runcap.entrance.wire import Malformed, Message
from runcap.forwarder import NoAnswer, NotSent
from runcap.guard import Guard
from runcap.ledger.model import Ask, End, Ended, Held
from runcap.runs import key_digest, new_vault_key
from runcap.vendors.base import (
    Ending,
    Kind,
    Lookup,
    Operation,
    Outcome,
    Plan,
    Quote,
    Request,
    Response,
    Upstream,
)

SECRET = "sk_live_the_real_one"
KEY = new_vault_key()
MESSAGE = Message("POST", "/v1/things", (("host", "api.fake.example"), ("authorization", KEY)), b"amount=5", True)


class FakeVendor:
    """A vendor with one operation; each method can be replaced by a test."""

    name = "fake"
    host = "api.fake.example"
    sibling_domain = "fake.example"

    def __init__(self) -> None:
        self.lookups: list[Lookup] = []
        self.answer = Outcome(Ending.SETTLED)
        self.kind = Kind.PRICED
        self.price = Quote(5_000_000)

    def credential(self, request: Request) -> str:
        return request.header("authorization") or ""

    def plan(self, request: Request) -> Plan:
        upstream = Upstream("POST", request.path, body=request.body)
        return Plan(Operation("POST", "/v1/things", self.kind), upstream, idempotency_key="agent-key")

    def quote(self, plan: Plan) -> Generator[Lookup, dict[str, Any], Quote]:
        for lookup in self.lookups:
            found = yield lookup
            self.price = replace(self.price, micros=found["amount"])
        return self.price

    def sign(self, plan: Plan, secret: str, idempotency_key: str | None) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {secret}"), ("idempotency-key", idempotency_key or ""))

    def lookup_headers(self, secret: str) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {secret}"),)

    def outcome(self, plan: Plan, quote: Quote, response: Response) -> Outcome:
        return self.answer

    def error(self, deny: Deny) -> tuple[dict[str, Any], tuple[tuple[str, str], ...]]:
        return deny.fields("fake"), ()


class FakeLedger:
    """Remembers what it was asked; grants everything unless told otherwise."""

    def __init__(self) -> None:
        self.asked: list[Ask] = []
        self.ended: list[End] = []
        self.recorded: list[tuple[dict[str, Any], Deny]] = []
        self.authorized: list[str] = []
        self.accounts: list[str] = []
        self.denial: Deny | None = None
        self.failures_to_finish = 0

    async def reserve(self, ask: Ask) -> Held:
        self.asked.append(ask)
        if self.denial is not None:
            raise Refused(self.denial)
        return Held(ask.reservation_id, "run-1", "label", ask.micros, 7_000_000, 3_000_000)

    async def authorize(self, digest: str, vendor: str, operation: str, *, account: str, **_: Any) -> None:
        self.authorized.append(digest)
        self.accounts.append(account)
        if self.denial is not None:
            raise Refused(self.denial)

    async def finish(self, end: End, *, patient: bool = False) -> Ended:
        if self.failures_to_finish:
            self.failures_to_finish -= 1
            raise refuse(Code.LEDGER_UNAVAILABLE, "away")
        self.ended.append(end)
        return Ended(0 if end.ending is Ending.RELEASED else end.micros or 5_000_000, 7_000_000)

    async def record(
        self, row: dict[str, Any], deny: Deny, digest: str | None, *, strangers: bool = True
    ) -> tuple[str, str] | None:
        self.recorded.append((row, deny))
        return ("run-1", "label") if digest else None


class FakeForwarder:
    """Answers what it is told to; remembers what was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[Upstream, dict[str, str]]] = []
        self.reply: Response | Exception = Response(200, (("x-a", "b"),), b'{"ok": true}')
        self.found: Response | Exception = Response(200, (), b'{"amount": 9}')
        self.gate: asyncio.Event | None = None
        self.reached = asyncio.Event()

    async def send(self, vendor: str, upstream: Upstream, signature: tuple[tuple[str, str], ...]) -> Response:
        self.sent.append((upstream, dict(signature)))
        self.reached.set()
        if self.gate is not None:
            await self.gate.wait()
        reply = self.found if upstream.method == "GET" else self.reply
        if isinstance(reply, Exception):
            raise reply
        return reply


class Stage:
    """A guard with its fakes."""

    def __init__(self) -> None:
        self.vendor = FakeVendor()
        self.ledger = FakeLedger()
        self.forwarder = FakeForwarder()
        self.secret: str | None = SECRET
        self.guard = Guard(
            ledger=self.ledger,
            forwarder=self.forwarder,
            secret_of=lambda _: self.secret,
            timeout_seconds=5,
            grace_seconds=30,
        )

    async def call(self, message: Message = MESSAGE) -> tuple[int, dict[str, str], dict[str, Any]]:
        reply = await self.guard.handle(self.vendor, message)
        await self.guard.drain(5)
        return reply.status, dict(reply.headers), json.loads(reply.body)


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_an_allowed_call(stage: Stage) -> None:
    """It is reserved at its quote, sent with the real secret and a run-bound idempotency key, and settled."""
    status, headers, body = await stage.call()

    assert (200, {"ok": True}) == (status, body)
    (ask,) = stage.ledger.asked
    assert (5_000_000, key_digest(KEY), "POST /v1/things") == (ask.micros, ask.key_digest, ask.operation)
    ((upstream, signature),) = stage.forwarder.sent
    assert f"Bearer {SECRET}" == signature["authorization"]
    assert signature["idempotency-key"].startswith("runcap-")
    assert b"amount=5" == upstream.body
    assert [Ending.SETTLED] == [end.ending for end in stage.ledger.ended]
    assert {
        "Runcap-Run": "run-1",
        "Runcap-Cost-Usd": "5.00",
        "Runcap-Spent-Usd": "7.00",
    }.items() <= headers.items()
    assert headers["Runcap-Remaining-Usd"] == "3.00"


async def test_a_released_call_gives_its_money_back_before_the_reply(stage: Stage) -> None:
    """The headers of a call that cost nothing say so."""
    stage.vendor.answer = Outcome(Ending.RELEASED)

    _, headers, _ = await stage.call()

    assert ("0.00", "2.00", "8.00") == (
        headers["Runcap-Cost-Usd"], headers["Runcap-Spent-Usd"], headers["Runcap-Remaining-Usd"],
    )  # fmt: skip


async def test_a_denial_of_the_ledger_is_not_audited_twice(stage: Stage) -> None:
    """The reserve script writes the row of what it denies; nothing is sent."""
    stage.ledger.denial = Deny(Code.CAP_EXHAUSTED, "no", run_id="run-1", label="label")

    status, _, body = await stage.call()

    assert (429, "cap_exhausted") == (status, body["code"])
    assert [] == stage.ledger.recorded
    assert [] == stage.forwarder.sent


async def test_lookups_come_after_the_key_has_been_checked(stage: Stage) -> None:
    """A price that depends on the vendor is looked up with the real secret, for a valid key only."""
    stage.vendor.lookups = [Lookup("/v1/things/1")]
    await stage.call()

    assert [9] == [ask.micros for ask in stage.ledger.asked]
    stage.ledger.denial = Deny(Code.KEY_REVOKED, "revoked")
    stage.forwarder.sent.clear()
    status, _, _ = await stage.call()
    assert status == 401
    assert [] == stage.forwarder.sent


async def test_a_lookup_carries_the_headers_of_its_plan(stage: Stage) -> None:
    """Whose data is read is up to the vendor's pricing; the credential comes from the vendor all the same."""
    stage.vendor.lookups = [Lookup("/v1/things/1", headers=(("fake-account", "acct_1"),))]
    await stage.call()

    assert {"authorization": f"Bearer {SECRET}", "fake-account": "acct_1"} == stage.forwarder.sent[0][1]
    assert "fake-account" not in stage.forwarder.sent[1][1]


async def test_an_idempotency_key_belongs_to_one_account(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same key on another account is another call to the vendor, so it is no retry here."""
    plan = stage.vendor.plan
    for account in (None, "acct_1", "acct_2", None):
        monkeypatch.setattr(stage.vendor, "plan", lambda request, on=account: replace(plan(request), account=on))
        await stage.call()
    digests = [ask.idempotency_digest for ask in stage.ledger.asked]

    assert 3 == len(set(digests))
    assert digests[0] == digests[3]


async def test_what_the_policy_is_about_reaches_the_ledger(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Account, country, currency, whether it is a refund; the account is checked before a lookup, too."""
    plan = stage.vendor.plan
    refund = Operation("POST", "/v1/refunds", Kind.PRICED)
    changes: dict[str, Any] = {"operation": refund, "direction": "out", "account": "acct_1"}
    monkeypatch.setattr(stage.vendor, "plan", lambda request: replace(plan(request), **changes))
    stage.vendor.price = Quote(5, currency="EUR", country="DE")
    stage.vendor.lookups = [Lookup("/v1/things/1")]
    await stage.call()

    assert ["acct_1"] == stage.ledger.accounts
    [ask] = stage.ledger.asked
    assert ("acct_1", "DE", "EUR", True) == (ask.account, ask.country, ask.currency, ask.refund)
    assert {"account": "acct_1", "country": "DE"}.items() <= ask.row.items()
    changes["operation"] = Operation("POST", "/v1/payouts", Kind.PRICED)
    await stage.call()
    assert not stage.ledger.asked[1].refund


async def test_a_send_has_a_fingerprint_unless_the_vendor_tells_a_retry(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same request has the same one, another body another; a call that sends nothing has none."""
    plan = stage.vendor.plan

    async def digest(body: bytes = b"amount=5", **changes: Any) -> str:
        monkeypatch.setattr(stage.vendor, "plan", lambda request: replace(plan(request), **changes))
        await stage.call(replace(MESSAGE, body=body))
        return stage.ledger.asked[-1].send_digest

    first = await digest(sends=True, idempotency_key=None)
    assert 64 == len(first)
    assert first == await digest(sends=True, idempotency_key=None)
    assert first != await digest(b"amount=6", sends=True, idempotency_key=None)
    assert "" == await digest(sends=True, idempotency_key="k")
    assert "" == await digest(sends=False, idempotency_key=None)


async def test_lookups_are_in_the_audit_row(stage: Stage) -> None:
    """Of a call that is allowed, and of one that is refused since a lookup failed."""
    stage.vendor.lookups = [Lookup("/v1/things/1"), Lookup("/v1/things/14155550100")]
    await stage.call()
    stage.forwarder.found = Response(404, (), b"{}")
    await stage.call()

    [ask], [(refused, _)] = stage.ledger.asked, stage.ledger.recorded
    assert [("/v1/things/1", 200), ("/v1/things/{hidden}", 200)] == [
        (row["path"], row["status"]) for row in ask.row["lookups"]
    ]
    assert [("/v1/things/1", 404)] == [(row["path"], row["status"]) for row in refused["lookups"]]


@pytest.mark.parametrize(
    "found", [NoAnswer("hangs"), NotSent("down"), Response(404, (), b"{}"), Response(200, (), b"no json")]
)
async def test_a_failed_lookup_refuses(stage: Stage, found: Any) -> None:
    """Without the amount there is no price, and without a price no call."""
    stage.vendor.lookups = [Lookup("/v1/things/1")]
    stage.forwarder.found = found

    status, _, body = await stage.call()

    assert (422, "unpriced") == (status, body["code"])
    assert [] == stage.ledger.asked


async def test_a_call_that_was_not_sent_is_released(stage: Stage) -> None:
    """No connection to the vendor: 502, and nothing counted."""
    stage.forwarder.reply = NotSent("refused")

    status, _, body = await stage.call()

    assert (502, "upstream_unreachable", "run-1") == (status, body["code"], body["run_id"])
    assert [Ending.RELEASED] == [end.ending for end in stage.ledger.ended]


@pytest.mark.parametrize("error", [NoAnswer("cut"), RuntimeError("a fault of ours after sending")])
async def test_what_nobody_can_tell_counts_as_spent(stage: Stage, error: Exception) -> None:
    """Once the call may be on its way, any failure ends as unknown."""
    stage.forwarder.reply = error

    status, _, _ = await stage.call()

    assert status in (503, 504)
    assert [Ending.UNKNOWN] == [end.ending for end in stage.ledger.ended]


async def test_cancelled_while_sending_counts_as_spent(stage: Stage) -> None:
    """A cancelled call does not vanish from the ledger."""
    stage.forwarder.gate = asyncio.Event()
    task = asyncio.create_task(stage.guard.handle(stage.vendor, MESSAGE))
    await stage.forwarder.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await stage.guard.drain(5)

    assert [Ending.UNKNOWN] == [end.ending for end in stage.ledger.ended]


async def test_an_unreadable_outcome_counts_as_spent(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vendor file that fails on an answer cannot make the call free."""
    monkeypatch.setattr(stage.vendor, "outcome", _raise)

    status, _, _ = await stage.call()

    assert status == 200
    assert [Ending.UNKNOWN] == [end.ending for end in stage.ledger.ended]


async def test_an_ending_is_tried_again_until_the_ledger_is_back(stage: Stage) -> None:
    """A ledger that is away when a call ends gets the ending later, once."""
    stage.ledger.failures_to_finish = 3

    await stage.call()

    assert 1 == len(stage.ledger.ended)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda stage: (stage.vendor, "credential"), id="credential"),
        pytest.param(lambda stage: (stage.vendor, "plan"), id="plan"),
        pytest.param(lambda stage: (stage.vendor, "quote"), id="quote"),
        pytest.param(lambda stage: (stage.ledger, "reserve"), id="reserve"),
        pytest.param(lambda _: (Call, "ask"), id="ask"),
        pytest.param(lambda stage: (stage.guard, "_secret_of"), id="secret"),
    ],
)
async def test_an_exception_before_sending_fails_closed(
    stage: Stage, broken: Callable[[Stage], tuple[Any, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever breaks on the way: 503, nothing sent, one audit row."""
    monkeypatch.setattr(*broken(stage), _raise)

    status, _, body = await stage.call()

    assert (503, "internal") == (status, body["code"])
    assert [] == stage.forwarder.sent
    assert [Code.INTERNAL] == [deny.code for _, deny in stage.ledger.recorded]


@pytest.mark.parametrize(
    ("message", "status", "code"),
    [
        (
            replace(MESSAGE, headers=(("host", "api.fake.example"), ("authorization", "sk_live_x"))),
            401,
            "key_unknown",
        ),
        (replace(MESSAGE, headers=(("host", "evil.example"), ("authorization", KEY))), 422, "malformed"),
    ],
)
async def test_refusals_before_the_ledger_are_audited(stage: Stage, message: Message, status: int, code: str) -> None:
    """A call that is refused before the ledger is asked still gets its row."""
    answered, _, body = await stage.call(message)

    assert (status, code) == (answered, body["code"])
    assert 1 == len(stage.ledger.recorded)


async def test_no_secret_no_call(stage: Stage) -> None:
    """A vendor whose secret is not configured is refused with the option's name."""
    stage.secret = None

    status, _, body = await stage.call()

    assert status == 503
    assert "vendors.fake.secret" in body["message"]


async def test_a_price_above_the_limit_is_refused(stage: Stage) -> None:
    """No single call may cost more than a million dollars."""
    stage.vendor.price = Quote(10**12 + 1)

    status, _, body = await stage.call()

    assert (422, "unpriced") == (status, body["code"])


async def test_an_echoed_secret_is_redacted(stage: Stage) -> None:
    """A vendor that repeats the secret does not hand it to the agent."""
    echo = f'{{"you_sent": "Bearer {SECRET}"}}'.encode()
    stage.forwarder.reply = Response(200, (("x-echo", SECRET),), echo)

    _, headers, body = await stage.call()

    assert SECRET not in json.dumps([headers, body])


async def test_malformed_bytes_are_audited(stage: Stage) -> None:
    """What could not even be read as a request is refused with its reason, and has a row."""
    reply = await stage.guard.refuse_malformed(stage.vendor, Malformed("two lengths", Code.TOO_LARGE))

    assert (413, "two lengths") == (reply.status, json.loads(reply.body)["message"])
    assert 1 == len(stage.ledger.recorded)


def _raise(*_: Any, **__: Any) -> Any:
    raise LookupError("injected")
