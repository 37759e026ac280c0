"""A tool for an agent, as a plain function: it charges a customer, and gives a refusal back as something to plan with.

Nothing in it knows runcap: the environment that `runcap exec` or `runcap env` makes is enough. An exception would end
many agents' loops; a refusal that says what is left lets them choose something cheaper.
"""

import os
from typing import Any

import stripe


def charge_customer(amount_cents: int, customer: str, currency: str = "usd") -> dict[str, Any]:
    """Charge a customer's card.

    Args:
        amount_cents: how much, in the currency's minor unit.
        customer: the Stripe customer, ``cus_…``.
        currency: ISO code, lower case.

    Returns:
        ``{"status", "id"}``, or ``{"refused", "message", "remaining_usd"}`` if it may not be spent.
    """
    client = stripe.StripeClient(os.environ["STRIPE_API_KEY"])
    try:
        intent = client.v1.payment_intents.create(
            {"amount": amount_cents, "currency": currency, "customer": customer, "payment_method": "pm_card_visa",
             "confirm": True}
        )  # fmt: skip
    except stripe.StripeError as error:
        body = error.json_body if isinstance(error.json_body, dict) else {}
        if "run_id" not in body:  # Stripe's own error, not a refusal of runcap's
            raise
        return {"refused": body["code"], "message": body["message"], "remaining_usd": body.get("remaining_usd")}
    return {"status": intent.status, "id": intent.id}
