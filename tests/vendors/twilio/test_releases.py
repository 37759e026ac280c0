import json

import pytest

from runcap.vendors.base import Ending, Outcome, Quote, Request, Response
from runcap.vendors.catalogue import data
from tests.vendors.twilio.helpers import CALLS, MESSAGES, SID, US, post, twilio

SMS = post(MESSAGES, ("To", US), ("Body", "hi"))
CALL = post(CALLS, ("To", US), ("Twiml", "<Response/>"))
QUOTE = Quote(14_500)
RQ = (("twilio-request-id", "RQ1"),)


def outcome(request: Request, status: int, body: object, quote: Quote = QUOTE) -> Outcome:
    return twilio.outcome(twilio.plan(request), quote, Response(status, RQ, json.dumps(body).encode()))


@pytest.mark.parametrize(
    ("status", "ending"),
    [
        *((status, Ending.SETTLED) for status in (200, 201, 204)),
        *((status, Ending.RELEASED) for status in (400, 401, 403, 404, 405, 429)),
        *((status, Ending.UNKNOWN) for status in (302, 408, 409, 410, 500, 503)),
    ],
)
def test_a_calls_outcome(status: int, ending: Ending) -> None:
    """2xx settles at the quote, a rejection releases, anything else stays counted."""
    ended = outcome(CALL, status, {"code": 21211, "price": None})
    assert (ending, None, "RQ1") == (ended.ending, ended.micros, ended.vendor_request_id)


@pytest.mark.parametrize("code", [21408, 30002, 30450, 20500])
def test_a_rejected_message_that_is_never_billed(code: int) -> None:
    """Twilio lists the codes that have no processing fee."""
    assert Ending.RELEASED == outcome(SMS, 400, {"code": code}).ending


@pytest.mark.parametrize("code", [21211, 21610, "21408", None, True, 21408.0])
def test_a_rejected_message_may_cost_the_fee(code: object) -> None:
    """It is not said that it does not, so $0.001 of the quote stays, and never more than was held."""
    ended = outcome(SMS, 400, {"code": code})
    assert (Ending.SETTLED, 1_000) == (ended.ending, ended.micros)
    assert 700 == outcome(SMS, 400, {"code": code}, Quote(700)).micros


@pytest.mark.parametrize("status", [401, 403, 404, 429])
def test_a_message_that_was_never_looked_at(status: int) -> None:
    """No credential, no right, no such account, too many calls: no message, no fee."""
    assert Ending.RELEASED == outcome(SMS, status, {"code": 20003}).ending


def test_an_answer_that_is_no_json() -> None:
    """Whatever it is, it raises nothing."""
    plan = twilio.plan(SMS)
    assert Ending.SETTLED == twilio.outcome(plan, QUOTE, Response(201, (), b"\xff")).ending
    assert 1_000 == twilio.outcome(plan, QUOTE, Response(400, (), b"[")).micros


def test_what_was_made_is_known_by_its_sid() -> None:
    """A message, a call, a participant's call: what their price is asked by later."""
    message, call = "SM" + "0a" * 16, "CA" + "1b" * 16
    participant = post(f"/2010-04-01/Accounts/{SID}/Conferences/CF1/Participants.json", ("To", US), ("From", US))
    assert message == outcome(SMS, 201, {"sid": message}).vendor_request_id
    assert call == outcome(CALL, 201, {"sid": call}).vendor_request_id
    assert call == outcome(participant, 201, {"call_sid": call, "sid": message}).vendor_request_id
    assert "RQ1" == outcome(SMS, 201, {"sid": "../../evil"}).vendor_request_id
    assert "RQ1" == outcome(SMS, 400, {"sid": message}).vendor_request_id


@pytest.mark.parametrize("vendor", ["twilio", "resend"])
def test_every_release_has_its_source(vendor: str) -> None:
    """A status that releases says why; a timeout, a conflict and a server's error never do."""
    table = data(f"{vendor}_releases.json")
    assert all(len(why) > 10 for why in table["statuses"].values())
    assert {408, 409, 500, 502, 503, 504}.isdisjoint(map(int, table["statuses"]))
