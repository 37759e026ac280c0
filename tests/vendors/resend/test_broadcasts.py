from typing import Any
from urllib.parse import parse_qs

import pytest

from runcap.decision import Code
from runcap.vendors.base import FREE, Lookup
from runcap.vendors.resend.broadcasts import MAX_PAGES, PAGE_SIZE
from tests.vendors.resend.helpers import post, quote, refusal, resend

NEW = {"from": "a@example.com", "subject": "News", "segment_id": "seg-1", "html": "<p>x</p>"}
SENT = {**NEW, "send": True}
DRAFT = {"id": "b-1", "status": "draft", "segment_id": "seg-1", "audience_id": None}
SEND = "/broadcasts/b-1/send"


def page(count: int, *, more: bool = False, name: str = "c") -> dict[str, Any]:
    return {"object": "list", "has_more": more, "data": [{"id": f"{name}-{n}"} for n in range(count)]}


@pytest.mark.parametrize("body", [NEW, {**NEW, "send": False}])
def test_a_draft_is_free(body: dict[str, Any]) -> None:
    """Nothing is looked up."""
    assert FREE == quote(post("/broadcasts", body))


def test_sending_costs_the_whole_segment() -> None:
    """Each contact at 0.0009, and amount_minor is how many they are; nobody costs nothing."""
    priced = quote(post("/broadcasts", SENT), page(3))
    assert (3 * 900, 3) == (priced.micros, priced.amount_minor)
    assert 0 == quote(post("/broadcasts", SENT), page(0)).micros


def test_a_draft_is_read_before_it_is_sent() -> None:
    """Then its segment is counted."""
    assert 2 * 900 == quote(post(SEND, {}), DRAFT, page(2)).micros
    assert 2 * 900 == quote(post(SEND, {"broadcast_id": "b-1"}), DRAFT, page(2)).micros
    assert Lookup("/broadcasts/b-1") == next(resend.quote(resend.plan(post(SEND, {}))))


@pytest.mark.parametrize(
    ("path", "body", "found"),
    [
        ("/broadcasts", {**SENT, "scheduled_at": "2026-12-01T00:00:00Z"}, ()),
        (SEND, {"scheduled_at": "in 1 hour"}, (DRAFT,)),
    ],
)
def test_a_scheduled_one_counts_now(path: str, body: dict[str, Any], found: tuple[dict[str, Any], ...]) -> None:
    """At who is in the segment when it is ordered."""
    assert 2 * 900 == quote(post(path, body), *found, page(2)).micros


def test_the_old_name_of_a_segment() -> None:
    """An audience is one; both names at once must agree."""
    old = {**{key: value for key, value in SENT.items() if key != "segment_id"}, "audience_id": "seg-1"}
    assert 900 == quote(post("/broadcasts", old), page(1)).micros
    assert 900 == quote(post("/broadcasts", {**SENT, "audience_id": "seg-1"}), page(1)).micros
    assert Code.UNPRICED == refusal(post("/broadcasts", {**SENT, "audience_id": "seg-2"}))[0]


def test_pages_are_read_to_the_end() -> None:
    """Each after the last contact of the one before, a hundred at a time."""
    steps = resend.quote(resend.plan(post("/broadcasts", SENT)))
    first = next(steps)
    second = steps.send(page(PAGE_SIZE, more=True))
    assert ("/contacts", {"segment_id": ["seg-1"], "limit": ["100"]}) == (first.path, parse_qs(first.query))
    assert {"segment_id": ["seg-1"], "limit": ["100"], "after": ["c-99"]} == parse_qs(second.query)
    with pytest.raises(StopIteration) as done:
        steps.send(page(5))
    assert 105 * 900 == done.value.value.micros


def test_a_segment_that_is_too_large_is_refused() -> None:
    """The count is bounded: one more page than that is not read."""
    pages = [page(PAGE_SIZE, more=True, name=f"p{number}") for number in range(MAX_PAGES)]
    code, message = refusal(post("/broadcasts", SENT), *pages)
    assert (Code.UNPRICED, True) == (code, "5000" in message)
    full = [*pages[:-1], page(PAGE_SIZE)]
    assert MAX_PAGES * PAGE_SIZE * 900 == quote(post("/broadcasts", SENT), *full).micros


@pytest.mark.parametrize(
    "found",
    [
        {"data": [], "has_more": "no"},
        {"data": []},
        {"data": {"id": "1"}, "has_more": False},
        {"has_more": False},
        {"data": [], "has_more": True},
        {"data": [{}], "has_more": True},
        {"data": ["x"], "has_more": True},
        {"data": [{"id": "a b"}], "has_more": True},
    ],
)
def test_a_list_that_cannot_be_read(found: dict[str, Any]) -> None:
    """No count, no price."""
    assert Code.UNPRICED == refusal(post("/broadcasts", SENT), found)[0]


def test_a_list_that_goes_in_circles() -> None:
    """The same last contact twice ends it."""
    again = page(1, more=True)
    assert Code.UNPRICED == refusal(post("/broadcasts", SENT), again, again)[0]


@pytest.mark.parametrize("found", [{"status": "sent"}, {"status": "queued"}, {"status": None}, {"segment_id": None}])
def test_what_is_no_draft_is_refused(found: dict[str, Any]) -> None:
    """Nobody can tell what sending it again does, or to whom."""
    assert Code.UNPRICED == refusal(post(SEND, {}), DRAFT | found)[0]


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/broadcasts", {**NEW, "send": "true"}, Code.MALFORMED),
        ("/broadcasts", {**NEW, "send": 1}, Code.MALFORMED),
        ("/broadcasts", {**NEW, "scheduled_at": "in 1 hour"}, Code.MALFORMED),
        ("/broadcasts", [NEW], Code.MALFORMED),
        ("/broadcasts", {**SENT, "to": ["a@example.com"]}, Code.UNPRICED),
        ("/broadcasts", {**SENT, "segment_id": "../x"}, Code.UNPRICED),
        ("/broadcasts", {"from": "a@example.com", "subject": "News", "send": True}, Code.UNPRICED),
        (SEND, {"segment_id": "seg-2"}, Code.MALFORMED),
        (SEND, [], Code.MALFORMED),
        (SEND, {"broadcast_id": "b-2"}, Code.MALFORMED),
    ],
)
def test_orders_that_cannot_be_read(path: str, body: Any, code: Code) -> None:
    """Refused before anything is looked up."""
    assert code == refusal(post(path, body))[0]


def test_a_broadcast_that_goes_out_can_be_told_apart() -> None:
    """Resend has no idempotency key for it, so a policy may have the same again refused; a draft sends nothing."""
    assert resend.plan(post("/broadcasts", SENT)).sends
    assert resend.plan(post(SEND, {})).sends
    assert not resend.plan(post("/broadcasts", NEW)).sends
    assert resend.plan(post("/broadcasts", SENT)).idempotency_key is None
