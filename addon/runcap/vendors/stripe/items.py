"""Items of subscriptions, and the usage that is reported for metered ones."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from runcap.fx import Rates
from runcap.vendors.base import FREE, Plan
from runcap.vendors.form import Form, Pair
from runcap.vendors.stripe import amounts, params
from runcap.vendors.stripe.lines import Lines
from runcap.vendors.stripe.lookups import Found, Looking, Steps, by_id, is_id, linked, page, preview, unpriced
from runcap.vendors.stripe.subscriptions import Subscriptions, add_due, details_item, looked_up_subscription
from runcap.vendors.stripe.totals import Total

_ITEM = ("billing_thresholds", "current_trial", "discounts", "plan", "price", "price_data", "quantity", "tax_rates")
_DETAILS = ("proration_behavior", "proration_date")
_HARMLESS = frozenset({"expand", "metadata", "off_session", "payment_behavior"})
_KNOWN = frozenset(_ITEM) | frozenset(_DETAILS) | _HARMLESS
_TIERS = "expand[]=tiers&expand[]=currency_options"


class Items:
    """Prices what changes a subscription's items, and what they are billed for."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._lines = Lines(rates)
        self._subscriptions = Subscriptions(rates)

    def pricers(self) -> dict[str, Callable[[Plan], Steps]]:
        """By the names that the catalogue uses."""
        return {
            "subscription_item_create": self._create,
            "subscription_item_update": self._update,
            "subscription_item_delete": self._delete,
            "usage_record": self._usage_record,
            "meter_event": self._meter_event,
        }

    def _create(self, plan: Plan) -> Steps:
        form: Form = plan.detail
        params.only(form, _KNOWN | {"subscription"}, "an item")
        subscription = form.get("subscription")
        if not is_id(subscription):
            raise unpriced("An item has a price only if it names its subscription.")
        pairs = [("subscription", subscription), *details_item(form, _ITEM), *_details(form)]
        return (yield from self._subscriptions.next_and_renewal(pairs))

    def _update(self, plan: Plan) -> Steps:
        form: Form = plan.detail
        params.only(form, _KNOWN, "an item")
        if form.names <= _HARMLESS:
            return FREE
        item = plan.path_params["item"]
        found = yield from looked_up_subscription(item)
        subscription = linked(found, "subscription") or ""
        pairs = [("subscription", subscription), *details_item(form, _ITEM, id=item), *_details(form)]
        return (yield from self._subscriptions.next_and_renewal(pairs))

    def _delete(self, plan: Plan) -> Steps:
        """Lowers what is billed; only ``always_invoice`` makes an invoice now."""
        form: Form = plan.detail
        if form.get("proration_behavior") in {None, "create_prorations", "none"}:
            return FREE
        item = plan.path_params["item"]
        found = yield from looked_up_subscription(item)
        subscription = linked(found, "subscription") or ""
        pairs = [("subscription", subscription), *details_item(form, (), id=item, deleted="true"), *_details(form)]
        total = Total(self._rates)
        add_due(total, (yield from preview(pairs)))
        return total.quote()

    def _usage_record(self, plan: Plan) -> Steps:
        """The legacy way of reporting usage, at the item's own price."""
        form: Form = plan.detail
        quantity = amounts.amount(form, "quantity")
        if quantity is None:
            raise unpriced("Without quantity the call has no price.")
        found = yield from by_id("/v1/subscription_items", plan.path_params["subscription_item"])
        total = Total(self._rates)
        yield from self._add_usage(total, found, Fraction(quantity))
        return total.quote()

    def _meter_event(self, plan: Plan) -> Steps:
        """Usage, at every price of the customer's subscriptions that bills this meter.

        Each event is billed by itself: packages and tiers are rounded up for each. A meter that takes the last or the
        greatest value of a period is counted as if it added all up; one that counts events is counted by one.
        """
        event_name, payload = _event(plan)
        meters = yield from page("/v1/billing/meters", "status=active")
        meter = next((meter for meter in meters if meter.get("event_name") == event_name), None)
        if meter is None:
            raise unpriced("The price depends on the event's meter, and Stripe knows no active one of that name.")
        customer = payload.get(_key(meter, "customer_mapping"))
        if not is_id(customer):
            raise unpriced("A meter event has a price only if its payload names the customer.")
        quantity = _counted(meter, payload)
        total = Total(self._rates)
        for subscription in (yield from page("/v1/subscriptions", f"customer={customer}")):
            for item in (yield from page("/v1/subscription_items", f"subscription={_id_of(subscription)}")):
                if _meter_of(item) == meter.get("id"):
                    yield from self._add_usage(total, item, quantity)
        return total.quote()

    def _add_usage(self, total: Total, item: Found, quantity: Fraction) -> Looking[None]:
        price = linked(item, "price")
        if price is None:
            raise unpriced("The price depends on the item's price, and Stripe's answer does not name it.")
        found = yield from by_id("/v1/prices", price, _TIERS)
        line = self._lines.usage(found, quantity)
        total.add(line.minor, line.currency)


def _details(form: Form) -> list[Pair]:
    return [pair for name in _DETAILS for pair in params.moved(form, name, f"subscription_details[{name}]")]


def _event(plan: Plan) -> tuple[str, dict[str, Any]]:
    """The event's name and payload, from v1's form or v2's JSON."""
    if plan.upstream.path.startswith("/v2/"):
        name, payload = plan.params.get("event_name"), plan.params.get("payload")
    else:
        form: Form = plan.detail
        name = form.get("event_name")
        payload = {key.partition("[")[2].removesuffix("]"): value for key, value in form.below("payload")}
    if not isinstance(name, str) or not isinstance(payload, dict):
        raise unpriced("A meter event has a price only if it has an event_name and a payload.")
    return name, payload


def _key(meter: Found, settings: str) -> str:
    found = meter.get(settings)
    key = found.get("event_payload_key") if isinstance(found, dict) else None
    if not isinstance(key, str):
        raise unpriced(f"The price depends on the meter's {settings}, which Stripe's answer does not tell.")
    return key


def _counted(meter: Found, payload: dict[str, Any]) -> Fraction:
    aggregation = meter.get("default_aggregation")
    if isinstance(aggregation, dict) and aggregation.get("formula") == "count":
        return Fraction(1)
    return max(amounts.exact(payload.get(_key(meter, "value_settings")), "the event's value"), Fraction(0))


def _meter_of(item: Found) -> object:
    price = item.get("price")
    recurring = price.get("recurring") if isinstance(price, dict) else None
    return recurring.get("meter") if isinstance(recurring, dict) else None


def _id_of(subscription: Found) -> str:
    if not is_id(subscription.get("id")):
        raise unpriced("The price depends on the customer's subscriptions, and Stripe's answer does not name one.")
    return str(subscription["id"])
