import pytest

from runcap.decision import Code
from runcap.vendors import form
from runcap.vendors.base import FREE, Lookup
from tests.vendors.twilio.helpers import SID, US, post, quote, refusal, twilio

CALL = f"/2010-04-01/Accounts/{SID}/Calls/CA1.json"
SAY = ("Twiml", "<Response><Say>Hello</Say></Response>")
LIVE = {"direction": "outbound-api", "status": "in-progress", "to": US}
MINUTE = 14_000


@pytest.mark.parametrize("status", ["completed", "canceled"])
def test_ending_a_call_is_free(status: str) -> None:
    """Nothing is looked up, and nothing is added to what is forwarded."""
    request = post(CALL, ("Status", status))
    assert FREE == quote(request)
    assert f"Status={status}".encode() == twilio.plan(request).upstream.body


@pytest.mark.parametrize(
    "pairs",
    [(("Status", "in-progress"),), (("Status", "completed"), SAY), (("Status", ""),), (), (("StatusCallback", "x"),)],
)
def test_what_is_neither_an_end_nor_an_instruction(pairs: tuple[tuple[str, str], ...]) -> None:
    """Refused."""
    assert Code.MALFORMED == refusal(post(CALL, *pairs))[0]


def test_new_twiml_costs_the_minutes_that_it_may_take() -> None:
    """The call is looked up for its destination; the time limit that was priced is put in."""
    request = post(CALL, SAY)
    assert 10 * MINUTE == quote(request, LIVE).micros
    assert "600" == form.parse(twilio.plan(request).upstream.body).get("TimeLimit")
    assert Lookup(CALL) == next(twilio.quote(twilio.plan(request)))


def test_a_time_limit_alone_is_priced_too() -> None:
    """It may be later than the one before."""
    assert 60 * MINUTE == quote(post(CALL, ("TimeLimit", "3600")), LIVE).micros


@pytest.mark.parametrize("status", ["completed", "busy", "failed", "no-answer", "canceled"])
def test_a_call_that_is_over_costs_nothing_more(status: str) -> None:
    """Twilio will refuse the change."""
    assert FREE == quote(post(CALL, SAY), LIVE | {"status": status})


@pytest.mark.parametrize(
    "found",
    [
        {**LIVE, "direction": "inbound"},
        {**LIVE, "direction": None},
        {**LIVE, "to": "client:alice"},
        {**LIVE, "to": "+19005551234"},
        {**LIVE, "to": None},
        {"status": "in-progress"},
    ],
)
def test_a_call_without_a_price(found: dict[str, str]) -> None:
    """A caller's own minutes, a client's, a premium number's."""
    assert Code.UNPRICED == refusal(post(CALL, SAY), found)[0]


@pytest.mark.parametrize("name", ["Url", "FallbackUrl", "ApplicationSid", "Record"])
def test_unseen_instructions_are_refused(name: str) -> None:
    """They may dial; the message says what works."""
    code, message = refusal(post(CALL, (name, "https://example.com")))
    assert Code.UNPRICED == code
    assert name in message


def test_twiml_that_dials_is_refused() -> None:
    """A further leg has a price of its own."""
    assert Code.UNPRICED == refusal(post(CALL, ("Twiml", "<Response><Dial>+14155550100</Dial></Response>")))[0]
