"""An agent that charges with the unmodified Stripe SDK until it has had enough or is refused; prints JSON lines."""

import json
import os
import sys

import stripe

stripe.api_key = os.environ["STRIPE_API_KEY"]
# The one thing that the SDK does not take from the environment: it brings a CA bundle of its own.
stripe.ca_bundle_path = os.environ["SSL_CERT_FILE"]

cents, times = int(sys.argv[1]), int(sys.argv[2])
for _ in range(times):
    try:
        intent = stripe.PaymentIntent.create(amount=cents, currency="usd", payment_method="pm_card_visa", confirm=True)
    except stripe.StripeError as error:
        print(json.dumps({  # noqa: T201 (its report)
            "error": type(error).__name__, "status": error.http_status, "code": error.error and error.error.code,
            "message": str(error), "json_body": error.json_body,
        }), flush=True)  # fmt: skip
        break
    print(json.dumps({"ok": intent.id, "headers": dict(intent.last_response.headers)}), flush=True)  # type: ignore[union-attr] # noqa: T201
