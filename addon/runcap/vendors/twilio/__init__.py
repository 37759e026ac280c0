"""Twilio: messages by segment and calls by minute are priced; what cannot be is refused, as is all that is unknown."""

from runcap.vendors.twilio.prices import Prices, PriceSource
from runcap.vendors.twilio.vendor import Twilio

__all__ = ["PriceSource", "Prices", "Twilio"]
