"""Subscriptions, by Stripe's own preview of the invoice that a call would lead to.

A subscription charges again and again with no further call, so there is no bound to what it costs over its life.
What is counted is what the call arms: the next invoice, as Stripe previews it, and on top of it one full period
(`preview_mode=recurring`), the first renewal. Later renewals are not counted: whoever wants no more than that gives
the subscription an end (``cancel_at``), or takes the operation off a run with ``--only``.

- A new subscription is counted under its id; paying its first invoice later adds nothing (see `invoices`).
- A change is counted for itself, since each change may bill anew; what was counted before stays.
- A cancellation before the first renewal gives the renewal back.
- Trials that are given in days are taken not to be there.
"""

import re
from collections.abc import Callable
from typing import Any

from runcap.fx import Rates
from runcap.vendors.base import FREE, Plan, Quote
from runcap.vendors.form import Form, Pair
from runcap.vendors.stripe import amounts, params
from runcap.vendors.stripe.lookups import Found, Looking, Steps, by_id, linked, named, preview, unpriced
from runcap.vendors.stripe.totals import Total

_DIRECT = ("customer", "customer_account", "currency", "automatic_tax", "discounts", "on_behalf_of")
_DETAILS = (
    "items", "default_tax_rates", "billing_mode", "billing_schedules", "cancel_at", "cancel_at_period_end",
    "proration_behavior", "proration_date", "trial_end",
)  # fmt: skip
_OWN = frozenset({"add_invoice_items", "backdate_start_date", "billing_cycle_anchor", "coupon", "promotion_code"})
_LASTING = re.compile(r"subscription_details\[(?:items|default_tax_rates|billing_mode)\].*")
"""What a renewal depends on; the rest of the details is about the next invoice alone."""
_HARMLESS = frozenset({
    "application_fee_percent", "cancellation_details", "collection_method", "days_until_due",
    "default_payment_method", "default_source", "description", "expand", "invoice_settings", "metadata",
    "off_session", "payment_behavior", "payment_settings", "transfer_data", "trial_settings",
})  # fmt: skip
"""Do not change what is billed."""
_LATER = frozenset({
    "billing_cycle_anchor_config", "billing_thresholds", "pause_collection", "pending_invoice_item_interval",
    "trial_from_plan", "trial_period_days",
})  # fmt: skip
"""Change when it is billed. The preview is made without them, as if it were billed at once and in full."""
_KNOWN = frozenset(_DIRECT) | frozenset(_DETAILS) | _OWN | _HARMLESS | _LATER


