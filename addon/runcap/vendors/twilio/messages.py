"""``POST Messages.json``: an SMS, an MMS or a channel's message, read strictly and priced at the most it can cost.

The parameters are those of Twilio's OpenAPI document of 2026-04-14. Each that could change the price is read;
those that cannot are named here and passed on; any other is refused by name. Worst cases are assumed:

- The text of a content template (``ContentSid``) is not seen: it is billed as the longest text that Twilio sends.
- A message with media is sent as an SMS with links where the recipient cannot get MMS: it is billed as the dearer
  of the two, with room for a link for each medium.
- A messaging service chooses the sender: the price table has the dearest. If an operator has imported prices for
  RCS, the service may have such a sender, so the dearer of the two counts.
- A channel's message (``whatsapp:``) is one for each medium; channels that have not said so bill by the segment.

A scheduled message (``SendAt``) is counted when it is made; cancelling it gives nothing back.
"""

import re
from dataclasses import dataclass

from runcap.decision import Code, refuse
from runcap.vendors.base import Quote
from runcap.vendors.form import Form
from runcap.vendors.twilio.destinations import ChannelAddress, Destination, message_destination
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
_CHANNEL_SENDER = re.compile(r"([a-z][a-z0-9]{1,30}):[!-~]{1,255}", re.ASCII)
_WHOLE_MESSAGES = frozenset({"whatsapp", "messenger"})
"""Channels that bill a message whatever its length: Twilio's WhatsApp price is 0.005 a message plus Meta's template
fee (twilio.com/en-us/whatsapp/pricing, noted 2026-08). RCS is billed by the segment for plain text."""


@dataclass(frozen=True, slots=True)
class Message:
    """What a message costs by."""

    to: Destination | ChannelAddress
    body: str
    media: int
    """How many media URLs."""
    as_mms: bool
    unseen_text: bool
    """The text comes from a content template."""
    by_service: bool = False
    """A messaging service chooses the sender."""


def read_message(form: Form) -> Message:
    """Read the parameters of a new message.

    Raises:
        Refused: ``malformed`` or ``unpriced``, naming the parameter.
    """
    unknown = form.names - _PRICE_NEUTRAL - _READ
    if unknown:
        raise refuse(Code.UNPRICED, f"runcap does not know what {min(unknown)} does to the price of a message.")
    to = message_destination(form.get("To"))
    _check_sender(form.get("From"), to)
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
        by_service=form.get("MessagingServiceSid") is not None,
    )


def price_message(message: Message, prices: Prices) -> Quote:
    """The most that a message costs; `Quote.amount_minor` is the number of segments.

    Raises:
        Refused: ``unpriced`` if the country, or the channel, has no price.
    """
    to = message.to
    if isinstance(to, ChannelAddress):
        count = max(1, message.media)
        if to.channel not in _WHOLE_MESSAGES:
            count = max(count, _segments(message))
        return Quote(prices.channel_message(to) * count, amount_minor=count, country=to.region)
    count = _segments(message)
    micros = prices.sms_segment(to) * count
    if message.media or message.as_mms or message.unseen_text:
        micros = max(micros, prices.mms_message(to) or 0)
    if message.by_service:
        micros = max(micros, (prices.channel_message_or_none("rcs", to.region) or 0) * max(count, message.media))
    return Quote(micros, amount_minor=count, country=to.region)


def check_update(form: Form) -> None:
    """Allow the two things that can be done to a message for nothing: cancel it, and blank its text.

    Raises:
        Refused: ``malformed`` for anything else.
    """
    allowed = {("Status", "canceled"), ("Body", "")}
    if not form.pairs or not set(form.pairs) <= allowed:
        raise refuse(Code.MALFORMED, "A message can only be cancelled (Status=canceled) or blanked (an empty Body).")


def _segments(message: Message) -> int:
    return MAX_BODY_SEGMENTS if message.unseen_text else segments(message.body + _LINK * message.media)


def _check_sender(sender: str | None, to: Destination | ChannelAddress) -> None:
    if sender is None or (isinstance(to, Destination) and _SENDER.fullmatch(sender) is not None):
        return
    channel = _CHANNEL_SENDER.fullmatch(sender)
    if isinstance(to, ChannelAddress) and channel is not None and channel.group(1) == to.channel:
        return
    raise refuse(
        Code.UNPRICED,
        "From cannot be priced: give a number, a short code or an alphanumeric sender; in a channel a sender of "
        "that channel.",
    )


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
