"""Stripe: 386 writes in a catalogue: the ones that move or bind money are priced, the rest is free or refused."""

from runcap.vendors.stripe.vendor import Stripe

__all__ = ["Stripe"]
