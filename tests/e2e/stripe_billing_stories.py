"""Lives of what customers are billed: invoices, subscriptions, usage, links."""

from collections.abc import Callable

from tests.e2e.stripe_stories import Agent


def invoice_by_hand(agent: Agent) -> None:
    invoices = agent.api.v1.invoices
    customer = agent.customer()
    agent.api.v1.invoice_items.create({"customer": customer, "amount": 2000, "currency": "usd"})
    sweeping = {"customer": customer, "auto_advance": False, "pending_invoice_items_behavior": "include"}
    invoice = invoices.create(sweeping)
    agent.api.v1.invoice_items.create(
        {"customer": customer, "invoice": invoice.id, "pricing": {"price": agent.price()}, "quantity": 3}
    )
    invoices.finalize_invoice(invoice.id)
    invoices.send_invoice(invoice.id)
    invoices.pay(invoice.id)
    agent.api.v1.credit_notes.create({"invoice": invoice.id, "amount": 700, "refund_amount": 400, "credit_amount": 300})


def invoice_that_advances(agent: Agent) -> None:
    invoices, items = agent.api.v1.invoices, agent.api.v1.invoice_items
    customer = agent.customer()
    items.create({"customer": customer, "amount": 500, "currency": "usd"})
    invoice = invoices.create({"customer": customer, "auto_advance": True, "pending_invoice_items_behavior": "include"})
    invoices.add_lines(invoice.id, {"lines": [{"amount": 250, "description": "more"}]})
    items.create({"customer": customer, "invoice": invoice.id, "amount": 100, "currency": "usd"})
    invoices.finalize_invoice(invoice.id)
    invoices.void_invoice(invoice.id)
    draft = invoices.create({"customer": customer, "auto_advance": False})
    items.create({"customer": customer, "invoice": draft.id, "amount": 900, "currency": "usd"})
    invoices.update(draft.id, {"auto_advance": True})
    invoices.delete(draft.id)


def subscription(agent: Agent) -> None:
    customer = agent.customer()
    items = [{"price": agent.monthly(), "quantity": 2}]
    made = agent.api.v1.subscriptions.create({"customer": customer, "items": items})
    agent.api.v1.subscriptions.update(made.id, {"metadata": {"a": "b"}})
    pending = agent.api.v1.invoice_items.create({"customer": customer, "amount": 500, "currency": "usd"})
    agent.api.v1.invoice_items.update(pending.id, {"amount": 600})
    agent.api.v1.invoice_items.delete(pending.id)


def subscription_that_is_cancelled(agent: Agent) -> None:
    subscriptions = agent.api.v1.subscriptions
    items = [{"price": agent.monthly(), "quantity": 2}]
    made = subscriptions.create({"customer": agent.customer(), "items": items})
    subscriptions.cancel(made.id)


def trial(agent: Agent) -> None:
    body = {"customer": agent.customer(), "items": [{"price": agent.monthly()}], "trial_end": 1900000000}
    agent.api.v1.subscriptions.create(body)


def subscription_that_is_changed(agent: Agent) -> None:
    """Counts 1000 now and 1000 for the renewal; then, for each change, what it invoices and what a period is then."""
    items = agent.api.v1.subscription_items
    price = agent.monthly()
    made = agent.api.v1.subscriptions.create({"customer": agent.customer(), "items": [{"price": price}]})
    first = made["items"].data[0].id
    at_once = {"proration_behavior": "always_invoice"}
    agent.api.v1.subscriptions.update(made.id, {"items": [{"id": first, "quantity": 3}], **at_once})
    added = items.create({"subscription": made.id, "price": price, **at_once})
    items.update(added.id, {"quantity": 2, **at_once})
    items.delete(added.id)


def schedule(agent: Agent) -> None:
    price = agent.monthly()
    phases = [
        {"items": [{"price": price}], "duration": {"interval": "month", "interval_count": 1}},
        {"items": [{"price": price, "quantity": 2}]},
    ]
    body = {"customer": agent.customer(), "start_date": "now", "phases": phases}
    agent.api.v1.subscription_schedules.create(body)


def usage(agent: Agent) -> None:
    billing = agent.api.v1.billing
    name = f"tokens-{agent.name}"
    meter = billing.meters.create(
        {"display_name": "Tokens", "event_name": name, "default_aggregation": {"formula": "sum"}}
    )
    metered = agent.price(None, unit_amount_decimal="2.5", recurring={
        "interval": "month", "usage_type": "metered", "meter": meter.id,
    })  # fmt: skip
    customer = agent.customer()
    payload = {"stripe_customer_id": customer, "value": "25"}
    billing.meter_events.create({"event_name": name, "payload": payload})
    agent.api.v1.subscriptions.create({"customer": customer, "items": [{"price": metered}]})
    billing.meter_events.create({"event_name": name, "payload": payload})
    agent.api.v2.billing.meter_events.create({"event_name": name, "payload": payload})


def checkout(agent: Agent) -> None:
    sessions = agent.api.v1.checkout.sessions
    rate = agent.api.v1.tax_rates.create({"display_name": "VAT", "inclusive": False, "percentage": 20})
    shipping = agent.api.v1.shipping_rates.create(
        {"display_name": "Post", "type": "fixed_amount", "fixed_amount": {"amount": 300, "currency": "usd"}}
    )
    inline = {"currency": "usd", "unit_amount": 450, "product_data": {"name": "Mug"}}
    body = {
        "mode": "payment",
        "success_url": "https://example.com",
        "line_items": [
            {"price": agent.price(), "quantity": 2, "tax_rates": [rate.id]},
            {"price_data": inline, "quantity": 1},
        ],
        "shipping_options": [{"shipping_rate": shipping.id}],
    }
    sessions.create(body)
    sessions.expire(sessions.create(body).id)


def payment_link(agent: Agent) -> None:
    links = agent.api.v1.payment_links
    made = links.create(
        {
            "line_items": [{"price": agent.price(), "quantity": 2}],
            "restrictions": {"completed_sessions": {"limit": 3}},
        }
    )
    links.update(made.id, {"active": False})


def quotes(agent: Agent) -> None:
    quotes = agent.api.v1.quotes
    customer = agent.customer()
    for price in (agent.price(), agent.monthly(500)):
        made = quotes.create({"customer": customer, "line_items": [{"price": price}]})
        quotes.finalize_quote(made.id)
        quotes.accept(made.id)


def tiered(agent: Agent) -> None:
    tiers = [{"up_to": 5, "unit_amount": 300}, {"up_to": "inf", "unit_amount": 200, "flat_amount": 100}]
    price = agent.price(None, billing_scheme="tiered", tiers_mode="graduated", tiers=tiers)
    body = {"mode": "payment", "success_url": "https://example.com", "line_items": [{"price": price, "quantity": 8}]}
    agent.api.v1.checkout.sessions.create(body)


BILLING_STORIES: tuple[tuple[Callable[[Agent], None], int], ...] = (
    (invoice_by_hand, 0),
    (invoice_that_advances, 0),
    (subscription, 2000),  # one renewal
    (subscription_that_is_cancelled, 0),
    (trial, 1000),  # one renewal
    (subscription_that_is_changed, 1000 + 3000 + 4000 + 5000),  # one renewal for each change, at its new size
    (schedule, 1000 + 2000),  # one period of every phase
    (usage, 0),
    (checkout, 0),
    (payment_link, 0),
    (quotes, 500),  # one renewal
    (tiered, 300),  # three units at the dearest tier in place of the cheaper one
)
"""Each story, and the margin in cents at its end."""
