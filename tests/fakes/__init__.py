"""Stand-ins for Stripe, Twilio and Resend: real HTTPS servers that keep to the vendors' rules and keep a journal.

They are what tests, demo and benchmark let runcap talk to. Each reads a request in its vendor's own way, so that
what it says was charged is a second opinion, independent of how runcap priced the call.
"""

from tests.fakes.journal import Entry, Journal
from tests.fakes.model import Fault
from tests.fakes.vendors import FakeVendors

__all__ = ["Entry", "FakeVendors", "Fault", "Journal"]