class Subscriptions:
    """Prices what arms a subscription, or changes one."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates

    def pricers(self) -> dict[str, Callable[[Plan], Steps]]:
        """By the names that the catalogue uses."""
        return {
            "subscription_create": self._create,
            "subscription_update": self._update,
            "subscription_cancel": self._cancel,
            "subscription_undiscount": self._undiscount,
            "subscription_pause": self._pause,
            "subscription_resume": self._resume,
        }

    def next_and_renewal(self, pairs: list[Pair], *, extra: Total | None = None) -> Steps:
        """The next invoice, and one full period more."""
        total = Total(self._rates) if extra is None else extra
        add_due(total, (yield from preview(pairs)))
        renewal = yield from preview([*filter(_lasts, pairs), ("preview_mode", "recurring")])
        # A balance of the customer's lowers what is due once, not each time.
        total.add(max(_signed(renewal, "total"), _signed(renewal, "amount_due")), amounts.looked_up_currency(renewal))
        return total.quote()

    def _create(self, plan: Plan) -> Steps:
        form: Form = plan.detail
        params.only(form, _KNOWN, "a subscription")
        if not form.below("items"):
            raise unpriced("A subscription has a price only if it gives its items.")
        customer = [("customer", plan.path_params["customer"])] if "customer" in plan.path_params else []
        return (yield from self.next_and_renewal(customer + _previewed(form)))

    def _update(self, plan: Plan) -> Steps:
        form: Form = plan.detail
        params.only(form, _KNOWN, "a subscription")
        if _changes_nothing(form):
            return FREE
        return (yield from self.next_and_renewal([_subscription(plan), *_previewed(form)]))

    def _cancel(self, plan: Plan) -> Steps:
        """What is billed at the end, and what may be given back: see `outcome`."""
        form: Form = plan.detail
        subscription = plan.path_params["subscription_exposed_id"]
        found = yield from by_id("/v1/subscriptions", subscription, "expand[]=latest_invoice")
        billed = Total(self._rates)
        latest = found.get("latest_invoice")
        if isinstance(latest, dict) and latest.get("billing_reason") == "subscription_create":
            add_due(billed, latest)
        else:
            # It has renewed: what was counted has been charged by now, and nothing is given back.
            latest = None
        final = None
        if params.is_true(form, "invoice_now"):
            final = yield from preview([_subscription(plan), ("subscription_details[cancel_now]", "true")])
        if latest is None:
            return FREE if final is None else due(self._rates, final)
        if final is not None:
            add_due(billed, final)
        return billed.quote(subscription)

    def _undiscount(self, plan: Plan) -> Steps:
        return (yield from self.next_and_renewal([_subscription(plan), ("discounts", "")]))

    def _pause(self, plan: Plan) -> Steps:
        form: Form = plan.detail
        if form.get("invoicing_behavior") in {None, "pending_invoice_item"}:
            return FREE
        pairs = [(f"subscription_details[pause]{_bracketed(key)}", value) for key, value in _told(form)]
        return due(self._rates, (yield from preview([_subscription(plan), *pairs])))

    def _resume(self, plan: Plan) -> Steps:
        form: Form = plan.detail
        pairs = [
            (f"subscription_details[{name}]", form.get(name) or "")
            for name in ("proration_behavior", "proration_date")
            if name in form.names
        ]
        return (
            yield from self.next_and_renewal([_subscription(plan), ("subscription_details[resume_at]", "now"), *pairs])
        )


def add_due(total: Total, invoice: Found) -> None:
    """Add what an invoice, or the preview of one, demands."""
    total.add(_signed(invoice, "amount_due"), amounts.looked_up_currency(invoice))


def due(rates: Rates, invoice: Found) -> Quote:
    """What an invoice, or the preview of one, demands, as a quote."""
    total = Total(rates)
    add_due(total, invoice)
    return total.quote()


def _signed(invoice: Found, name: str) -> int:
    return amounts.looked_up_signed(invoice, name)


def _subscription(plan: Plan) -> Pair:
    for name in ("subscription_exposed_id", "subscription"):
        if name in plan.path_params:
            return "subscription", plan.path_params[name]
    return "subscription", named(plan.detail, "subscription")


def _lasts(pair: Pair) -> bool:
    name = pair[0].partition("[")[0]
    return name in {"subscription", *_DIRECT} or _LASTING.fullmatch(pair[0]) is not None


def _changes_nothing(form: Form) -> bool:
    """Whether an update leaves alone what is billed, and when; pausing the collection only puts it off."""
    names = form.names - _HARMLESS
    if form.get("cancel_at_period_end") == "true":
        names -= {"cancel_at_period_end"}
    if form.below("pause_collection") and "pause_collection" not in dict(form.pairs):
        names -= {"pause_collection"}
    return not names


def _previewed(form: Form) -> list[Pair]:
    """A subscription's parameters as those of its preview."""
    pairs = [pair for name in _DIRECT for pair in params.moved(form, name, name)]
    pairs += [pair for name in _DETAILS for pair in params.moved(form, name, f"subscription_details[{name}]")]
    for index, item in params.entries(form, "add_invoice_items"):
        pairs += [
            (f"invoice_items[{index}]{_bracketed(key)}", value)
            for key, value in item.pairs
            if key.partition("[")[0] not in {"period", "metadata"}
        ]
    for name in ("coupon", "promotion_code"):
        # How old versions write discounts; an empty one takes the discount away.
        value = form.get(name)
        if value is not None:
            pairs.append((f"discounts[0][{name}]", value) if value else ("discounts", ""))
    start = form.get("backdate_start_date")
    if start is not None:
        pairs.append(("subscription_details[start_date]", start))
    return pairs + _anchor(form.get("billing_cycle_anchor"))


def _anchor(anchor: str | None) -> list[Pair]:
    if anchor is None:
        return []
    name = "subscription_details[billing_cycle_anchor]"
    if anchor in {"now", "unchanged"}:
        return [(f"{name}[type]", anchor)]
    return [(f"{name}[type]", "timestamp"), (f"{name}[timestamp]", anchor)]


def _told(form: Form) -> list[Pair]:
    return [pair for pair in form.pairs if pair[0].partition("[")[0] != "expand"]


def _bracketed(key: str) -> str:
    head, bracket, rest = key.partition("[")
    return f"[{head}]{bracket}{rest}"


def details_item(form: Form, names: tuple[str, ...], **more: str) -> list[Pair]:
    """One item of a subscription as the preview takes it."""
    prefix = "subscription_details[items][0]"
    pairs = [(f"{prefix}[{name}]", value) for name, value in more.items()]
    return pairs + [pair for name in names for pair in params.moved(form, name, f"{prefix}[{name}]")]


def looked_up_subscription(item: str) -> Looking[dict[str, Any]]:
    """The item, with the id of its subscription in ``subscription``."""
    found = yield from by_id("/v1/subscription_items", item)
    if linked(found, "subscription") is None:
        raise unpriced("The price depends on the item's subscription, and Stripe's answer does not name it.")
    return found
