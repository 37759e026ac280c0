"""``POST Calls.json``: an outbound call, priced by the minute up to its time limit.

The parameters are those of Twilio's OpenAPI document of 2026-04-14. A call costs minutes times the price of its
destination, so it needs a ``TimeLimit``: where the agent sets none, `DEFAULT_TIME_LIMIT_SECONDS` is put into what is
forwarded, since Twilio's own default of four hours would be held at its full price. What the call does is TwiML, and
TwiML can dial further legs, record, pay or send messages, each billed on its own. So only TwiML that is given inline
and that has none of those verbs is priced; a ``Url`` or an application answers when the call is up, with whatever it
likes, and is refused.
"""

import re
from dataclasses import dataclass
from typing import NoReturn
from xml.etree import ElementTree as ET

from runcap.decision import Code, refuse
from runcap.money import ceil_div
from runcap.vendors.base import Quote
from runcap.vendors.form import Form, from_pairs
from runcap.vendors.twilio.destinations import Destination, destination
from runcap.vendors.twilio.prices import Prices

DEFAULT_TIME_LIMIT_SECONDS = 600
MAX_TIME_LIMIT_SECONDS = 86_400
_MAX_TWIML_CHARS = 4000
"""Twilio's own limit."""

_PRICE_NEUTRAL = frozenset({
    "From", "CallerId", "Timeout", "SendDigits", "StatusCallback", "StatusCallbackEvent", "StatusCallbackMethod",
})  # fmt: skip
"""``From`` and ``CallerId`` can change the price of a minute; the table holds the dearest origin."""
_READ = frozenset({"To", "Twiml", "TimeLimit", "Record"})
_OPAQUE = ("Url", "FallbackUrl", "ApplicationSid")
REPEATABLE = frozenset({"StatusCallbackEvent"})

_SECONDS = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)

_VERBS: dict[str, frozenset[str]] = {
    "Say": frozenset({"voice", "language", "loop"}),
    "Play": frozenset({"loop", "digits"}),
    "Pause": frozenset({"length"}),
    "Hangup": frozenset(),
    "Reject": frozenset({"reason"}),
}
"""The verbs that cost nothing beyond the minute, and their attributes."""
_FREE_VOICES = frozenset({"man", "woman", "alice"})
"""The basic ones; Polly's, Google's and neural voices are billed by the character. An account whose console maps the
default voice to such a one pays for it beyond the quote."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a call costs by."""

    to: Destination
    time_limit_seconds: int


def read_call(form: Form) -> tuple[Call, Form]:
    """Read the parameters of a new call; also gives the form to forward, with a time limit and rebuilt TwiML.

    Raises:
        Refused: ``malformed`` or ``unpriced``, naming the parameter.
    """
    for name in _OPAQUE:
        if name in form.names:
            raise refuse(
                Code.UNPRICED,
                f"{name} cannot be priced: its TwiML may dial or record, and nobody knows it yet. Give the TwiML "
                f"itself, in the parameter Twiml, with {', '.join(_VERBS)} alone.",
            )
    unknown = form.names - _PRICE_NEUTRAL - _READ
    if unknown:
        raise refuse(Code.UNPRICED, f"runcap does not know what {min(unknown)} does to the price of a call.")
    if (form.get("Record") or "false").lower() != "false":
        raise refuse(Code.UNPRICED, "Record cannot be priced: recordings are billed by the minute, and stored.")
    twiml = form.get("Twiml")
    if twiml is None:
        raise refuse(Code.MALFORMED, "The parameter Twiml is missing.")
    call = Call(destination(form.get("To")), _time_limit(form.get("TimeLimit")))
    rebuilt = {"Twiml": canonical_twiml(twiml)}
    pairs = [(name, rebuilt.get(name, value)) for name, value in form.pairs if name != "TimeLimit"]
    pairs.append(("TimeLimit", str(call.time_limit_seconds)))
    return call, from_pairs(pairs, REPEATABLE)


def price_call(call: Call, prices: Prices) -> Quote:
    """The most that a call costs; `Quote.amount_minor` is the number of minutes.

    Raises:
        Refused: ``unpriced`` if the country has no price.
    """
    minutes = ceil_div(call.time_limit_seconds, 60)
    return Quote(prices.voice_minute(call.to) * minutes, amount_minor=minutes)


def canonical_twiml(text: str) -> str:
    """Read TwiML strictly and write it anew, so that Twilio gets what was read here.

    Raises:
        Refused: ``malformed`` if it is no plain XML; ``unpriced`` for a verb or an attribute that may be billed.
    """
    if len(text) > _MAX_TWIML_CHARS:
        raise refuse(Code.MALFORMED, f"Twiml is longer than {_MAX_TWIML_CHARS} characters.")
    text = re.sub(r"\A\s*<\?xml version=[\"']1\.0[\"']( encoding=[\"'][Uu][Tt][Ff]-8[\"'])?\s*\?>", "", text)
    if "<!" in text or "<?" in text:
        _bad_twiml("comments, CDATA, entities and processing instructions are not accepted")
    try:
        root = ET.fromstring(text)  # noqa: S314 (no DTD can be in it: "<!" is refused above)
    except ET.ParseError:
        _bad_twiml("it is no XML")
    if root.tag != "Response" or root.attrib:
        _bad_twiml("its root must be <Response>")
    if (root.text or "").strip():
        _bad_twiml("there is text outside of a verb")
    for verb in root:
        _check_verb(verb)
    return ET.tostring(root, encoding="unicode")


def _check_verb(verb: ET.Element) -> None:
    attributes = _VERBS.get(verb.tag)
    if attributes is None:
        raise refuse(
            Code.UNPRICED, f"The TwiML verb {verb.tag[:30]!r} cannot be priced: use {', '.join(_VERBS)} alone."
        )
    unknown = set(verb.attrib) - attributes
    if unknown:
        raise refuse(Code.UNPRICED, f"The TwiML attribute {min(unknown)[:30]!r} of {verb.tag} cannot be priced.")
    if verb.get("voice", "man") not in _FREE_VOICES:
        raise refuse(Code.UNPRICED, "The voice of Say cannot be priced: use man, woman or alice.")
    if len(verb):
        _bad_twiml(f"there is an element inside {verb.tag}")
    if (verb.tail or "").strip():
        _bad_twiml("there is text outside of a verb")


def _time_limit(value: str | None) -> int:
    if value is None:
        return DEFAULT_TIME_LIMIT_SECONDS
    if _SECONDS.fullmatch(value) is None or int(value) > MAX_TIME_LIMIT_SECONDS:
        raise refuse(Code.MALFORMED, f"TimeLimit must be from 1 to {MAX_TIME_LIMIT_SECONDS} seconds.")
    return int(value)


def _bad_twiml(why: str) -> NoReturn:
    raise refuse(Code.MALFORMED, f"Twiml is refused: {why}.")
