"""Broadcasts: one email to everybody in a segment, priced by how many they are.

The fields are those of Resend's OpenAPI document v1.5.0 (2026-08-21). The contacts of the segment are counted by
reading them, page by page, those who have unsubscribed too; a segment that is larger than `MAX_PAGES` full pages is
refused. Who joins between the count and the sending is not counted: with ``scheduled_at`` that may be days. Resend's
marketing plans bill stored contacts instead; here each recipient counts as an email beyond a plan's quota.
"""

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from runcap.decision import Code, refuse
from runcap.vendors.base import FREE, Lookup, Quote
from runcap.vendors.resend.emails import price_recipients

PAGE_SIZE = 100
"""Resend's largest (its `limit`)."""
MAX_PAGES = 50

_ID = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_FIELDS = frozenset({
    "name", "segment_id", "audience_id", "from", "subject", "reply_to", "preview_text", "html", "text", "react",
    "topic_id", "send", "scheduled_at",
})  # fmt: skip
_SENDABLE = frozenset({"draft"})


@dataclass(frozen=True, slots=True)
class Broadcast:
    """What a broadcast costs by."""

    segment: str | None
    """Whom it goes to; None: that is to be looked up."""
    path: str | None = None
    """Where the broadcast is read, if it exists already."""
    sends: bool = True


def read_new(decoded: Any) -> Broadcast:
    """Read a new broadcast: with ``send`` it goes out at once or when it is scheduled, else it is a draft.

    Raises:
        Refused: ``malformed`` or ``unpriced``, naming the field.
    """
    if not isinstance(decoded, dict):
        raise refuse(Code.MALFORMED, "A broadcast must be a JSON object.")
    unknown = set(decoded) - _FIELDS
    if unknown:
        raise refuse(Code.UNPRICED, f"runcap does not know what {min(unknown)[:60]!r} does to a broadcast.")
    sends = decoded.get("send", False)
    if type(sends) is not bool:
        raise refuse(Code.MALFORMED, "`send` must be true or false.")
    if not sends and decoded.get("scheduled_at") is not None:
        raise refuse(Code.MALFORMED, "`scheduled_at` needs `send` to be true.")
    return Broadcast(_segment(decoded), sends=sends)


def read_send(decoded: Any, path: str) -> Broadcast:
    """Read the order to send a broadcast that exists.

    Args:
        decoded: the body.
        path: of the broadcast itself.

    Raises:
        Refused: ``malformed``, naming the field.
    """
    # resend-python 2.52.0 repeats the path's id in the body.
    if not isinstance(decoded, dict) or not set(decoded) <= {"scheduled_at", "broadcast_id"}:
        raise refuse(Code.MALFORMED, "Sending a broadcast takes `scheduled_at` at the most.")
    if decoded.get("broadcast_id", path.rpartition("/")[2]) != path.rpartition("/")[2]:
        raise refuse(Code.MALFORMED, "`broadcast_id` is not the broadcast in the path.")
    return Broadcast(None, path)


def price_broadcast(broadcast: Broadcast) -> Generator[Lookup, dict[str, Any], Quote]:
    """What an email to everybody in the segment costs; `Quote.amount_minor` is how many they are.

    Raises:
        Refused: ``unpriced`` if that cannot be told.
    """
    if not broadcast.sends:
        return FREE
    segment = broadcast.segment
    if broadcast.path is not None:
        found = yield Lookup(broadcast.path)
        if found.get("status") not in _SENDABLE:
            raise refuse(Code.UNPRICED, "The broadcast is not a draft, so what sending it does is not known.")
        segment = _segment(found)
    assert segment is not None
    return price_recipients((yield from _count(segment)))


def _count(segment: str) -> Generator[Lookup, dict[str, Any], int]:
    """Count the contacts of a segment."""
    count = 0
    after: str | None = None
    for _ in range(MAX_PAGES):
        query = {"segment_id": segment, "limit": PAGE_SIZE, **({} if after is None else {"after": after})}
        page = yield Lookup("/contacts", urlencode(query))
        contacts = page.get("data")
        if not isinstance(contacts, list) or type(page.get("has_more")) is not bool:
            raise refuse(Code.UNPRICED, "Resend's list of the segment's contacts cannot be read.")
        count += len(contacts)
        if not page["has_more"]:
            return count
        last = contacts[-1].get("id") if contacts and isinstance(contacts[-1], dict) else None
        if not _is_id(last) or last == after:
            raise refuse(Code.UNPRICED, "Resend's list of the segment's contacts has no next page.")
        after = last
    raise refuse(
        Code.UNPRICED, f"The segment has more than {MAX_PAGES * PAGE_SIZE} contacts; runcap does not count further."
    )


def _segment(found: dict[str, Any]) -> str:
    """The one segment that a broadcast goes to, by its new name or its old one."""
    named = {found[name] for name in ("segment_id", "audience_id") if isinstance(found.get(name), str)}
    segment = named.pop() if len(named) == 1 else None
    if not _is_id(segment):
        raise refuse(Code.UNPRICED, "The broadcast does not say in just one way which segment it goes to.")
    assert isinstance(segment, str)
    return segment


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None
