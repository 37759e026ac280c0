"""Twilio's prices that come later, as the reconciler asks for them."""

from collections.abc import Mapping
from typing import Any

from runcap.fx import Rates
from runcap.vendors.base import Operation
from runcap.vendors.catalogue import known
from runcap.vendors.twilio.prices import PriceSource
from runcap.vendors.twilio.reconcile import NotYet, made, next_question_seconds, read_actual, resource_path
from runcap.vendors.twilio.releases import Releases


class LatePrices:
    """The `runcap.audit.reconciler.LateVendor` for Twilio."""

    name = "twilio"

    def __init__(self, account_sid: str, prices: PriceSource, rates: Rates) -> None:
        """Load the catalogue.

        Args:
            account_sid: whose messages and calls they are.
            prices: for what Twilio bills beside the price that it shows.
            rates: for an account that is billed in another currency.
        """
        self._account_sid = account_sid
        self._prices = prices
        self._rates = rates
        self._releases = Releases.bundled()
        self._operations: dict[str, Operation] = {
            operation.name: operation for operation in known("twilio_catalogue.json").operations.operations
        }

    def path(self, operation: str, resource: str) -> str | None:
        """Where to GET what a call has made; None if it has no price of its own later."""
        found = self._operations.get(operation)
        kind = None if found is None else made(found)
        return None if kind is None else resource_path(kind, self._account_sid, resource)

    def read(self, operation: str, found: Mapping[str, Any]) -> tuple[int | None, str]:
        """What it cost in micros, or None for not known yet; and what Twilio said, for people."""
        kind = made(self._operations[operation])
        assert kind is not None
        actual = read_actual(kind, found, self._prices(), self._rates, self._releases)
        if isinstance(actual, NotYet):
            return None, actual.why
        # Whatever Twilio wrote there is cut to what these fields can sensibly hold.
        status, price, unit = (str(found.get(name))[:20] for name in ("status", "price", "price_unit"))
        return actual.micros, f"{status}, price {price} {unit}"

    def next_question_seconds(self, asked: int) -> int | None:
        """See `runcap.vendors.twilio.reconcile.next_question_seconds`."""
        return next_question_seconds(asked)
