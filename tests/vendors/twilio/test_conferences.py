import pytest

from runcap.decision import Code
from runcap.vendors import form
from runcap.vendors.base import FREE
from tests.vendors.twilio.helpers import SID, US, post, quote, refusal, twilio

CONFERENCE = f"/2010-04-01/Accounts/{SID}/Conferences/CF1"
PARTICIPANTS = f"{CONFERENCE}/Participants.json"
MINUTE = 14_000 + 4_000
"""A US minute, and a participant's minute in a conference."""


def test_a_participant_is_a_leg_and_a_seat() -> None:
    """Begun minutes at the number's price, and the conference's on top."""
    priced = quote(post(PARTICIPANTS, ("To", US), ("From", US), ("TimeLimit", "61")))
    assert (2 * MINUTE, 2) == (priced.micros, priced.amount_minor)


def test_a_missing_time_limit_is_put_in() -> None:
    """Ten minutes, in what is forwarded and in the price."""
    request = post(PARTICIPANTS, ("To", US), ("From", US), ("ConferenceStatusCallbackEvent", "start"),
                   ("ConferenceStatusCallbackEvent", "end"))  # fmt: skip
    forwarded = form.parse(twilio.plan(request).upstream.body, {"ConferenceStatusCallbackEvent"})
    assert ("600", ("start", "end")) == (forwarded.get("TimeLimit"), forwarded.all("ConferenceStatusCallbackEvent"))
    assert 10 * MINUTE == quote(request).micros


def test_machine_detection_counts() -> None:
    """Once for the leg."""
    pairs = (("To", US), ("From", US), ("TimeLimit", "60"), ("MachineDetection", "Enable"))
    assert MINUTE + 7_500 == quote(post(PARTICIPANTS, *pairs)).micros


@pytest.mark.parametrize(
    "pair",
    [
        ("Record", "true"),
        ("ConferenceRecord", "record-from-start"),
        ("ConferenceRecord", "true"),
        ("WaitUrl", "https://example.com"),
        ("Byoc", "BY1"),
        ("CallToken", "x"),
        ("RecordingTrack", "both"),
        ("ClientNotificationUrl", "https://example.com"),
    ],
)
def test_what_could_cost_more_is_refused_by_name(pair: tuple[str, str]) -> None:
    """Recordings and unseen TwiML are billed on their own."""
    code, message = refusal(post(PARTICIPANTS, ("To", US), ("From", US), pair))
    assert Code.UNPRICED == code
    assert pair[0] in message


@pytest.mark.parametrize(
    "pair", [("WaitUrl", ""), ("Record", "false"), ("ConferenceRecord", "do-not-record"), ("Muted", "true")]
)
def test_what_costs_nothing_passes(pair: tuple[str, str]) -> None:
    """Silence while waiting, no recording."""
    assert 10 * MINUTE == quote(post(PARTICIPANTS, ("To", US), ("From", US), pair)).micros


@pytest.mark.parametrize("to", ["client:alice", "sip:a@example.com", "app:AP1", "911", ""])
def test_only_ordinary_numbers_have_a_price(to: str) -> None:
    """A client or an application may lead anywhere."""
    assert refusal(post(PARTICIPANTS, ("To", to), ("From", US)))[0] in {Code.UNPRICED, Code.MALFORMED}


def test_muting_is_free() -> None:
    """So is holding; an announcement is not priced."""
    path = f"{CONFERENCE}/Participants/CA1.json"
    assert FREE == quote(post(path, ("Muted", "true"), ("Hold", "false")))
    for name in ("AnnounceUrl", "HoldUrl", "WaitUrl"):
        code, message = refusal(post(path, (name, "https://example.com")))
        assert (Code.UNPRICED, True) == (code, name in message)


def test_ending_a_conference_is_free() -> None:
    """And the only thing that can be done to one."""
    path = f"{CONFERENCE}.json"
    assert FREE == quote(post(path, ("Status", "completed")))
    for pairs in ((("AnnounceUrl", "https://example.com"),), (("Status", "init"),), ()):
        assert Code.UNPRICED == refusal(post(path, *pairs))[0]
