"""Lists and objects in Stripe's forms: ``line_items[0][price_data][unit_amount]``."""

from collections.abc import Collection

from runcap.decision import Code, refuse
from runcap.vendors.form import Form, Pair
from runcap.vendors.stripe.lookups import unpriced


def entries(read: Form, name: str) -> list[tuple[str, Form]]:
    """The members of a list of objects by their index, each as a form of its own.

    ``line_items[0][price_data][currency]`` becomes ``price_data[currency]`` of entry ``0``.

    Raises:
        Refused: ``malformed`` if it is a plain value, or a member is.
    """
    found: dict[str, list[Pair]] = {}
    for key, value in read.below(name):
        index, bracket, rest = key[len(name) + 1 :].partition("]")
        if not index.isdigit() or not bracket or not rest.startswith("["):
            raise refuse(Code.MALFORMED, f"{name} must be a list of objects, such as {name}[0][price].")
        head, _, tail = rest[1:].partition("]")
        found.setdefault(index, []).append((head + tail, value))
    return [(index, Form(tuple(pairs))) for index, pairs in found.items()]


def values(read: Form, name: str) -> list[str]:
    """The plain values of a list, written as ``name[]`` or ``name[0]``, or the one value; empty ones left out."""
    return [value for _, value in read.below(name) if value]


def moved(read: Form, name: str, to: str) -> list[Pair]:
    """All that stands under a name, under another: ``items[0][price]`` to ``subscription_details[items][0][price]``."""
    return [(to + key[len(name) :], value) for key, value in read.below(name)]


def is_true(read: Form, name: str) -> bool:
    """Whether a switch is on; anything but ``false`` or nothing is, since what Stripe takes for true is its own."""
    return read.get(name) not in {None, "", "false"}


def only(read: Form, known: Collection[str], what: str) -> None:
    """Refuse parameters that the pricing was not written for: an old version may give them a meaning.

    Raises:
        Refused: ``unpriced``, naming them.
    """
    odd = read.names.difference(known)
    if odd:
        raise unpriced(f"What {', '.join(sorted(odd))} does to the price of {what} is not known: leave it out.")
