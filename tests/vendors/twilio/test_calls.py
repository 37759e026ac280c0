import pytest

from runcap.decision import Code, Refused
from runcap.vendors import form
from runcap.vendors.twilio.calls import DEFAULT_TIME_LIMIT_SECONDS, read_call
from runcap.vendors.twilio.twiml import canonical_twiml
from tests.vendors.twilio.helpers import CALLS, US, post, quote, refusal, twilio

SAY = ("Twiml", "<Response><Say>Hello</Say></Response>")
MINUTE = 14_000


@pytest.mark.parametrize(("seconds", "minutes"), [("1", 1), ("60", 1), ("61", 2), ("3600", 60)])
def test_a_call_costs_its_minutes(seconds: str, minutes: int) -> None:
    """Begun minutes up to the time limit, at the price of the country."""
    priced = quote(post(CALLS, ("To", US), ("From", US), SAY, ("TimeLimit", seconds)))
    assert (minutes * MINUTE, minutes) == (priced.micros, priced.amount_minor)


def test_a_missing_time_limit_is_put_in() -> None:
    """The limit that was priced stands in what is forwarded."""
    request = post(CALLS, ("To", US), ("From", US), SAY)
    forwarded = form.parse(twilio.plan(request).upstream.body)
    assert str(DEFAULT_TIME_LIMIT_SECONDS) == forwarded.get("TimeLimit")
    assert 10 * MINUTE == quote(request).micros


def test_alaska_has_its_own_price() -> None:
    """Prices go by the longest prefix."""
    assert 90_000 == quote(post(CALLS, ("To", "+19075551234"), SAY, ("TimeLimit", "60"))).micros


@pytest.mark.parametrize("limit", ["0", "-1", "060", "1e3", "86401", "100000", "60.0", " 60", "\u0661\u0660", ""])
def test_time_limits_that_cannot_be_read(limit: str) -> None:
    """Only plain digits, up to a day."""
    assert Code.MALFORMED == refusal(post(CALLS, ("To", US), SAY, ("TimeLimit", limit)))[0]


@pytest.mark.parametrize(
    "pair",
    [
        ("Url", "https://example.com/twiml"),
        ("FallbackUrl", "https://example.com/twiml"),
        ("ApplicationSid", "AP1"),
        ("Record", "true"),
        ("Transcribe", "true"),
        ("Byoc", "BY1"),
        ("CallReason", "x"),
        ("SipAuthUsername", "x"),
    ],
)
def test_what_could_cost_more_is_refused_by_name(pair: tuple[str, str]) -> None:
    """Opaque TwiML, recordings, detection: each is billed on its own."""
    code, message = refusal(post(CALLS, ("To", US), SAY, pair))
    assert Code.UNPRICED == code
    assert pair[0] in message


def test_machine_detection_is_billed_once() -> None:
    """0.0075 a call on top of the minutes, whichever of its parameters turns it on."""
    for pair in (("MachineDetection", "Enable"), ("AsyncAmd", "true")):
        priced = quote(post(CALLS, ("To", US), SAY, ("TimeLimit", "120"), pair))
        assert 2 * MINUTE + 7_500 == priced.micros


def test_the_way_out_is_named() -> None:
    """Most calls are made with a Url: the message says what works."""
    assert "Twiml" in refusal(post(CALLS, ("To", US), ("Url", "https://example.com")))[1]


@pytest.mark.parametrize("to", ["client:alice", "sip:a@example.com", "whatsapp:+14155550100", "911", "+19005551234"])
def test_destinations_without_a_price(to: str) -> None:
    """Only ordinary numbers."""
    assert Code.UNPRICED == refusal(post(CALLS, ("To", to), SAY))[0]


def test_a_call_needs_twiml() -> None:
    """Without any the call would do nothing that is known."""
    assert Code.MALFORMED == refusal(post(CALLS, ("To", US)))[0]


@pytest.mark.parametrize(
    "twiml",
    [
        "<Response><Dial>+14155550100</Dial></Response>",
        "<Response><Say>a</Say><Sms to='+14155550100'>x</Sms></Response>",
        "<Response><Message>x</Message></Response>",
        "<Response><Record/></Response>",
        "<Response><Pay/></Response>",
        "<Response><Refer/></Response>",
        "<Response><Redirect>https://example.com</Redirect></Response>",
        "<Response><Gather/></Response>",
        "<Response><Connect/></Response>",
        "<Response><say>a</say></Response>",
        "<Response><x:Say xmlns:x='urn:x'>a</x:Say></Response>",
        "<Response><Say voice='Polly.Joanna-Neural'>a</Say></Response>",
        "<Response><Say action='https://example.com'>a</Say></Response>",
    ],
)
def test_twiml_that_may_be_billed_is_unpriced(twiml: str) -> None:
    """Only verbs, attributes and voices that cost nothing beyond the minute."""
    assert Code.UNPRICED == refusal(post(CALLS, ("To", US), ("Twiml", twiml)))[0]


@pytest.mark.parametrize(
    "twiml",
    [
        "",
        "Hello",
        "<Response>",
        "<Other/>",
        "<Response>text<Say>a</Say></Response>",
        "<Response><Say>a</Say>text</Response>",
        "<Response><Say><Dial>+1</Dial></Say></Response>",
        "<!DOCTYPE x [<!ENTITY d 'Dial'>]><Response/>",
        "<Response><!-- x --><Say>a</Say></Response>",
        "<Response><Say><![CDATA[a]]></Say></Response>",
        "<Response><?x y?></Response>",
        "<Response><Say>&d;</Say></Response>",
        "<?xml version='1.0' encoding='UTF-7'?><Response/>",
        "<Response/>" + " " * 4000,
    ],
)
def test_twiml_that_is_no_plain_xml_is_malformed(twiml: str) -> None:
    """What two XML parsers may read differently is refused."""
    with pytest.raises(Refused) as refused:
        canonical_twiml(twiml)
    assert Code.MALFORMED == refused.value.deny.code


def test_twiml_is_written_anew() -> None:
    """Twilio gets what was read here, and reading it again changes nothing."""
    twiml = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Response> <Say voice="alice" language="de">Grüße &amp; mehr</Say>'
        '<Pause length="2"/><Play>https://example.com/a.mp3</Play><Hangup/></Response>'
    )
    written = canonical_twiml(twiml)
    assert "Grüße &amp; mehr" in written
    assert "<?xml" not in written
    assert written == canonical_twiml(written)


def test_what_is_forwarded_is_what_was_priced() -> None:
    """Reading the forwarded bytes again gives the very model that was priced."""
    plan = twilio.plan(
        post(
            CALLS,
            ("To", US),
            ("From", US),
            SAY,
            ("StatusCallbackEvent", "ringing"),
            ("StatusCallbackEvent", "completed"),
        )
    )
    rebuilt, again = read_call(form.parse(plan.upstream.body, {"StatusCallbackEvent"}))
    assert plan.detail == again
    assert ("ringing", "completed") == rebuilt.all("StatusCallbackEvent")
