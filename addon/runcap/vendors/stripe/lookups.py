"""What a price has to know of Stripe first: reads with the real secret, each a step of a generator.

An answer that is not plainly about what was asked for refuses the call: a price is never made of a guess.
"""

import re
from collections.abc import Generator, Iterable
from typing import Any, TypeGuard

from runcap.decision import Code, Refused, refuse
from runcap.vendors import form
from runcap.vendors.base import Lookup, Quote
from runcap.vendors.form import Form, Pair
from runcap.vendors.paths import is_segment

type Found = dict[str, Any]
type Looking[T] = Generator[Lookup, Found, T]
type Steps = Looking[Quote]

PREVIEW = "/v1/invoices/create_preview"

_ID = re.compile(r"[A-Za-z0-9_]{1,255}", re.ASCII)


def by_id(path: str, object_id: str, query: str = "", *, immutable: bool = False) -> Looking[Found]:
    """Read one object.

    Args:
        path: of its kind.
        object_id: which one.
        query: encoded.
        immutable: see `runcap.vendors.base.Lookup.immutable`. A price is not: its ``currency_options``, which are read
            with it, can be updated (stripe-python 16.1.0, ``PriceModifyParams``).

    Raises:
        Refused: ``unpriced`` if Stripe answers with another.
    """
    found = yield Lookup(f"{path}/{object_id}", query, immutable=immutable)
    if found.get("id") != object_id:
        raise unpriced(f"The price depends on {path}/{object_id}, and Stripe answered with something else.")
    return found


def page(path: str, query: str) -> Looking[list[Found]]:
    """Read a list that has to fit on one page.

    Raises:
        Refused: ``unpriced`` if it is longer, or no list.
    """
    found = yield Lookup(path, f"{query}&limit=100")
    data = found.get("data")
    if not isinstance(data, list) or found.get("has_more") is not False:
        raise unpriced(f"The price depends on all of {path}, and Stripe did not answer with all of it.")
    return [entry for entry in data if isinstance(entry, dict)]


def preview(pairs: Iterable[Pair]) -> Looking[Found]:
    """Let Stripe work out an invoice without making it (docs.stripe.com/api/invoices/create_preview, 2026-10-28).

    Raises:
        Refused: ``unpriced`` if the answer is no invoice.
    """
    found = yield Lookup(PREVIEW, body=form.encode(pairs))
    if found.get("object") != "invoice":
        raise unpriced("The price depends on Stripe's preview of the invoice, and Stripe did not give one.")
    return found


def is_id(value: object) -> TypeGuard[str]:
    """Whether something is an id as Stripe makes them."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def named(read: Form, name: str) -> str:
    """The id that a parameter names; it will be put into a lookup's path.

    Raises:
        Refused: ``unpriced`` if there is none, or what stands there is none.
    """
    value = read.get(name)
    if value is None or not is_segment(value):
        raise unpriced(f"Without {name} the call has no price: give the id of an object of Stripe's.")
    return value


def linked(found: Found, name: str) -> str | None:
    """The id of an object that an answer links to, expanded or not; None if it links to none."""
    value = found.get(name)
    if isinstance(value, dict):
        value = value.get("id")
    return value if is_id(value) else None


def required[T](value: T | None, name: str) -> T:
    """A value that a price cannot do without.

    Raises:
        Refused: ``unpriced`` if it is not there.
    """
    if value is None:
        raise unpriced(f"Without {name} the call has no price: give it in the body.")
    return value


def unpriced(message: str) -> Refused:
    """The refusal of a call whose cost is not certain."""
    return refuse(Code.UNPRICED, message)
