"""Subscriptions with their items, schedules, meters, and Stripe's preview of the next invoice.

Kept to docs.stripe.com/api/subscriptions, with one simplification: a change in the middle of a period is invoiced at
once and in full, if ``proration_behavior=always_invoice``, and else not at all. Nothing ever renews here.
"""

from collections.abc import Callable
from fractions import Fraction

from tests.fakes.stripe_billing import Billing
from tests.fakes.stripe_objects import Book
from tests.fakes.stripe_prices import Params, Prices, amount_for
from tests.fakes.stripe_shelf import Problem, Result, listed, values


class Recurring:
    """What customers are billed again and again."""

    def __init__(self, book: Book, prices: Prices, billing: Billing) -> None:
        self._book = book
        self._prices = prices
        self._billing = billing

    def routes(self) -> list[tuple[str, str, Callable[..., Result]]]:
        """Method, path and handler of each operation."""
        return [
            ("POST", r"/v1/subscriptions", self._create),
            ("GET", r"/v1/subscriptions", self._list),
            ("GET", r"/v1/subscriptions/(sub_\w+)", self._get),
            ("POST", r"/v1/subscriptions/(sub_\w+)", self._update),
            ("DELETE", r"/v1/subscriptions/(sub_\w+)", self._cancel),
            ("POST", r"/v1/subscription_items", self._create_item),
            ("GET", r"/v1/subscription_items", self._list_items),
            ("GET", r"/v1/subscription_items/(si_\w+)", self._get),
            ("POST", r"/v1/subscription_items/(si_\w+)", self._update_item),
            ("DELETE", r"/v1/subscription_items/(si_\w+)", self._delete_item),
            ("POST", r"/v1/subscription_schedules", self._create_schedule),
            ("GET", r"/v1/subscription_schedules", self._list_schedules),
            ("POST", r"/v1/invoices/create_preview", self._preview),
            ("POST", r"/v1/billing/meters", self._create_meter),
            ("GET", r"/v1/billing/meters", self._list_meters),
            ("POST", r"/v1/billing/meter_events", self._meter_event),
            ("POST", r"/v2/billing/meter_events", self._meter_event),
        ]

    def subscribe(self, customer: str, items: list[Params], extra: list[Params], *, trial: bool) -> tuple[Params, int]:
        """A new subscription, and what its first invoice came to."""
        made = self._book.new("sub_", "subscription", status="active", customer=customer, currency="usd")
        for item in items:
            self._add_item(made, item)
        due = self._first(items, extra, customer, trial=trial)
        for item in self._billing.pending(customer):
            self._book.drop(item["id"])
        reason = {"billing_reason": "subscription_create", "customer": customer}
        parent = {"parent": {"subscription_details": {"subscription": made["id"]}}}
        made["latest_invoice"] = self._billing.bill("usd", due, **reason, **parent)["id"]
        return made, due

    def _first(self, items: list[Params], extra: list[Params], customer: str, *, trial: bool) -> int:
        swept: int = sum(item["amount"] for item in self._billing.pending(customer))
        period = 0 if trial else self._prices.lines_total(items)
        return period + self._prices.lines_total(extra) + max(swept, 0)

    def _add_item(self, subscription: Params, item: Params) -> Params:
        price = self._prices.price_of(item)
        return self._book.new(
            "si_", "subscription_item", subscription=subscription["id"], price=dict(price),
            quantity=int(item.get("quantity", 1)),
        )  # fmt: skip

    def _lines(self, subscription_id: str) -> list[Params]:
        return [
            {"price": item["price"]["id"], "quantity": str(item["quantity"])}
            for item in self._book.all("subscription_item", subscription=subscription_id)
        ]

    def _create(self, params: Params) -> Result:
        items, extra = values(params["items"]), values(params.get("add_invoice_items"))
        made, due = self.subscribe(params["customer"], items, extra, trial=_trial(params))
        return self._shown(made), due, "usd"

    def _shown(self, subscription: Params) -> Params:
        items = self._book.all("subscription_item", subscription=subscription["id"])
        return {**subscription, "items": listed("/v1/subscription_items", items)}

    def _list(self, params: Params) -> Result:
        found = self._book.all("subscription", customer=params["customer"], status="active")
        return listed("/v1/subscriptions", [self._shown(each) for each in found]), 0, ""

    def _get(self, object_id: str, params: Params) -> Result:
        found = self._book.find(object_id)
        shown = self._shown(found) if found["object"] == "subscription" else dict(found)
        if "latest_invoice" in values(params.get("expand")):
            shown["latest_invoice"] = self._billing.shown(self._book.find(found["latest_invoice"]))
        return shown, 0, ""

    def _update(self, subscription_id: str, params: Params) -> Result:
        found = self._book.find(subscription_id)
        moved = self._change_items(found, values(params.get("items")), params)
        return self._shown(found), moved, "usd"

    def _change_items(self, subscription: Params, items: list[Params], params: Params) -> int:
        before = self._prices.lines_total(self._lines(subscription["id"]))
        for item in items:
            self._apply(subscription, item)
        after = self._prices.lines_total(self._lines(subscription["id"]))
        return max(0, after - before) if params.get("proration_behavior") == "always_invoice" else 0

    def _apply(self, subscription: Params, item: Params) -> None:
        if "id" not in item:
            self._add_item(subscription, item)
        elif item.get("deleted") == "true":
            self._book.drop(item["id"])
        else:
            known = self._book.find(item["id"])
            known["quantity"] = int(item.get("quantity", known["quantity"]))
            if "price" in item:
                known["price"] = dict(self._prices.price_of(item))

    def _cancel(self, subscription_id: str, params: Params) -> Result:
        found = self._book.find(subscription_id)
        found["status"] = "canceled"
        return self._shown(found), 0, "usd"

    def _create_item(self, params: Params) -> Result:
        subscription = self._book.find(params["subscription"])
        moved = self._change_items(subscription, [params], params)
        return dict(self._book.all("subscription_item", subscription=subscription["id"])[-1]), moved, "usd"

    def _list_items(self, params: Params) -> Result:
        found = self._book.all("subscription_item", subscription=params["subscription"])
        return listed("/v1/subscription_items", found), 0, ""

    def _update_item(self, item_id: str, params: Params) -> Result:
        item = self._book.find(item_id)
        moved = self._change_items(self._book.find(item["subscription"]), [{**params, "id": item_id}], params)
        return dict(item), moved, "usd"

    def _delete_item(self, item_id: str, params: Params) -> Result:
        self._book.drop(item_id)
        return {"id": item_id, "object": "subscription_item", "deleted": True}, 0, "usd"

    def _create_schedule(self, params: Params) -> Result:
        first = values(params["phases"])[0]
        extra = values(first.get("add_invoice_items"))
        subscription, due = self.subscribe(params["customer"], values(first["items"]), extra, trial=False)
        made = self._book.new("sub_sched_", "subscription_schedule", subscription=subscription["id"], status="active")
        return dict(made), due, "usd"

    def _list_schedules(self, params: Params) -> Result:
        return listed("/v1/subscription_schedules", []), 0, ""

    def _preview(self, params: Params) -> Result:
        details, schedule = params.get("subscription_details", {}), params.get("schedule_details", {})
        if schedule:
            details = values(schedule["phases"])[0]
        items, extra = values(details.get("items")), values(params.get("invoice_items"))
        extra += values(details.get("add_invoice_items"))
        if "subscription" in params:
            due, renewal = self._changed(params["subscription"], items, details)
        elif items:
            due = self._first(items, extra, params["customer"], trial=_trial(details))
            renewal = self._prices.lines_total(items, recurring_only=True)
        else:
            raise Problem(404, "No upcoming invoices for customer.", code="invoice_upcoming_none")
        amount = renewal if params.get("preview_mode") == "recurring" else due
        shown = {"object": "invoice", "status": "draft", "amount_due": amount, "total": amount, "currency": "usd"}
        return {"id": "upcoming_Fake", **shown}, 0, ""

    def _changed(self, subscription_id: str, items: list[Params], details: Params) -> tuple[int, int]:
        """What a change would bill next, and each period after it; nothing is changed."""
        lines = {item["id"]: item for item in self._book.all("subscription_item", subscription=subscription_id)}
        after = {key: {"price": item["price"]["id"], "quantity": str(item["quantity"])} for key, item in lines.items()}
        before = self._prices.lines_total(after.values())
        for index, item in enumerate(items):
            known = after.get(item.get("id", ""), {})
            after[item.get("id") or str(index)] = {**known, **item}
        renewal = self._prices.lines_total(line for line in after.values() if line.get("deleted") != "true")
        if details.get("proration_behavior") == "always_invoice":
            return max(0, renewal - before), renewal
        return renewal, renewal

    def _create_meter(self, params: Params) -> Result:
        made = self._book.new(
            "mtr_", "billing.meter", event_name=params["event_name"], status="active",
            customer_mapping={"type": "by_id", "event_payload_key": "stripe_customer_id"},
            value_settings={"event_payload_key": "value"}, default_aggregation=params["default_aggregation"],
        )  # fmt: skip
        return dict(made), 0, ""

    def _list_meters(self, params: Params) -> Result:
        return listed("/v1/billing/meters", self._book.all("billing.meter")), 0, ""

    def _meter_event(self, params: Params) -> Result:
        payload = params["payload"]
        [meter] = self._book.all("billing.meter", event_name=params["event_name"])
        cost = Fraction(0)
        for subscription in self._book.all("subscription", customer=payload["stripe_customer_id"], status="active"):
            for item in self._book.all("subscription_item", subscription=subscription["id"]):
                if (item["price"]["recurring"] or {}).get("meter") == meter["id"]:
                    cost += amount_for(item["price"], Fraction(payload["value"]))
        made = self._book.new("mtrev_", "billing.meter_event", event_name=params["event_name"])
        return dict(made), int(-(-cost // 1)), "usd"


def _trial(params: Params) -> bool:
    return "trial_end" in params and params["trial_end"] != "now"
