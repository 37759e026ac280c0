"""What a Twilio call really cost, asked for later: Twilio knows the price some time after it has answered.

A message's ``price`` holds all that it cost, carrier fees included, and may come a day after delivery
(support.twilio.com, article 46871410243099, read 2026-11); a message that failed costs a processing fee, or nothing
(`runcap.vendors.twilio.releases`). A call's ``price`` is that of its minutes: what is billed on top is added here.
Nobody is billed for a call that was not answered (dev.classmethod.jp, measured 2026-02-02).

This is the pure part: which resource to ask for and when, and what its answer means. Whoever runs it needs the audit's
settled rows of Twilio (``operation``, ``vendor_request_id``, ``cost_micros``, ``settled_micros``), the secret for a
GET, and a way to give the difference back to the buckets where it was counted.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from runcap.decision import Refused
from runcap.fx import Rates
from runcap.money import ceil_div
from runcap.vendors.base import Operation, Response
from runcap.vendors.twilio.prices import Fee, Prices
from runcap.vendors.twilio.releases import Releases

ASK_AFTER_SECONDS = (60, 300, 1800, 7200, 21_600, 86_400, 172_800)
"""How long after the call each question is put; after the last one the quote stays what was spent."""

_SID = re.compile(r"[A-Z]{2}[0-9a-f]{32}", re.ASCII)
_PRICE = re.compile(r"-?([0-9]{1,7})(?:\.([0-9]{1,12}))?", re.ASCII)
_COUNT = re.compile(r"[0-9]{1,6}", re.ASCII)
_CURRENCY = re.compile(r"[A-Za-z]{3}", re.ASCII)

_UNBILLED_CALLS = frozenset({"busy", "no-answer", "canceled", "failed"})
_LIVE_MESSAGES = frozenset({"accepted", "scheduled", "queued", "sending"})


class Made(StrEnum):
    """What an operation makes, and thus how its price is read."""

    MESSAGE = "message"
    CALL = "call"
    PARTICIPANT = "participant"


_MADE_BY_PRICER = {"message": Made.MESSAGE, "call": Made.CALL, "participant": Made.PARTICIPANT}
_FOLDERS = {Made.MESSAGE: "Messages", Made.CALL: "Calls", Made.PARTICIPANT: "Calls"}
_SID_FIELDS = {Made.MESSAGE: "sid", Made.CALL: "sid", Made.PARTICIPANT: "call_sid"}


@dataclass(frozen=True, slots=True)
class Actual:
    """What a call cost, for good."""

    micros: int


@dataclass(frozen=True, slots=True)
class NotYet:
    """Twilio does not know yet, or says it in a way that cannot be read."""

    why: str


def made(operation: Operation) -> Made | None:
    """What an operation makes whose price comes later; None for all others: they stay at what they settled at.

    Redirecting a live call is one of the others: its price is a part of the whole call's.
    """
    return _MADE_BY_PRICER.get(operation.pricer)


def created_sid(operation: Operation, response: Response) -> str | None:
    """The SID of what a call has made, from Twilio's answer to it; None if it made nothing that has a price later."""
    kind = made(operation)
    if kind is None or not 200 <= response.status < 300:
        return None
    sid = response.json().get(_SID_FIELDS[kind])
    return sid if isinstance(sid, str) and _SID.fullmatch(sid) is not None else None


def resource_path(kind: Made, account_sid: str, sid: str) -> str | None:
    """Where to GET what was made; None if `sid` is none (such as a ``Twilio-Request-Id``)."""
    if _SID.fullmatch(sid) is None:
        return None
    return f"/2010-04-01/Accounts/{account_sid}/{_FOLDERS[kind]}/{sid}.json"


def next_question_seconds(asked: int) -> int | None:
    """When, in seconds after the call, to ask once more if it was asked `asked` times; None: never."""
    return ASK_AFTER_SECONDS[asked] if asked < len(ASK_AFTER_SECONDS) else None


def read_actual(
    kind: Made, found: Mapping[str, Any], prices: Prices, rates: Rates, releases: Releases
) -> Actual | NotYet:
    """What the resource says that it cost.

    Args:
        kind: what it is.
        found: the decoded JSON of the GET.
        prices: for what Twilio bills beside the price that it shows.
        rates: for an account that is billed in another currency.
        releases: which failures cost nothing.
    """
    if kind is Made.MESSAGE:
        return _of_message(found, prices, rates, releases)
    return _of_call(kind, found, prices, rates)


def _of_message(found: Mapping[str, Any], prices: Prices, rates: Rates, releases: Releases) -> Actual | NotYet:
    status, price = found.get("status"), found.get("price")
    if status in _LIVE_MESSAGES:
        return NotYet(f"the message is {status}")
    if status == "canceled":
        return Actual(0)
    if status == "failed":
        free = releases.is_free_failure(found.get("error_code"))
        fee = 0 if free else prices.fees.get(Fee.FAILED_MESSAGE)
        if fee is None:
            return NotYet("the table has no fee for failed messages")
        shown = 0 if price is None else _micros(found, rates)
        return NotYet("its price cannot be read") if shown is None else Actual(max(fee, shown))
    return _shown(found, rates)


def _of_call(kind: Made, found: Mapping[str, Any], prices: Prices, rates: Rates) -> Actual | NotYet:
    status = found.get("status")
    if status in _UNBILLED_CALLS:
        return Actual(0) if found.get("price") is None else _shown(found, rates)
    if status != "completed":
        return NotYet(f"the call is {str(status)[:20]}")
    shown = _shown(found, rates)
    if isinstance(shown, NotYet):
        return shown
    micros = shown.micros
    if found.get("answered_by") is not None:
        fee = prices.fees.get(Fee.MACHINE_DETECTION)
        if fee is None:
            return NotYet("the table has no fee for machine detection")
        micros += fee
    if kind is Made.PARTICIPANT:
        fee, seconds = prices.fees.get(Fee.CONFERENCE_MINUTE), str(found.get("duration"))
        if fee is None or _COUNT.fullmatch(seconds) is None:
            return NotYet("its minutes in the conference cannot be priced")
        micros += fee * ceil_div(int(seconds), 60)
    return Actual(micros)


def _shown(found: Mapping[str, Any], rates: Rates) -> Actual | NotYet:
    if found.get("price") is None:
        return NotYet("it has no price yet")
    micros = _micros(found, rates)
    return NotYet("its price cannot be read") if micros is None else Actual(micros)


def _micros(found: Mapping[str, Any], rates: Rates) -> int | None:
    """The ``price`` (a negative decimal: money taken) in its ``price_unit``; None if they cannot be read."""
    price, unit = found.get("price"), found.get("price_unit")
    match = _PRICE.fullmatch(price) if isinstance(price, str) else None
    if match is None or not isinstance(unit, str) or _CURRENCY.fullmatch(unit) is None:
        return None
    whole, fraction = match.group(1), match.group(2) or ""
    try:
        return rates.usd_micros(int(whole + fraction), len(fraction), unit.upper())
    except Refused:
        return None
