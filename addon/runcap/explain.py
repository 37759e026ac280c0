"""Why a call costs what it costs: the same steps as the guard's, up to the reservation, told instead of done."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from runcap.call import check_quote
from runcap.entrance.admission import admit
from runcap.entrance.wire import Message
from runcap.vendors.base import Kind, Lookup, Plan, Quote, Vendor

_JSON, _FORM = "application/json", "application/x-www-form-urlencoded"

type LookUp = Callable[[Lookup], Awaitable[dict[str, Any]]]
"""Answers a lookup, or raises `runcap.decision.Refused`."""


@dataclass(slots=True)
class Explanation:
    """What is known of a call before it is sent."""

    plan: Plan
    quote: Quote | None = None
    """None if it depends on a lookup that was not made."""
    lookups: list[Lookup] = field(default_factory=list)
    """In order; the last one was not made if there is no quote."""

    @property
    def refused_by_default(self) -> str | None:
        """Why only a run whose policy names the operation may use it; None if any run may."""
        operation = self.plan.operation
        if operation.kind is not Kind.DENIED:
            return None
        return f"{operation.name} is refused unless the run's policy names it (--allow). {operation.reason}".rstrip()


def message_for(
    vendor: Vendor, method: str, path: str, body: str = "", headers: tuple[tuple[str, str], ...] = ()
) -> Message:
    """A request as an agent would send it; its Content-Type is the vendor's own unless `headers` has one.

    Args:
        vendor: whom it is for.
        method: in capitals.
        path: with the query, if it has one.
        body: text.
        headers: names in any case.
    """
    given = tuple((name.lower(), value) for name, value in headers)
    if body and "content-type" not in dict(given):
        given = (*given, ("content-type", _media_type(vendor, path)))
    return Message(method, path, (("host", vendor.host), *given), body.encode(), keep_alive=True)


async def explain(vendor: Vendor, message: Message, look_up: LookUp | None) -> Explanation:
    """Read and price a call.

    Args:
        vendor: whose call it is.
        message: the request.
        look_up: makes the lookups that the price depends on; None: stop at the first.

    Raises:
        Refused: where the guard would refuse it before it asks the ledger.
    """
    explained = Explanation(vendor.plan(admit(message, vendor, gateway=False)))
    steps = vendor.quote(explained.plan)
    try:
        lookup = next(steps)
        while True:
            explained.lookups.append(lookup)
            if look_up is None:
                return explained
            lookup = steps.send(await look_up(lookup))
    except StopIteration as done:
        explained.quote = check_quote(done.value)
    return explained


def _media_type(vendor: Vendor, path: str) -> str:
    """What the vendor takes there: Resend and Stripe's v2 take JSON, all else is a form."""
    return _JSON if vendor.name == "resend" or (vendor.name == "stripe" and path.startswith("/v2/")) else _FORM
