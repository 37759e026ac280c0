"""``POST Calls/{Sid}.json``: a call that is under way. Ending it is free; new instructions keep it alive.

New TwiML makes a call last longer than it would have: up to its time limit, which is set anew here, so that the price
of those minutes can be held. Whether Twilio counts that limit from the call's start or from the change, no more minutes
than it says are left. Only a call out to an ordinary number has a price; the call is looked up to see where it goes.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from runcap.decision import Code, refuse
from runcap.vendors.base import FREE, Lookup, Quote
from runcap.vendors.form import Form
from runcap.vendors.twilio.calls import Call, limited, price_call, time_limit_seconds
from runcap.vendors.twilio.destinations import destination
from runcap.vendors.twilio.prices import Prices
from runcap.vendors.twilio.twiml import canonical_twiml, refuse_opaque

_PRICE_NEUTRAL = frozenset({"StatusCallback", "StatusCallbackMethod"})
_ENDINGS = frozenset({"completed", "canceled"})
_OUTBOUND = frozenset({"outbound-api", "outbound-dial"})
_OVER = frozenset({"completed", "canceled", "busy", "failed", "no-answer"})


@dataclass(frozen=True, slots=True)
class CallUpdate:
    """A change to a live call."""

    path: str
    """Where the call is read."""
    time_limit_seconds: int | None
    """None: the call is only ended."""


def read_call_update(form: Form, path: str) -> tuple[Form, CallUpdate]:
    """Read a change to a call; also gives the form to forward, with a time limit and rebuilt TwiML.

    Args:
        form: the parameters.
        path: of the call itself.

    Raises:
        Refused: ``malformed`` or ``unpriced``, naming the parameter.
    """
    refuse_opaque(form)
    status = form.get("Status")
    if status is not None:
        if status not in _ENDINGS or form.names - _PRICE_NEUTRAL != {"Status"}:
            raise refuse(Code.MALFORMED, "Status can only be completed or canceled, and stands alone.")
        return form, CallUpdate(path, None)
    unknown = form.names - _PRICE_NEUTRAL - {"Twiml", "TimeLimit"}
    if unknown:
        raise refuse(Code.UNPRICED, f"runcap does not know what {min(unknown)} does to the price of a call.")
    if form.names.isdisjoint({"Twiml", "TimeLimit"}):
        raise refuse(Code.MALFORMED, "Give Status=completed, or Twiml, or a TimeLimit.")
    seconds = time_limit_seconds(form)
    twiml = form.get("Twiml")
    rebuilt = {} if twiml is None else {"Twiml": canonical_twiml(twiml)}
    return limited(form, seconds, frozenset(), **rebuilt), CallUpdate(path, seconds)


def price_call_update(update: CallUpdate, prices: Prices) -> Generator[Lookup, dict[str, Any], Quote]:
    """The most that the minutes after a change cost.

    Raises:
        Refused: ``unpriced`` for a call whose minutes have no price.
    """
    if update.time_limit_seconds is None:
        return FREE
    found = yield Lookup(update.path)
    if found.get("status") in _OVER:
        return FREE
    to = found.get("to")
    if found.get("direction") not in _OUTBOUND or not isinstance(to, str):
        raise refuse(Code.UNPRICED, "Only a call that goes out to a number can be changed: others have no price here.")
    return price_call(Call(destination(to), update.time_limit_seconds), prices)
