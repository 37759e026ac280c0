"""From a pricer's name in the catalogue to what it reads and what that costs: Twilio's one list of them."""

from collections.abc import Callable, Generator
from typing import Any

from runcap.fx import Rates
from runcap.vendors.base import FREE, Kind, Lookup, Operation, Quote
from runcap.vendors.form import Form
from runcap.vendors.twilio.calls import Call, price_call, read_call
from runcap.vendors.twilio.conferences import check_conference_update, check_participant_update, read_participant
from runcap.vendors.twilio.livecalls import CallUpdate, price_call_update, read_call_update
from runcap.vendors.twilio.messages import Message, check_update, price_message, read_message
from runcap.vendors.twilio.payments import Payment, check_payment_update, price_payment, read_payment
from runcap.vendors.twilio.prices import Prices
from runcap.vendors.twilio.purchases import Purchase, price_purchase, read_purchase

type Detail = Message | Call | CallUpdate | Payment | Purchase | None
"""What a price is computed from; None: the call is free."""


_READERS: dict[str, Callable[[Operation, Form, str], tuple[Form, Detail]]] = {
    "message": lambda _operation, form, _path: (form, read_message(form)),
    "call": lambda _operation, form, _path: read_call(form),
    "participant": lambda _operation, form, _path: read_participant(form),
    "call_update": lambda _operation, form, path: read_call_update(form, path),
    "payment": lambda _operation, form, _path: (form, read_payment(form)),
    "purchase": lambda operation, form, _path: (form, read_purchase(form, operation.template)),
}

_CHECKS: dict[str, Callable[[Form], None]] = {
    "message_update": check_update,
    "participant_update": check_participant_update,
    "conference_update": check_conference_update,
    "payment_update": check_payment_update,
}
"""What holds free operations that take parameters to those that are free."""


def read(operation: Operation, form: Form, path: str) -> tuple[Form, Detail]:
    """Read a POST's parameters by the operation's pricer: the form to forward, and what the price is computed from.

    Raises:
        Refused: ``malformed`` or ``unpriced``, naming the parameter.
        LookupError: the catalogue names a pricer that does not exist.
    """
    if operation.pricer in _CHECKS:
        _CHECKS[operation.pricer](form)
        return form, None
    if not operation.pricer and operation.kind is not Kind.PRICED:
        return form, None
    return _READERS[operation.pricer](operation, form, path)


def price(detail: Detail, prices: Prices, rates: Rates) -> Generator[Lookup, dict[str, Any], Quote]:
    """The most that a call costs.

    Raises:
        Refused: ``unpriced`` if there is no price for it.
    """
    match detail:
        case Message():
            return price_message(detail, prices)
        case Call():
            return price_call(detail, prices)
        case CallUpdate():
            return (yield from price_call_update(detail, prices))
        case Payment():
            return price_payment(detail, prices, rates)
        case Purchase():
            return price_purchase(detail, prices)
    return FREE
