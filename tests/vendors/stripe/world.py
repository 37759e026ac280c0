"""The fake Stripe in process: an account with objects to act on, valid requests, and pricing answered by it."""

from dataclasses import dataclass
from typing import Any

from runcap.decision import Code, refuse
from runcap.vendors.base import Kind, Lookup, Plan, Quote, Request
from tests.fakes.model import Seen
from tests.fakes.stripe import Account, read_params
from tests.fakes.stripe_shelf import Problem
from tests.vendors.stripe.helpers import FORM, VENDOR

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class World:
    """One account."""

    account: Account
    ids: dict[str, str]

    def read(self, lookup: Lookup) -> dict[str, Any]:
        """Answer a lookup as the vendor would; what it does not have refuses the call."""
        seen = Seen("POST" if lookup.body else "GET", lookup.path, lookup.query, (), lookup.body)
        try:
            return self.account.run(seen, read_params(seen))[0]
        except Problem as problem:
            raise refuse(Code.UNPRICED, problem.message) from problem

    def quote(self, plan: Plan) -> Quote:
        """Price a plan; what is denied by default counts as refused."""
        if plan.operation.kind is Kind.DENIED:
            raise refuse(Code.OPERATION_NOT_ALLOWED, "denied")
        steps = VENDOR.quote(plan)
        try:
            lookup = next(steps)
            while True:
                lookup = steps.send(self.read(lookup))
        except StopIteration as done:
            quote: Quote = done.value
            return quote

    def execute(self, plan: Plan) -> tuple[int, str]:
        """What the vendor moves by what is forwarded, and in which currency."""
        seen = forwarded(plan)
        try:
            _, moved, unit = self.account.run(seen, read_params(seen))
        except Problem:
            return 0, "usd"
        return moved, unit


def forwarded(plan: Plan) -> Seen:
    """A plan's request as the vendor sees it."""
    upstream = plan.upstream
    return Seen(upstream.method, upstream.path, upstream.query, upstream.headers, upstream.body)


def again(plan: Plan) -> Plan:
    """The plan of what a plan forwards."""
    upstream = plan.upstream
    return VENDOR.plan(Request(upstream.method, upstream.path, upstream.query, upstream.headers, upstream.body))


def world() -> World:
    """An account with one of everything; its ids are the same each time."""
    account = Account()

    def make(path: str, body: str) -> dict[str, Any]:
        seen = Seen("POST", path, "", (), body.encode())
        return account.run(seen, read_params(seen))[0]

    pay = "amount=2000&currency=usd&payment_method=pm_card_visa"
    held = make("/v1/payment_intents", f"{pay}&confirm=true&capture_method=manual")
    paid = make("/v1/payment_intents", f"{pay}&confirm=true")
    customer = make("/v1/customers", "name=A")["id"]
    monthly = make("/v1/prices", "currency=usd&unit_amount=700&recurring[interval]=month")["id"]
    meter = make("/v1/billing/meters", "event_name=tokens&default_aggregation[formula]=sum")["id"]
    metered = make(
        "/v1/prices",
        f"currency=usd&unit_amount=3&recurring[interval]=month&recurring[usage_type]=metered&recurring[meter]={meter}",
    )["id"]
    subscription = make("/v1/subscriptions", f"customer={customer}&items[0][price]={monthly}&items[1][price]={metered}")
    armed = make("/v1/invoices", f"customer={customer}&auto_advance=true")["id"]
    make("/v1/invoiceitems", f"customer={customer}&invoice={armed}&amount=300&currency=usd")
    return World(
        account,
        {
            "intent": make("/v1/payment_intents", pay)["id"],
            "held": held["id"],
            "charge": paid["latest_charge"],
            "paid": paid["id"],
            "customer": customer,
            "price": make("/v1/prices", "currency=usd&unit_amount=450")["id"],
            "monthly": monthly,
            "subscription": subscription["id"],
            "item": subscription["items"]["data"][0]["id"],
            "armed": armed,
            "transfer": make("/v1/transfers", "amount=900&currency=usd&destination=acct_1")["id"],
        },
    )


VALID: tuple[tuple[str, str, str], ...] = (
    ("POST", "/v1/payment_intents", "amount=2000&currency=usd&confirm=true&payment_method=pm_card_visa"),
    ("POST", "/v1/payment_intents/{intent}", "amount=3000"),
    ("POST", "/v1/payment_intents/{intent}/confirm", "payment_method=pm_card_visa"),
    ("POST", "/v1/payment_intents/{held}/capture", "amount_to_capture=1500"),
    ("POST", "/v1/payment_intents/{held}/increment_authorization", "amount=2500"),
    ("POST", "/v1/payment_intents/{held}/cancel", ""),
    ("POST", "/v1/charges", "amount=900&currency=usd&source=tok_visa"),
    ("POST", "/v1/refunds", "charge={charge}&amount=500"),
    ("POST", "/v1/refunds", "payment_intent={paid}"),
    ("POST", "/v1/transfers", "amount=700&currency=usd&destination=acct_1"),
    ("POST", "/v1/transfers/{transfer}/reversals", "amount=200"),
    ("POST", "/v1/payouts", "amount=700&currency=usd&method=standard"),
    ("POST", "/v1/topups", "amount=700&currency=usd"),
    ("POST", "/v1/customers/{customer}/balance_transactions", "amount=-500&currency=usd"),
    ("POST", "/v1/customers/{customer}", "balance=0&name=B"),
    ("POST", "/v1/subscriptions", "customer={customer}&items[0][price]={monthly}&items[0][quantity]=2"),
    (
        "POST",
        "/v1/subscriptions/{subscription}",
        "items[0][id]={item}&items[0][quantity]=3&proration_behavior=always_invoice",
    ),
    ("POST", "/v1/subscription_items/{item}", "quantity=4&proration_behavior=always_invoice"),
    ("POST", "/v1/invoiceitems", "customer={customer}&amount=500&currency=usd"),
    ("POST", "/v1/invoiceitems", "customer={customer}&invoice={armed}&pricing[price]={price}&quantity=2"),
    ("POST", "/v1/invoices/{armed}/add_lines", "lines[0][amount]=250&lines[1][amount]=100"),
    ("POST", "/v1/invoices/{armed}/finalize", "auto_advance=true"),
    ("POST", "/v1/invoices/{armed}/pay", ""),
    ("POST", "/v1/credit_notes", "invoice={armed}&refund_amount=100&credit_amount=50"),
    (
        "POST",
        "/v1/checkout/sessions",
        (
            "mode=payment&line_items[0][price]={price}&line_items[0][quantity]=2"
            "&line_items[1][price_data][currency]=usd&line_items[1][price_data][unit_amount]=300"
        ),
    ),
    (
        "POST",
        "/v1/payment_links",
        "line_items[0][price]={price}&line_items[0][quantity]=1&restrictions[completed_sessions][limit]=3",
    ),
    (
        "POST",
        "/v1/billing/meter_events",
        "event_name=tokens&payload[stripe_customer_id]={customer}&payload[value]=25",
    ),
    ("POST", "/v2/money_management/outbound_payments", '{"amount": {"value": 600, "currency": "usd"}}'),
    ("DELETE", "/v1/subscriptions/{subscription}", ""),
)
"""Requests that are as they should be, by the names of `World.ids`."""


def media_type(path: str) -> str:
    """The one that a path takes."""
    return JSON if path.startswith("/v2/") else FORM
