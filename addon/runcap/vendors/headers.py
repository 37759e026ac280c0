"""Which of the agent's headers reach a vendor: a short allow-list, everything else is left out."""

import re

from runcap.decision import Code, refuse
from runcap.vendors.base import Request

_VALUE = re.compile(r"[\x20-\x7e]{1,500}", re.ASCII)
_MEDIA_TYPE = re.compile(r"([a-z0-9.+-]+/[a-z0-9.+-]+)(?:\s*;\s*charset=\"?utf-8\"?)?", re.ASCII | re.IGNORECASE)

ALWAYS_PASSED = ("accept", "user-agent")


def passed(request: Request, *also: str) -> tuple[tuple[str, str], ...]:
    """The headers that are forwarded as the agent sent them: ``accept``, ``user-agent``, and `also`.

    One whose value is not plain printable ASCII is left out.
    """
    kept = []
    for name in (*ALWAYS_PASSED, *also):
        value = request.header(name)
        if value is not None and _VALUE.fullmatch(value) is not None:
            kept.append((name, value))
    return tuple(kept)


def require_media_type(request: Request, media_type: str) -> None:
    """Check that a body says it is what it will be read as.

    Raises:
        Refused: ``malformed`` for another media type, a charset but UTF-8, or none at all.
    """
    match = _MEDIA_TYPE.fullmatch(request.header("content-type") or "")
    if match is None or match.group(1).lower() != media_type:
        raise refuse(Code.MALFORMED, f"The body must be {media_type} in UTF-8, and its Content-Type must say so.")
