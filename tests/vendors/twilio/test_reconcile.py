from datetime import date
from fractions import Fraction
from typing import Any

import pytest

from runcap.fx import Rates
from runcap.vendors.catalogue import known
from runcap.vendors.twilio.prices import Prices
from runcap.vendors.twilio.reconcile import (
    ASK_AFTER_SECONDS,
    Actual,
    Made,
    NotYet,
    made,
    next_question_seconds,
    read_actual,
    resource_path,
)
from runcap.vendors.twilio.releases import Releases

RATES = Rates(date(2026, 11, 2), {"EUR": Fraction("1.1")}, "test", margin_permille=20)
DELIVERED = {"status": "delivered", "price": "-0.01450", "price_unit": "USD", "error_code": None}
COMPLETED = {"status": "completed", "price": "-0.028", "price_unit": "USD", "duration": "61", "answered_by": None}


def read(kind: Made, found: dict[str, Any], prices: Prices | None = None) -> Actual | NotYet:
    return read_actual(kind, found, prices or Prices.bundled(), RATES, Releases.bundled())


@pytest.mark.parametrize(
    ("changed", "micros"),
    [
        ({}, 14_500),
        ({"price": "0.01450"}, 14_500),
        ({"price": "-0.00830001"}, 8_301),
        ({"price": "0"}, 0),
        ({"price": "-1"}, 1_000_000),
        ({"price": "-0.01", "price_unit": "eur"}, 11_220),
        ({"status": "undelivered"}, 14_500),
        ({"status": "sent"}, 14_500),
        ({"status": "read"}, 14_500),
        ({"status": "canceled", "price": None}, 0),
        ({"status": "failed", "price": None, "error_code": 30003}, 1_000),
        ({"status": "failed", "price": "-0.00100", "error_code": 30003}, 1_000),
        ({"status": "failed", "price": "-0.02", "error_code": 30003}, 20_000),
        ({"status": "failed", "price": None, "error_code": 30450}, 0),
    ],
)
def test_what_a_message_cost(changed: dict[str, Any], micros: int) -> None:
    """Its price, rounded up; of one that failed the processing fee, unless Twilio waives it."""
    assert Actual(micros) == read(Made.MESSAGE, DELIVERED | changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"price": None},
        *({"status": status} for status in ("queued", "sending", "accepted", "scheduled")),
        {"price": "free"},
        {"price": -0.0145},
        {"price": "--1"},
        {"price": "1e-3"},
        {"price_unit": None},
        {"price_unit": "XXX"},
        {"status": "failed", "price": "?"},
    ],
)
def test_a_message_whose_cost_is_not_known(changed: dict[str, Any]) -> None:
    """It stays at the quote until it can be read."""
    answer = read(Made.MESSAGE, DELIVERED | changed)
    assert isinstance(answer, NotYet)
    assert answer.why


@pytest.mark.parametrize(
    ("kind", "changed", "micros"),
    [
        (Made.CALL, {}, 28_000),
        (Made.CALL, {"answered_by": "human"}, 28_000 + 7_500),
        (Made.PARTICIPANT, {}, 28_000 + 2 * 4_000),
        (Made.PARTICIPANT, {"duration": "0", "price": "0"}, 0),
        *((Made.CALL, {"status": s, "price": None}, 0) for s in ("busy", "no-answer", "canceled", "failed")),
        (Made.CALL, {"status": "no-answer", "price": "-0.014"}, 14_000),
    ],
)
def test_what_a_call_cost(kind: Made, changed: dict[str, Any], micros: int) -> None:
    """Its price, machine detection, and a participant's begun minutes in the conference; nothing if unanswered."""
    assert Actual(micros) == read(kind, COMPLETED | changed)


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        (Made.CALL, {"price": None}),
        (Made.CALL, {"status": "in-progress"}),
        (Made.CALL, {"status": None}),
        (Made.PARTICIPANT, {"duration": None}),
        (Made.PARTICIPANT, {"duration": "-1"}),
    ],
)
def test_a_call_whose_cost_is_not_known(kind: Made, changed: dict[str, Any]) -> None:
    """It stays at the quote until it can be read."""
    assert isinstance(read(kind, COMPLETED | changed), NotYet)


def test_a_table_without_fees_tells_nothing() -> None:
    """A fee that is not known is not zero."""
    empty = Prices({})
    assert isinstance(read(Made.CALL, COMPLETED | {"answered_by": "human"}, empty), NotYet)
    assert isinstance(read(Made.PARTICIPANT, COMPLETED, empty), NotYet)
    assert isinstance(read(Made.MESSAGE, {"status": "failed", "price": None, "error_code": 1}, empty), NotYet)


def test_which_resource_is_asked() -> None:
    """By the operation and the SID in its audit row; a request's id is no SID."""
    sid = "CA" + "0a" * 16
    assert f"/2010-04-01/Accounts/AC1/Calls/{sid}.json" == resource_path(Made.PARTICIPANT, "AC1", sid)
    message = "SM" + "0a" * 16
    assert f"/2010-04-01/Accounts/AC1/Messages/{message}.json" == resource_path(Made.MESSAGE, "AC1", message)
    assert resource_path(Made.CALL, "AC1", "RQ1/../x") is None


def test_what_has_a_price_later() -> None:
    """Messages, calls and participants; all other operations stay at what they settled at."""
    later = {made(operation) for operation in known("twilio_catalogue.json").operations.operations}
    assert {None, *Made} == later


def test_questions_are_bounded() -> None:
    """Further and further apart, and not for ever."""
    asked = [next_question_seconds(number) for number in range(len(ASK_AFTER_SECONDS) + 1)]
    assert [*ASK_AFTER_SECONDS, None] == asked
    assert sorted(ASK_AFTER_SECONDS) == list(ASK_AFTER_SECONDS)
