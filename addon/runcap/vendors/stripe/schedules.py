"""Schedules of subscriptions: phases that follow each other with no further call.

What is counted is the next invoice, by Stripe's preview, and one period of every phase, by the prices of its items.
That a phase can last for several periods is not counted, as the later renewals of a subscription are not.
"""

from collections.abc import Callable

from runcap.fx import Rates
from runcap.vendors.base import FREE, Plan
from runcap.vendors.form import Form, Pair
from runcap.vendors.stripe import amounts, params
from runcap.vendors.stripe.lines import AUTOMATIC_TAX_PERCENT, Lines, tax_percent
from runcap.vendors.stripe.lookups import Steps, by_id, linked, preview, unpriced
from runcap.vendors.stripe.subscriptions import add_due, due
from runcap.vendors.stripe.totals import Total

_HARMLESS = frozenset({"metadata", "expand"})
_KNOWN = _HARMLESS | {
    "billing_mode", "customer", "customer_account", "default_settings", "end_behavior", "from_subscription",
    "pause_schedules", "phases", "proration_behavior", "start_date",
}  # fmt: skip


class Schedules:
    """Prices what a schedule arms."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._lines = Lines(rates)

    def pricers(self) -> dict[str, Callable[[Plan], Steps]]:
        """By the names that the catalogue uses."""
        return {
            "schedule_create": self._create,
            "schedule_update": self._update,
            "schedule_cancel": self._cancel,
        }

    def _create(self, plan: Plan) -> Steps:
        form: Form = plan.detail
        params.only(form, _KNOWN, "a schedule")
        if form.get("from_subscription") is not None and not form.below("phases"):
            return FREE
        start = [("schedule_details[phases][0][start_date]", form.get("start_date") or "now")]
        if not params.entries(form, "phases"):
            raise unpriced("A schedule has a price only if it gives its phases.")
        customer = [pair for name in ("customer", "customer_account") for pair in params.moved(form, name, name)]
        return (yield from self._phases([*customer, *start, *_details(form)], form))

    def _update(self, plan: Plan) -> Steps:
        form: Form = plan.detail
        params.only(form, _KNOWN, "a schedule")
        if form.names <= _HARMLESS:
            return FREE
        schedule = ("schedule", plan.path_params["schedule"])
        return (yield from self._phases([schedule, *_details(form)], form))

    def _phases(self, pairs: list[Pair], form: Form) -> Steps:
        """The next invoice by the preview, and one period of every phase by its prices."""
        total = Total(self._rates)
        add_due(total, (yield from preview(pairs)))
        taxed = params.is_true(form, "default_settings[automatic_tax][enabled]")
        for _, phase in params.entries(form, "phases"):
            percent = yield from tax_percent(params.values(phase, "default_tax_rates"))
            if taxed or params.is_true(phase, "automatic_tax[enabled]"):
                percent += AUTOMATIC_TAX_PERCENT
            currency = amounts.currency(phase)
            for _, item in (*params.entries(phase, "items"), *params.entries(phase, "add_invoice_items")):
                line = yield from self._lines.cost(item, currency)
                if line is not None:
                    total.add(line.minor * (100 + percent) / 100, line.currency)
        return total.quote()

    def _cancel(self, plan: Plan) -> Steps:
        """By default it makes a final invoice, unless it has not started or ``invoice_now=false``."""
        form: Form = plan.detail
        found = yield from by_id("/v1/subscription_schedules", plan.path_params["schedule"])
        subscription = linked(found, "subscription")
        if subscription is None or form.get("invoice_now") == "false":
            return FREE
        pairs = [("subscription", subscription), ("subscription_details[cancel_now]", "true")]
        return due(self._rates, (yield from preview(pairs)))


def _details(form: Form) -> list[Pair]:
    names = ("billing_mode", "end_behavior", "pause_schedules", "phases", "proration_behavior")
    return [pair for name in names for pair in params.moved(form, name, f"schedule_details[{name}]")]
