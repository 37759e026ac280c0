"""The demo's agents: they pay, text or mail with the vendors' own SDKs, again and again, until somebody stops them.

They know nothing of runcap: their environment has a proxy, a CA bundle, and a key where the secret used to be.
Usage: demo_agent.py stripe|twilio|resend; prints one JSON object about how far it got and what stopped it.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

_TOO_OFTEN = 100
"""A demo that nobody stops is a failure, not an endless loop."""


def charge_cards() -> dict[str, Any]:
    """Charge $20 at Stripe, until refused."""
    import stripe

    stripe.api_key = os.environ["STRIPE_API_KEY"]
    stripe.ca_bundle_path = os.environ["SSL_CERT_FILE"]  # the SDK brings its own bundle and reads no variable

    def charge() -> None:
        stripe.PaymentIntent.create(amount=2000, currency="usd", payment_method="pm_card_visa", confirm=True)

    return _until_stopped(charge, stripe.StripeError, lambda error: error.json_body)


def send_texts() -> dict[str, Any]:
    """Send an SMS by Twilio, until refused."""
    from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped]
    from twilio.rest import Client  # type: ignore[import-untyped]

    client = Client(os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"])

    def send() -> None:
        client.messages.create(to="+14155552671", from_="+14155552672", body="Your invoice is due.")

    return _until_stopped(send, TwilioRestException, lambda error: {"code": error.code, "message": error.msg})


def send_mails() -> dict[str, Any]:
    """Send an email by Resend, until refused."""
    import resend
    from resend.exceptions import ResendError

    resend.api_key = os.environ["RESEND_API_KEY"]

    def send() -> None:
        resend.Emails.send(
            {"from": "agent@example.com", "to": ["a@example.com"], "subject": "Invoice", "text": "It is due."}
        )

    return _until_stopped(send, ResendError, lambda error: {"code": error.error_type, "message": str(error)})


def _until_stopped(act: Callable[[], None], refusal: type[Exception], describe: Callable[[Any], Any]) -> dict[str, Any]:
    for done in range(_TOO_OFTEN):
        try:
            act()
        except refusal as error:
            return {"done": done, "exception": type(error).__name__, "body": describe(error)}
    return {"done": _TOO_OFTEN, "exception": None, "body": None}


AGENTS = {"stripe": charge_cards, "twilio": send_texts, "resend": send_mails}

if __name__ == "__main__":
    print(json.dumps(AGENTS[sys.argv[1]]()))
