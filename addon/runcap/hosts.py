"""The vendors by name: host and usual secret. The one list that configuration, CA and command line share.

It stands apart from `runcap.vendors` so that a command like ``runcap keys issue`` need not load the price
tables.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownVendor:
    """What is known of a vendor before any of its code is loaded."""

    host: str
    """The only host, at port 443, that it answers for; our root may sign for these names and no others."""
    secret: str
    """The default of ``vendors.NAME.secret``."""


KNOWN_VENDORS: dict[str, KnownVendor] = {
    "stripe": KnownVendor("api.stripe.com", "env:STRIPE_SECRET_KEY"),
    "twilio": KnownVendor("api.twilio.com", "env:TWILIO_AUTH_TOKEN"),
    "resend": KnownVendor("api.resend.com", "env:RESEND_API_KEY"),
}
