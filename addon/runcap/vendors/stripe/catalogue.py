"""Which of Stripe's endpoints a call is for: the writes are data, the reads are free by their shape."""

import json
import re
from functools import cache
from importlib.resources import files

from runcap.decision import Code, refuse
from runcap.vendors.base import Kind, Operation, Request
from runcap.vendors.paths import Catalogue, is_segment

_WORD = re.compile(r"[a-z]+(?:_[a-z]+)*", re.ASCII)
_VERSIONS = frozenset({"v1", "v2"})


def find(request: Request) -> tuple[Operation, dict[str, str]]:
    """The operation, and what stands in its template's braces.

    Raises:
        Refused: ``operation_unknown`` for a write that the catalogue does not have, and for a path that is
            not plainly one of Stripe's.
    """
    if request.method == "GET":
        read = _read(request.path)
        if read is not None:
            return read, {}
    else:
        found = catalogue().find(request.method, request.path)
        if found is not None:
            return found
    raise refuse(
        Code.OPERATION_UNKNOWN,
        f"{request.method} {request.path[:200]} is no operation of Stripe's that runcap knows.",
        attempted=f"{request.method} {request.path[:200]}",
    )


@cache
def catalogue() -> Catalogue:
    """All of Stripe's writes, from ``../data/stripe_catalogue.json``."""
    decoded = json.loads((files("runcap.vendors") / "data" / "stripe_catalogue.json").read_bytes())
    return Catalogue(
        Operation(row["method"], row["template"], Kind(row["kind"]), row.get("reason", ""), row.get("pricer", ""))
        for row in decoded["operations"]
    )


def _read(path: str) -> Operation | None:
    """A GET by its shape: ``GET /v1/payment_intents/{id}``.

    A segment of lower-case words is taken to be the name of a resource, any other an id. An id that is a
    word (a coupon called ``summer``) stands in the name as it is; a run that is bound to ``GET
    /v1/coupons/{id}`` then may not read it, which errs on the right side.
    """
    if not path.startswith("/"):
        return None
    version, *segments = path[1:].split("/")
    if version not in _VERSIONS or not segments or not all(is_segment(segment) for segment in segments):
        return None
    names = (segment if _WORD.fullmatch(segment) is not None else "{id}" for segment in segments)
    return Operation("GET", "/".join(("", version, *names)), Kind.FREE)
