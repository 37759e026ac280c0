"""Conferences: a participant who is called is an outbound leg; muting, holding and ending cost nothing.

The parameters are those of Twilio's OpenAPI document of 2026-04-14. A leg has the price of a call to the same number,
and each participant's minute in a conference is billed on top (twilio.com/docs/voice/twiml/conference, "a
per-participant-per-minute price in addition to standard voice minute pricing"). What a ``WaitUrl``, a ``HoldUrl`` or an
``AnnounceUrl`` plays is nobody's to know, and a recording is billed on its own: refused.
"""

from runcap.decision import Code, refuse
from runcap.vendors.form import Form
from runcap.vendors.twilio.calls import MACHINE_DETECTION, Call, limited, refuse_recording, time_limit_seconds
from runcap.vendors.twilio.destinations import destination

_PRICE_NEUTRAL = frozenset({
    "From", "CallerId", "Label", "Timeout", "StatusCallback", "StatusCallbackMethod", "StatusCallbackEvent",
    "Muted", "Beep", "StartConferenceOnEnter", "EndConferenceOnExit", "EarlyMedia", "MaxParticipants", "WaitMethod",
    "ConferenceStatusCallback", "ConferenceStatusCallbackMethod", "ConferenceStatusCallbackEvent", "Coaching",
    "CallSidToCoach", "JitterBufferSize", "Region", "AmdStatusCallback", "AmdStatusCallbackMethod",
})  # fmt: skip
_READ = frozenset({"To", "TimeLimit", "Record", "ConferenceRecord", "WaitUrl"})
_REPEATABLE = frozenset({"StatusCallbackEvent", "ConferenceStatusCallbackEvent"})

_FREE_PARTICIPANT = frozenset({"Muted", "Hold", "BeepOnExit", "EndConferenceOnExit", "Coaching", "CallSidToCoach"})


def read_participant(form: Form) -> tuple[Form, Call]:
    """Read the parameters of a new participant; also gives the form to forward, with a time limit.

    Raises:
        Refused: ``malformed`` or ``unpriced``, naming the parameter.
    """
    unknown = form.names - _PRICE_NEUTRAL - MACHINE_DETECTION - _READ
    if unknown:
        raise refuse(Code.UNPRICED, f"runcap does not know what {min(unknown)} does to the price of a participant.")
    refuse_recording(form, "Record")
    refuse_recording(form, "ConferenceRecord")
    if form.get("WaitUrl"):
        raise refuse(Code.UNPRICED, "WaitUrl cannot be priced: leave it out, or empty for silence.")
    leg = Call(
        destination(form.get("To")),
        time_limit_seconds(form),
        machine_detection=not MACHINE_DETECTION.isdisjoint(form.names),
        conference=True,
    )
    return limited(form, leg.time_limit_seconds, _REPEATABLE), leg


def check_participant_update(form: Form) -> None:
    """Allow what can be done to a participant for nothing: mute, hold, coach.

    Raises:
        Refused: ``unpriced``, naming the parameter.
    """
    unknown = form.names - _FREE_PARTICIPANT
    if unknown:
        raise refuse(
            Code.UNPRICED, f"{min(unknown)} cannot be priced: use {', '.join(sorted(_FREE_PARTICIPANT))} alone."
        )


def check_conference_update(form: Form) -> None:
    """Allow the one thing that can be done to a conference for nothing: to end it.

    Raises:
        Refused: ``unpriced`` for anything else.
    """
    if form.pairs != (("Status", "completed"),):
        raise refuse(Code.UNPRICED, "A conference can only be ended (Status=completed): announcements are not priced.")
