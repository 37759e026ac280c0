"""Charges with the Stripe SDK as its documentation shows it."""

import json
import os

import stripe

stripe.api_key = os.environ["STRIPE_API_KEY"]
print(stripe.PaymentIntent.create(amount=2000, currency="usd", payment_method="pm_card_visa", confirm=True).status)  # noqa: T201
try:
    stripe.PaymentIntent.create(amount=9000, currency="usd", payment_method="pm_card_visa", confirm=True)
except stripe.RateLimitError as error:
    print(json.dumps(error.json_body))  # noqa: T201
