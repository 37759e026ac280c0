"""``POST Messages.json``: an SMS or MMS, read strictly and priced at the most it can cost.

The parameters are those of Twilio's OpenAPI document of 2026-04-14. Each that could change the price is read;
those that cannot are named here and passed on; any other is refused by name. Two worst cases are assumed:

- The text of a content template (``ContentSid``) is not seen: it is billed as the longest text that Twilio sends.
- A message with media is sent as an SMS with links where the recipient cannot get MMS: it is billed as the dearer
  of the two, with room for a link for each medium.

A scheduled message (``SendAt``) is counted when it is made; cancelling it gives nothing back.
"""

import re
from dataclasses import dataclass

from runcap.decision import Code, refuse
from runcap.vendors.base import Quote
from runcap.vendors.form import Form
from runcap.vendors.twilio.destinations import Destination, destination
from runcap.vendors.twilio.prices import Prices
from runcap.vendors.twilio.segments import MAX_BODY_SEGMENTS, segments

MAX_MEDIA = 10
MAX_BODY_CHARS = 1600
"""Twilio's limit (its error 21617); however it counts a character, a text of more code points is above it."""
_LINK = " " + "x" * 99
"""Room for what Twilio puts into the text in place of a medium; its links are far shorter."""

_PRICE_NEUTRAL = frozenset({
    "StatusCallback", "ApplicationSid", "MaxPrice", "ProvideFeedback", "Attempt", "ValidityPeriod", "ForceDelivery",
    "ContentRetention", "AddressRetention", "SmartEncoded", "ScheduleType", "SendAt", "RiskCheck",
    "MessagingServiceSid", "ContentVariables",
})  # fmt: skip
"""``ApplicationSid`` only names who is told of the status; ``MaxPrice`` has had no effect since 2024-06-03."""
_READ = frozenset({"To", "From", "Body", "MediaUrl", "SendAsMms", "ContentSid", "ShortenUrls"})

_SENDER = re.compile(r"\+[1-9][0-9]{6,14}|[0-9]{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 &+_-]{1,11}", re.ASCII)
"""A number, a short code, or an alphanumeric sender: the price table has the dearest of them."""


@dataclass(frozen=True, slots=True)
class Message:
    """What a message costs by."""

    to: Destination
    body: str
    media: int
    """How many media URLs."""
    as_mms: bool
    unseen_text: bool
    """The text comes from a content template."""


def read_message(form: Form) -> Message:
    """Read the parameters of a new message.

    Raises:
        Refused: ``malformed`` or ``unpriced``, naming the parameter.
    """
    unknown = form.names - _PRICE_NEUTRAL - _READ
    if unknown:
        raise refuse(Code.UNPRICED, f"runcap does not know what {min(unknown)} does to the price of a message.")
    to = destination(form.get("To"))
    sender = form.get("From")
    if sender is not None and _SENDER.fullmatch(sender) is None:
        raise refuse(Code.UNPRICED, "From cannot be priced: give a number, a short code or an alphanumeric sender.")
    body = form.get("Body") or ""
    if len(body) > MAX_BODY_CHARS:
        raise refuse(Code.MALFORMED, f"Body can have {MAX_BODY_CHARS} characters at the most, not {len(body)}.")
    media = len(form.all("MediaUrl"))
    if media > MAX_MEDIA:
        raise refuse(Code.MALFORMED, f"A message can have {MAX_MEDIA} MediaUrl at the most, not {media}.")
    if _flag(form, "ShortenUrls"):
        raise refuse(Code.UNPRICED, "ShortenUrls=true cannot be priced: shortened links are billed on their own.")
    return Message(
        to=to,
        body=body,
        media=media,
        as_mms=_flag(form, "SendAsMms"),
        unseen_text=form.get("ContentSid") is not None,
    )


def price_message(message: Message, prices: Prices) -> Quote:
    """The most that a message costs; `Quote.amount_minor` is the number of segments.

    Raises:
        Refused: ``unpriced`` if the country has no price.
    """
    count = MAX_BODY_SEGMENTS if message.unseen_text else segments(message.body + _LINK * message.media)
    micros = prices.sms_segment(message.to) * count
    if message.media or message.as_mms or message.unseen_text:
        micros = max(micros, prices.mms_message(message.to) or 0)
    return Quote(micros, amount_minor=count)


def check_update(form: Form) -> None:
    """Allow the two things that can be done to a message for nothing: cancel it, and blank its text.

    Raises:
        Refused: ``malformed`` for anything else.
    """
    allowed = {("Status", "canceled"), ("Body", "")}
    if not form.pairs or not set(form.pairs) <= allowed:
        raise refuse(Code.MALFORMED, "A message can only be cancelled (Status=canceled) or blanked (an empty Body).")


def _flag(form: Form, name: str) -> bool:
    """A boolean as Twilio's SDKs write it.

    Raises:
        Refused: ``malformed`` for anything but true and false.
    """
    value = form.get(name)
    if value is None:
        return False
    if value.lower() not in {"true", "false"}:
        raise refuse(Code.MALFORMED, f"{name} must be true or false.")
    return value.lower() == "true"
