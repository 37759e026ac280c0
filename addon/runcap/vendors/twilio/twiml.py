"""TwiML that can be priced: given inline, with verbs that cost nothing beyond the call's own minutes.

TwiML can dial further legs, record, pay or send messages, each billed on its own. A ``Url`` or an application answers
when the call is up, with whatever it likes; so only TwiML that is in the request is read, and written anew.
"""

import re
from typing import NoReturn
from xml.etree import ElementTree as ET

from runcap.decision import Code, refuse
from runcap.vendors.form import Form

_MAX_CHARS = 4000
"""Twilio's own limit."""

_OPAQUE = ("Url", "FallbackUrl", "ApplicationSid")

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


def refuse_opaque(form: Form) -> None:
    """Refuse the parameters that name TwiML which is elsewhere.

    Raises:
        Refused: ``unpriced``, naming the way that works.
    """
    for name in _OPAQUE:
        if name in form.names:
            raise refuse(
                Code.UNPRICED,
                f"{name} cannot be priced: its TwiML may dial or record, and nobody knows it yet. Give the TwiML "
                f"itself, in the parameter Twiml, with {', '.join(_VERBS)} alone.",
            )


def canonical_twiml(text: str) -> str:
    """Read TwiML strictly and write it anew, so that Twilio gets what was read here.

    Raises:
        Refused: ``malformed`` if it is no plain XML; ``unpriced`` for a verb or an attribute that may be billed.
    """
    if len(text) > _MAX_CHARS:
        raise refuse(Code.MALFORMED, f"Twiml is longer than {_MAX_CHARS} characters.")
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


def _bad_twiml(why: str) -> NoReturn:
    raise refuse(Code.MALFORMED, f"Twiml is refused: {why}.")
