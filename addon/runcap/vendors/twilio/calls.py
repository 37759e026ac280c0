"""``POST Calls.json``: an outbound call, priced by the minute up to its time limit.

The parameters are those of Twilio's OpenAPI document of 2026-04-14. A call costs minutes times the price of its
destination, so it needs a ``TimeLimit``: where the agent sets none, `DEFAULT_TIME_LIMIT_SECONDS` is put into what is
forwarded, since Twilio's own default of four hours would be held at its full price. What the call does is TwiML:
`runcap.vendors.twilio.twiml` says which.
"""

import re
from dataclasses import dataclass

from runcap.decision import Code, refuse
from runcap.money import ceil_div
from runcap.vendors.base import Quote
from runcap.vendors.form import Form, from_pairs
from runcap.vendors.twilio.destinations import Destination, destination
from runcap.vendors.twilio.prices import Fee, Prices
from runcap.vendors.twilio.twiml import canonical_twiml, refuse_opaque

DEFAULT_TIME_LIMIT_SECONDS = 600
MAX_TIME_LIMIT_SECONDS = 86_400

_PRICE_NEUTRAL = frozenset({
    "From", "CallerId", "Timeout", "SendDigits", "StatusCallback", "StatusCallbackEvent", "StatusCallbackMethod",
})  # fmt: skip
"""``From`` and ``CallerId`` can change the price of a minute; the table holds the dearest origin."""
MACHINE_DETECTION = frozenset({
    "MachineDetection", "MachineDetectionTimeout", "MachineDetectionSpeechThreshold",
    "MachineDetectionSpeechEndThreshold", "MachineDetectionSilenceTimeout", "AsyncAmd", "AsyncAmdStatusCallback",
    "AsyncAmdStatusCallbackMethod",
})  # fmt: skip
"""Any of these may turn answering machine detection on, which is billed once a call."""
_READ = frozenset({"To", "Twiml", "TimeLimit", "Record"})
_REPEATABLE = frozenset({"StatusCallbackEvent"})

_SECONDS = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Call:
    """What a call, or a leg into a conference, costs by."""

    to: Destination
    time_limit_seconds: int
    machine_detection: bool = False
    conference: bool = False


def read_call(form: Form) -> tuple[Form, Call]:
    """Read the parameters of a new call; also gives the form to forward, with a time limit and rebuilt TwiML.

    Raises:
        Refused: ``malformed`` or ``unpriced``, naming the parameter.
    """
    refuse_opaque(form)
    unknown = form.names - _PRICE_NEUTRAL - MACHINE_DETECTION - _READ
    if unknown:
        raise refuse(Code.UNPRICED, f"runcap does not know what {min(unknown)} does to the price of a call.")
    refuse_recording(form, "Record")
    twiml = form.get("Twiml")
    if twiml is None:
        raise refuse(Code.MALFORMED, "The parameter Twiml is missing.")
    call = Call(
        destination(form.get("To")),
        time_limit_seconds(form),
        machine_detection=not MACHINE_DETECTION.isdisjoint(form.names),
    )
    return limited(form, call.time_limit_seconds, _REPEATABLE, Twiml=canonical_twiml(twiml)), call


def price_call(call: Call, prices: Prices) -> Quote:
    """The most that a call costs; `Quote.amount_minor` is the number of minutes.

    Raises:
        Refused: ``unpriced`` if the country has no price.
    """
    minutes = ceil_div(call.time_limit_seconds, 60)
    minute = prices.voice_minute(call.to)
    if call.conference:
        minute += prices.fee(Fee.CONFERENCE_MINUTE)
    once = prices.fee(Fee.MACHINE_DETECTION) if call.machine_detection else 0
    return Quote(minute * minutes + once, amount_minor=minutes, country=call.to.region)


def refuse_recording(form: Form, name: str) -> None:
    """Refuse a parameter that turns recording on.

    Raises:
        Refused: ``unpriced`` unless it is absent or false.
    """
    if (form.get(name) or "false").lower() not in {"false", "do-not-record"}:
        raise refuse(Code.UNPRICED, f"{name} cannot be priced: recordings are billed by the minute, and stored.")


def limited(form: Form, seconds: int, repeatable: frozenset[str], **rebuilt: str) -> Form:
    """The form with these parameters rebuilt, and with the time limit that was priced, at its end."""
    pairs = [(name, rebuilt.get(name, value)) for name, value in form.pairs if name != "TimeLimit"]
    return from_pairs([*pairs, ("TimeLimit", str(seconds))], repeatable)


def time_limit_seconds(form: Form) -> int:
    """The time limit that a call has, or gets.

    Raises:
        Refused: ``malformed`` unless it is a plain number of seconds up to a day.
    """
    value = form.get("TimeLimit")
    if value is None:
        return DEFAULT_TIME_LIMIT_SECONDS
    if _SECONDS.fullmatch(value) is None or int(value) > MAX_TIME_LIMIT_SECONDS:
        raise refuse(Code.MALFORMED, f"TimeLimit must be from 1 to {MAX_TIME_LIMIT_SECONDS} seconds.")
    return int(value)
