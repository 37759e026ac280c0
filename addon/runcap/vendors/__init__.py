"""The vendors that runcap knows: one explicit list, in the order in which people see them.

Importing this is cheap, since the command line needs no more than the names: a vendor's code and its data load
in `build`.
"""

from typing import TYPE_CHECKING

from runcap.hosts import KNOWN_VENDORS

if TYPE_CHECKING:
    from runcap.fx import Rates
    from runcap.vendors.base import Vendor
    from runcap.vendors.twilio import PriceSource

NAMES = ("stripe", "twilio", "resend")

HOSTS: dict[str, str] = {name: KNOWN_VENDORS[name].host for name in NAMES}


def build(
    *,
    twilio_account_sid: str | None,
    rates: "Rates | None" = None,
    twilio_prices: "PriceSource | None" = None,
) -> "dict[str, Vendor]":
    """Make all vendors, by host.

    Args:
        twilio_account_sid: the one Twilio account that runs may use; without it every Twilio call is refused.
        rates: what other currencies are in dollars; None: the bundled reference rates.
        twilio_prices: gives Twilio's price table as it is now; None: always the bundled one.
    """
    from runcap.fx import Rates
    from runcap.vendors.resend import Resend
    from runcap.vendors.stripe import Stripe
    from runcap.vendors.twilio import Twilio

    rates = Rates.bundled() if rates is None else rates
    vendors: tuple[Vendor, ...] = (
        Stripe(rates),
        Twilio(twilio_account_sid, twilio_prices, rates),
        Resend(),
    )
    return {vendor.host: vendor for vendor in vendors}
