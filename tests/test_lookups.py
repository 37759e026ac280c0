"""Lookups: bounded, shared by those who ask at once, kept only where nothing can change."""

import asyncio
from collections.abc import Callable

import pytest

from runcap import lookups
from runcap.decision import Code, Refused
from runcap.forwarder import NoAnswer
from runcap.lookups import Asking, Lookups
from runcap.vendors.base import Lookup, Response, Upstream

CREDENTIAL = (("authorization", "Bearer sk_live_real"),)
PRICE = Lookup("/v1/prices/price_1", immutable=True)
INTENT = Lookup("/v1/payment_intents/pi_1")


class Vendor:
    """Answers each request with its number, once the gate is open."""

    def __init__(self) -> None:
        self.sent: list[tuple[Upstream, dict[str, str]]] = []
        self.status = 200
        self.fault: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.cancelled = 0

    async def send(self, vendor: str, upstream: Upstream, signature: tuple[tuple[str, str], ...]) -> Response:
        del vendor
        self.sent.append((upstream, dict(signature)))
        number = len(self.sent)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.fault is not None:
            raise self.fault
        return Response(self.status, (), b'{"number": %d}' % number)


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


@pytest.fixture
def made(vendor: Vendor) -> Lookups:
    return Lookups(vendor)


def begin(made: Lookups, name: str = "stripe") -> Asking:
    return made.begin(name, CREDENTIAL)


async def test_each_lookup_is_told_for_the_audit(made: Lookups, vendor: Vendor) -> None:
    """Path without query, status and milliseconds; the credential and the lookup's headers go upstream."""
    asking = begin(made)
    about_account = Lookup("/v1/charges/ch_1", "expand[]=refunds", headers=(("stripe-account", "acct_1"),))
    assert {"number": 1} == await made.look_up(asking, about_account)
    [row] = asking.made
    assert ("/v1/charges/ch_1", 200) == (row["path"], row["status"])
    assert type(row["ms"]) is int
    assert asking.seconds > 0
    [(upstream, headers)] = vendor.sent
    assert Upstream("GET", "/v1/charges/ch_1", "expand[]=refunds") == upstream
    assert {"authorization": "Bearer sk_live_real", "stripe-account": "acct_1"} == headers


async def test_what_cannot_change_is_asked_once(made: Lookups, vendor: Vendor) -> None:
    """By vendor, account headers, path and query; the second answer says that it was kept."""
    asking = begin(made)
    for _ in range(2):
        assert {"number": 1} == await made.look_up(asking, PRICE)
    assert {"path": PRICE.path, "status": 200, "ms": 0, "cached": True} == asking.made[1]
    others = [
        Lookup(PRICE.path, "expand[]=tiers", immutable=True),
        Lookup(PRICE.path, headers=(("stripe-account", "acct_1"),), immutable=True),
    ]
    assert [2, 3] == [(await made.look_up(asking, other))["number"] for other in others]
    assert {"number": 4} == await made.look_up(begin(made, "other"), PRICE)
    assert 4 == len(vendor.sent)


async def test_what_can_change_is_asked_again(made: Lookups, vendor: Vendor) -> None:
    """A payment's amount may have changed since."""
    assert [1, 2] == [(await made.look_up(begin(made), INTENT))["number"] for _ in range(2)]
    assert 2 == len(vendor.sent)


async def test_the_cache_is_bounded(made: Lookups, monkeypatch: pytest.MonkeyPatch) -> None:
    """In entries, the one that was not used for longest goes first; and in time."""
    monkeypatch.setattr(lookups, "CACHE_ENTRIES", 2)
    one, two, three = (Lookup(f"/v1/prices/price_{n}", immutable=True) for n in range(3))

    async def number(lookup: Lookup) -> int:
        return int((await made.look_up(begin(made), lookup))["number"])

    assert [1, 2, 1, 3] == [await number(lookup) for lookup in (one, two, one, three)]
    assert [1, 4] == [await number(lookup) for lookup in (one, two)]
    monkeypatch.setattr(lookups, "CACHE_SECONDS", 0.0)
    assert [5, 6] == [await number(Lookup("/v1/prices/price_9", immutable=True)) for _ in range(2)]


async def test_those_who_ask_at_once_share_one_request(made: Lookups, vendor: Vendor) -> None:
    """Each gets the answer, and each has it in its audit; the next to ask gets an answer of its own."""
    vendor.gate.clear()
    askings = [begin(made) for _ in range(5)]
    tasks = [asyncio.create_task(made.look_up(asking, INTENT)) for asking in askings]
    await _until(lambda: bool(vendor.sent))
    await asyncio.sleep(0)
    vendor.gate.set()
    assert [{"number": 1}] * 5 == await asyncio.gather(*tasks)
    assert [[200]] * 5 == [[row["status"] for row in asking.made] for asking in askings]
    assert {"number": 2} == await made.look_up(begin(made), INTENT)


async def test_who_leaves_takes_nothing_from_the_others(made: Lookups, vendor: Vendor) -> None:
    """The request goes on until the last of its askers has gone; then it is given up."""
    vendor.gate.clear()
    first, second = (asyncio.create_task(made.look_up(begin(made), INTENT)) for _ in range(2))
    await _until(lambda: bool(vendor.sent))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert 0 == vendor.cancelled
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    await _until(lambda: vendor.cancelled == 1)
    vendor.gate.set()
    assert {"number": 2} == await made.look_up(begin(made), INTENT)


async def test_all_lookups_of_a_call_share_one_time_limit(vendor: Vendor) -> None:
    """A vendor that does not answer in time has the call refused; the audit says that there was no answer."""
    made = Lookups(vendor, timeout_seconds=0.02)
    asking = begin(made)
    await made.look_up(asking, INTENT)
    vendor.gate.clear()
    with pytest.raises(Refused) as caught:
        await made.look_up(asking, PRICE)
    assert Code.UNPRICED == caught.value.deny.code
    assert [200, None] == [row["status"] for row in asking.made]
    vendor.gate.set()
    with pytest.raises(Refused):
        await made.look_up(asking, Lookup("/v1/charges/ch_1"))


@pytest.mark.parametrize(("status", "fault"), [(404, None), (500, None), (200, NoAnswer("cut"))])
async def test_a_failed_lookup_is_refused_and_not_kept(
    made: Lookups, vendor: Vendor, status: int, fault: Exception | None
) -> None:
    """Even for what cannot change: the next call asks again."""
    vendor.status, vendor.fault = status, fault
    with pytest.raises(Refused) as caught:
        await made.look_up(begin(made), PRICE)
    assert Code.UNPRICED == caught.value.deny.code
    vendor.status, vendor.fault = 200, None
    assert {"number": 2} == await made.look_up(begin(made), PRICE)


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 (what it waits for is another task's step, not an event of ours)
            await asyncio.sleep(0)
