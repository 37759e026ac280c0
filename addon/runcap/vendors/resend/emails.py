"""``POST /emails`` and ``/emails/batch``: read strictly, priced by every To, Cc and Bcc recipient.

The fields are those of Resend's OpenAPI document v1.5.0 (2026-08-21). Resend bills each recipient as one email, and
$0.90 for a thousand beyond a plan's quota (its list price as known in 2026-11; a plan may have another). Whether the
quota still has some left is not known here, so that price counts from the first.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runcap.decision import Code, refuse
from runcap.vendors.base import Quote

RECIPIENT_MICROS = 900
"""$0.90 for a thousand recipients."""

MAX_TO = 50
MAX_BATCH = 100

_RECIPIENTS = ("to", "cc", "bcc")
_PRICE_NEUTRAL = frozenset({
    "from", "subject", "html", "text", "react", "headers", "attachments", "tags", "reply_to", "scheduled_at",
    "template", "topic_id",
})  # fmt: skip

_ATOM = r"[^\s<>\"(),;:@\[\]\\\x00-\x1f\x7f]{1,255}"
_QUOTED = r"\"(?:[^\"\\\x00-\x1f\x7f]|\\[\"\\]){0,255}\""
_PLAIN_NAME = r"[^<>\",;:@\[\]\\\x00-\x1f\x7f]{0,255}"
_ADDRESS = re.compile(rf" ?(?:{_ATOM}@{_ATOM}|(?:{_QUOTED}|{_PLAIN_NAME}) ?<{_ATOM}@{_ATOM}>) ?")
"""One address, alone or behind a display name; a comma, which would make it two, only inside a quoted name."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", re.ASCII)
_ADDRESSING = frozenset({"to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc"})


@dataclass(frozen=True, slots=True)
class Emails:
    """What a call costs by."""

    each: tuple[int, ...]
    """The recipients of each email, in the batch's order."""

    @property
    def recipients(self) -> int:
        """All of them."""
        return sum(self.each)


def read_email(decoded: Any) -> Emails:
    """Read one email.

    Raises:
        Refused: ``malformed`` or ``unpriced``, naming the field.
    """
    if not isinstance(decoded, dict):
        raise refuse(Code.MALFORMED, "An email must be a JSON object.")
    unknown = set(decoded) - _PRICE_NEUTRAL - set(_RECIPIENTS)
    if unknown:
        raise refuse(Code.UNPRICED, f"runcap does not know what {min(unknown)[:60]!r} does to the price of an email.")
    _check_headers(decoded.get("headers"))
    counts = {name: _count(name, decoded.get(name)) for name in _RECIPIENTS}
    if not 1 <= counts["to"] <= MAX_TO:
        raise refuse(Code.MALFORMED, f"An email must have from 1 to {MAX_TO} addresses in `to`, not {counts['to']}.")
    return Emails((sum(counts.values()),))


def read_batch(decoded: Any) -> Emails:
    """Read a batch of emails.

    Raises:
        Refused: ``malformed`` or ``unpriced``, naming the field.
    """
    if not isinstance(decoded, list) or not 1 <= len(decoded) <= MAX_BATCH:
        raise refuse(Code.MALFORMED, f"A batch must be a JSON array of 1 to {MAX_BATCH} emails.")
    return Emails(tuple(read_email(email).recipients for email in decoded))


def price_emails(emails: Emails) -> Quote:
    """The most that a call costs; `Quote.amount_minor` is the number of recipients."""
    return price_recipients(emails.recipients)


def price_recipients(recipients: int) -> Quote:
    """What that many recipients cost."""
    return Quote(recipients * RECIPIENT_MICROS, amount_minor=recipients)


def accepted_micros(emails: Emails, answer: Mapping[str, Any]) -> int | None:
    """What the emails that Resend has taken cost, where its answer tells; None: all that were sent.

    In permissive mode a batch's answer has the ids of those that were taken in ``data``, and ``errors`` with the
    ``index`` of each other one (resend.com/changelog/batch-validation-modes, 2025-09-19).
    """
    errors, taken = answer.get("errors"), answer.get("data")
    if not isinstance(errors, list) or not isinstance(taken, list) or not errors:
        return None
    indices = {error.get("index") for error in errors if isinstance(error, dict)}
    known = all(type(index) is int and 0 <= index < len(emails.each) for index in indices)
    if not known or len(indices) != len(errors) or len(taken) + len(errors) != len(emails.each):
        return None
    return sum(count for index, count in enumerate(emails.each) if index not in indices) * RECIPIENT_MICROS


def _count(name: str, value: Any) -> int:
    """How many addresses a field holds; a string is one."""
    if value is None:
        return 0
    addresses = value if isinstance(value, list) else [value]
    for address in addresses:
        if not isinstance(address, str) or _ADDRESS.fullmatch(address) is None:
            raise refuse(
                Code.MALFORMED,
                f"`{name}` must be one plain address, or an array of them: no lists inside a string.",
            )
    return len(addresses)


def _check_headers(headers: Any) -> None:
    """Refuse headers of the email that could add a recipient."""
    if headers is None:
        return
    if not isinstance(headers, dict):
        raise refuse(Code.MALFORMED, "`headers` must be an object.")
    for name, value in headers.items():
        if _HEADER_NAME.fullmatch(name) is None or not isinstance(value, str) or _has_break(value):
            raise refuse(Code.MALFORMED, "`headers` must be plain names, each with one line of text.")
        if name.lower() in _ADDRESSING:
            raise refuse(Code.MALFORMED, f"The email header {name} would add recipients: use to, cc and bcc.")


def _has_break(value: str) -> bool:
    return any(char in value for char in "\r\n\0")
