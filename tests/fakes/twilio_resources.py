"""The rest of the fake Twilio's account: live calls, conferences, payments, numbers, and lists of what is there.

Kept to Twilio's OpenAPI document of 2026-04-14. Each function takes the parameters and gives the answer.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tests.fakes.model import Answer

DEFAULT_TIME_LIMIT_SECONDS = 14_400
"""Twilio's own limit for a call without TimeLimit: four hours."""
_KINDS = {"Local": "local_number", "TollFree": "toll_free_number", "": "local_number"}
_TOLL_FREE = re.compile(r"\+18(?:00|33|44|55|66|77|88)")


def time_limit_seconds(params: dict[str, str]) -> int:
    """How long a call may take."""
    return int(params.get("TimeLimit", str(DEFAULT_TIME_LIMIT_SECONDS)))


def minutes(params: dict[str, str]) -> int:
    """How many minutes a call may take, rounded up."""
    return -(-time_limit_seconds(params) // 60)


def page(noun: str, resources: list[dict[str, Any]]) -> Answer:
    """One page of a list, which is all of it."""
    return Answer(200, {noun: resources, "page": 0, "page_size": 50, "uri": "", "next_page_uri": None})


def change_call(call: dict[str, Any], params: dict[str, str]) -> Answer:
    """End a call, or give it new TwiML: its minutes begin anew."""
    if "Status" in params:
        call["status"] = params["Status"]
        return Answer(200, call, params=dict(params))
    return Answer(200, call, moved=minutes(params), unit="minute", params=dict(params))


def participant(call: dict[str, Any], conference: str, params: dict[str, str]) -> Answer:
    """Call somebody into a conference."""
    made = {
        "call_sid": call["sid"], "conference_sid": conference, "account_sid": call["account_sid"], "muted": False,
        "hold": False, "label": params.get("Label"), "status": "queued",
    }  # fmt: skip
    return Answer(201, made, moved=minutes(params), unit="minute", params=dict(params))


def payment(sid: str, account_sid: str, call_sid: str, params: dict[str, str]) -> Answer:
    """Open a payment on a call; what it charges is charged."""
    if not params.get("IdempotencyKey") or not params.get("StatusCallback"):
        return Answer(400, {"code": 20001, "message": "Missing parameter", "more_info": "", "status": 400})
    cents = Decimal(params.get("ChargeAmount", "0")) * 100
    made = {"sid": sid, "account_sid": account_sid, "call_sid": call_sid}
    return Answer(201, made, moved=int(cents), unit="usd", params=dict(params))


def number(sid: str, account_sid: str, kind: str, params: dict[str, str]) -> Answer:
    """Buy a number."""
    found = params.get("PhoneNumber") or f"+1{params['AreaCode']}5550123"
    unit = "toll_free_number" if _TOLL_FREE.match(found) else _KINDS[kind]
    made = {"sid": sid, "account_sid": account_sid, "phone_number": found, "friendly_name": found}
    return Answer(201, made, moved=1, unit=unit, params=dict(params))


def changed(path: str, params: dict[str, str]) -> Answer | None:
    """Change what needs no memory: a conference, a participant, a payment, what a recipient said of a message."""
    if match := re.fullmatch(r"/Conferences/(\w+)(?:/Participants/(\w+))?\.json", path):
        body = {"sid": match[1], "conference_sid": match[1], "call_sid": match[2]}
    elif match := re.fullmatch(r"/Calls/(\w+)/Payments/(\w+)\.json", path):
        body = {"sid": match[2], "call_sid": match[1]}
    elif match := re.fullmatch(r"/Messages/(\w+)/Feedback\.json", path):
        body = {"message_sid": match[1]}
    else:
        return None
    return Answer(200, {**body, **{name.lower(): value for name, value in params.items()}}, params=dict(params))


def fixed_reads(account_sid: str) -> dict[str, Callable[[], Answer]]:
    """What is always there to be read, by its path below the account."""
    numbers = [{"phone_number": "+14155552671", "friendly_name": "(415) 555-2671", "iso_country": "US"}]
    return {
        "/Balance.json": lambda: Answer(200, {"account_sid": account_sid, "balance": "25.00", "currency": "USD"}),
        "/Recordings.json": lambda: page("recordings", []),
        "/Conferences.json": lambda: page("conferences", []),
        "/IncomingPhoneNumbers.json": lambda: page("incoming_phone_numbers", []),
        "/Usage/Records.json": lambda: page("usage_records", []),
        "/AvailablePhoneNumbers/US/Local.json": lambda: page("available_phone_numbers", numbers),
    }
