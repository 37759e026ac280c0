"""Which of Stripe's endpoints a call is for: the writes are data, the reads are free by their shape."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from runcap.decision import Code, refuse
from runcap.vendors.base import Kind, Operation, Request
from runcap.vendors.catalogue import data
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


@dataclass(frozen=True, slots=True)
class Facts:
    """What the data says of one write's price."""

    amounts: tuple[str, ...] = ()
    """The parameters that it is made of."""
    lookup: str = ""
    """The path, with braces, of what is read from Stripe for it."""
    total: str = "amount"
    """The field of the answer that is the most it can be."""
    less: str = ""
    """The field of what of that has moved already; empty if there is none."""
    creates: bool = False
    """The id in Stripe's answer names the object that it is counted for."""
    gives_back: str = ""
    """The path's parameter that names the object whose amount may come back."""


@cache
def catalogue() -> Catalogue:
    """All of Stripe's writes, from ``../data/stripe_catalogue.json``."""
    return Catalogue(
        Operation(
            row["method"],
            row["template"],
            Kind(row["kind"]),
            row.get("reason", ""),
            row.get("pricer", ""),
            row.get("direction", ""),
        )
        for row in _rows()
    )


@cache
def facts() -> dict[str, Facts]:
    """What is known of each write's price, by its name."""
    return {f"{row['method']} {row['template']}": _facts(row) for row in _rows()}


def _rows() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = data("stripe_catalogue.json")["operations"]
    return rows


def _facts(row: dict[str, Any]) -> Facts:
    lookup = row.get("lookup", {})
    return Facts(
        amounts=tuple(row.get("amounts", ())),
        lookup=lookup.get("path", ""),
        total=lookup.get("total", "amount"),
        less=lookup.get("less", ""),
        creates=row.get("creates", False),
        gives_back=row.get("object", ""),
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
