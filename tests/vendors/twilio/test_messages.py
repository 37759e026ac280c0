from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runcap.decision import Code
from runcap.vendors import form
from runcap.vendors.base import FREE
from runcap.vendors.twilio import Prices, Twilio
from runcap.vendors.twilio.messages import read_message
from tests.vendors.twilio.helpers import MESSAGES, SID, US, post, quote, refusal, twilio

SEGMENT = 14_500
MMS = 42_000
UPDATE = f"/2010-04-01/Accounts/{SID}/Messages/SM{'0' * 32}.json"


def test_an_sms_costs_its_segments() -> None:
    """Segments times the dearest US price with carrier fee; amount_minor is the number of segments."""
    one = quote(post(MESSAGES, ("To", US), ("From", "+14155550199"), ("Body", "a" * 160)))
    two = quote(post(MESSAGES, ("To", US), ("From", "+14155550199"), ("Body", "a" * 161)))
    assert (SEGMENT, 1) == (one.micros, one.amount_minor)
    assert (2 * SEGMENT, 2) == (two.micros, two.amount_minor)


def test_media_makes_it_an_mms() -> None:
    """A short text with a picture is an MMS; SendAsMms without media too."""
    media = ("MediaUrl", "https://example.com/a.png")
    assert MMS == quote(post(MESSAGES, ("To", US), ("Body", "hi"), media)).micros
    assert MMS == quote(post(MESSAGES, ("To", US), ("Body", "hi"), ("SendAsMms", "true"))).micros
    assert MMS == quote(post(MESSAGES, ("To", US), media)).micros
    assert SEGMENT == quote(post(MESSAGES, ("To", US), ("Body", "hi"), ("SendAsMms", "false"))).micros


def test_media_is_billed_as_links_where_that_is_dearer() -> None:
    """Ten media with a text could become a long SMS: the dearer of both is held."""
    media = [("MediaUrl", f"https://example.com/{n}.png") for n in range(10)]
    assert 7 * SEGMENT == quote(post(MESSAGES, ("To", US), *media)).micros


def test_media_to_a_country_without_mms_is_an_sms_with_a_link() -> None:
    """Text and link together: two segments at Puerto Rico's price."""
    request = post(MESSAGES, ("To", "+17875551234"), ("Body", "a" * 100), ("MediaUrl", "https://example.com/a"))
    assert 2 * 59_400 == quote(request).micros


def test_too_many_media() -> None:
    """Twilio takes ten."""
    media = [("MediaUrl", f"https://example.com/{n}.png") for n in range(11)]
    assert Code.MALFORMED == refusal(post(MESSAGES, ("To", US), *media))[0]


def test_too_much_text() -> None:
    """Twilio takes 1,600 characters."""
    assert 11 * SEGMENT == quote(post(MESSAGES, ("To", US), ("Body", "a" * 1600))).micros
    assert Code.MALFORMED == refusal(post(MESSAGES, ("To", US), ("Body", "a" * 1601)))[0]


def test_a_content_template_is_billed_at_the_longest_text() -> None:
    """Its text is not seen."""
    request = post(MESSAGES, ("To", US), ("ContentSid", "HX1"), ("ContentVariables", '{"1":"x"}'))
    assert 25 * SEGMENT == quote(request).micros


def test_a_messaging_service_and_a_time_change_nothing() -> None:
    """A scheduled message is counted when it is made."""
    request = post(
        MESSAGES,
        ("To", US),
        ("MessagingServiceSid", "MG1"),
        ("Body", "hi"),
        ("ScheduleType", "fixed"),
        ("SendAt", "2026-12-01T00:00:00Z"),
        ("ApplicationSid", "AP1"),
        ("SmartEncoded", "true"),
    )
    assert SEGMENT == quote(request).micros


@pytest.mark.parametrize("sender", ["+14155550199", "12345", "Acme Inc", "A1"])
def test_senders_that_the_table_covers(sender: str) -> None:
    """Number, short code, alphanumeric: all at the dearest."""
    assert SEGMENT == quote(post(MESSAGES, ("To", US), ("From", sender), ("Body", "hi"))).micros


@pytest.mark.parametrize(
    ("pair", "named"),
    [
        (("From", "whatsapp:+14155550199"), "From"),
        (("From", "rcs:acme"), "From"),
        (("From", ""), "From"),
        (("FallbackFrom", "+14155550199"), "FallbackFrom"),
        (("PersistentAction", "geo:1,2"), "PersistentAction"),
        (("TrafficType", "free"), "TrafficType"),
        (("ShortenUrls", "true"), "ShortenUrls"),
        (("to", "+14155550199"), "to"),
        (("Surprise", "1"), "Surprise"),
    ],
)
def test_what_could_change_the_price_is_refused_by_name(pair: tuple[str, str], named: str) -> None:
    """Unknown parameters are not passed on unpriced."""
    code, message = refusal(post(MESSAGES, ("To", US), ("Body", "hi"), pair))
    assert Code.UNPRICED == code
    assert named in message


