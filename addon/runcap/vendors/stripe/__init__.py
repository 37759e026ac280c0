"""Stripe: 386 writes in a catalogue, the ones that move money priced, the rest refused or free."""

from runcap.vendors.stripe.vendor import Stripe

__all__ = ["Stripe"]
