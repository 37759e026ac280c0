"""The most that a call to Stripe can move, by its API reference as stripe-python 16.1.0 carries it (2026-10-28).

The cap counts the money that is moved, or bound to move: charged, refunded, transferred, paid out, invoiced. Stripe's
own fee for processing a charge is not part of it; the fee of an instant payout is, since asking for one is a choice of
the caller. Each kind of object has a file of its own, which says what is counted when:

- `payments`: PaymentIntents, charges, refunds, card readers
- `transfers`: transfers, payouts, top-ups, treasury, v2 money management, climate orders, customers' credit
- `subscriptions`, `schedules`, `items`: what recurs, and the usage that is reported
- `invoices`, `invoice_items`: what is billed
- `checkout`: checkout sessions, payment links, quotes
"""

from collections.abc import Callable

from runcap.fx import Rates
from runcap.vendors.base import FREE, Plan
from runcap.vendors.stripe.checkout import Checkout
from runcap.vendors.stripe.invoice_items import InvoiceItems
from runcap.vendors.stripe.invoices import Invoices
from runcap.vendors.stripe.items import Items
from runcap.vendors.stripe.lookups import Steps
from runcap.vendors.stripe.payments import Payments
from runcap.vendors.stripe.schedules import Schedules
from runcap.vendors.stripe.subscriptions import Subscriptions
from runcap.vendors.stripe.transfers import Transfers

_PARTS = (Payments, Transfers, Subscriptions, Schedules, Items, Invoices, InvoiceItems, Checkout)


class Pricing:
    """Prices plans; one method for each pricer that the catalogue names."""

    def __init__(self, rates: Rates) -> None:
        self._pricers: dict[str, Callable[[Plan], Steps]] = {}
        for part in _PARTS:
            self._pricers |= part(rates).pricers()

    def quote(self, plan: Plan) -> Steps:
        """Price a plan. An operation without a pricer costs nothing, or is denied and counted by nobody."""
        name = plan.operation.pricer
        return (yield from self._pricers[name](plan)) if name else FREE