@pytest.mark.parametrize("to", ["whatsapp:+14155550100", "rcs:+14155550100", "messenger:1", "12345", "+14165551234"])
def test_destinations_without_a_price(to: str) -> None:
    """Channels, short codes and countries that are not in the table."""
    assert Code.UNPRICED == refusal(post(MESSAGES, ("To", to), ("Body", "hi")))[0]


@pytest.mark.parametrize(
    "body",
    [
        b"To=%2B14155550100&To=%2B14165551234&Body=hi",
        b"To=%2B14155550100&Body=hi&MediaUrl[]=https%3A%2F%2Fexample.com",
        b"To=%2B14155550100&Body=hi&MediaUrl[0]=https%3A%2F%2Fexample.com",
        b"To=%2B14155550100&Body=hi;MediaUrl=x",
        b"To=%2B14155550100&Body=%ZZ",
        b"To=%2B14155550100&Body=hi&SendAsMms=yes",
        b"To=%2B14155550100&Bo%00dy=hi",
        b"Body=hi",
        b"",
    ],
)
def test_ambiguous_bodies_are_malformed(body: bytes) -> None:
    """Whatever two parsers may read differently is refused."""
    assert Code.MALFORMED == refusal(post(MESSAGES, body=body))[0]


def test_an_update_may_cancel_or_blank() -> None:
    """Both are free."""
    assert FREE == quote(post(UPDATE, ("Status", "canceled")))
    assert FREE == quote(post(UPDATE, ("Body", "")))


@pytest.mark.parametrize("pairs", [[], [("Status", "sent")], [("Body", "new")], [("Status", "canceled"), ("To", US)]])
def test_no_other_update(pairs: list[tuple[str, str]]) -> None:
    """Nothing else can be done to a message."""
    assert Code.MALFORMED == refusal(post(UPDATE, *pairs))[0]


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300),
    st.lists(st.just("https://example.com/a?b=c&d=é"), max_size=10),
)
def test_what_is_forwarded_is_what_was_priced(body: str, media: list[str]) -> None:
    """Reading the forwarded bytes again gives the very model that was priced."""
    plan = twilio.plan(
        post(MESSAGES, ("To", US), ("From", "Acme"), ("Body", body), *[("MediaUrl", url) for url in media])
    )
    assert plan.detail == read_message(form.parse(plan.upstream.body, {"MediaUrl"}))
    assert (body, len(media)) == (plan.detail.body, plan.detail.media)


CHANNELS = Twilio(
    SID,
    lambda: replace(
        Prices.bundled(), channels={"whatsapp": {"US": 35_000}, "messenger": {"*": 5_000}, "rcs": {"US": 20_000}}
    ),
)
"""An operator has imported prices for these."""


@pytest.mark.parametrize("to", [f"whatsapp:{US}", "messenger:1234", f"rcs:{US}", f"viber:{US}"])
def test_a_channel_has_no_price_until_one_is_imported(to: str) -> None:
    """The message says how."""
    code, message = refusal(post(MESSAGES, ("To", to), ("Body", "hi")))
    assert (Code.UNPRICED, True) == (code, "runcap rates import twilio-channels" in message)


@pytest.mark.parametrize(
    ("to", "pairs", "micros"),
    [
        (f"whatsapp:{US}", (("Body", "a" * 1600),), 35_000),
        (f"whatsapp:{US}", (("ContentSid", "HX1"),), 35_000),
        (f"whatsapp:{US}", (("MediaUrl", "https://a/1"), ("MediaUrl", "https://a/2")), 2 * 35_000),
        ("messenger:1234", (("Body", "hi"),), 5_000),
        (f"rcs:{US}", (("Body", "a" * 161),), 2 * 20_000),
        (f"rcs:{US}", (("ContentSid", "HX1"),), 25 * 20_000),
    ],
)
def test_a_channels_message(to: str, pairs: tuple[tuple[str, str], ...], micros: int) -> None:
    """One for each medium; by the segment where the channel does not bill whole messages."""
    assert micros == quote(post(MESSAGES, ("To", to), *pairs), vendor=CHANNELS).micros


def test_a_channel_needs_a_sender_of_its_own() -> None:
    """And a number a number's."""
    whatsapp = (("To", f"whatsapp:{US}"), ("Body", "hi"))
    assert 35_000 == quote(post(MESSAGES, *whatsapp, ("From", "whatsapp:+14155552672")), vendor=CHANNELS).micros
    for sender in ("+14155552672", "messenger:1"):
        assert Code.UNPRICED == refusal(post(MESSAGES, *whatsapp, ("From", sender)), vendor=CHANNELS)[0]
    text = post(MESSAGES, ("To", US), ("Body", "hi"), ("From", "whatsapp:+14155552672"))
    assert Code.UNPRICED == refusal(text, vendor=CHANNELS)[0]


def test_a_messaging_service_may_choose_rcs() -> None:
    """The dearer of SMS and RCS counts once prices for RCS are there."""
    request = post(MESSAGES, ("To", US), ("MessagingServiceSid", "MG1"), ("Body", "hi"))
    assert (SEGMENT, 20_000) == (quote(request).micros, quote(request, vendor=CHANNELS).micros)
