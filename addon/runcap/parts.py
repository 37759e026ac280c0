"""What is made from the configuration alone: the vendors as they are priced, and the way to them.

The proxy, the reconciler and ``runcap price`` make them here, so that a price is the same whoever asks for it.
"""

from runcap.config import Config
from runcap.forwarder import Forwarder
from runcap.rates.inforce import exchange_rates, twilio_prices
from runcap.upstream.pool import Route
from runcap.vendors import HOSTS, build
from runcap.vendors.base import Vendor


def make_vendors(config: Config) -> dict[str, Vendor]:
    """All vendors by host, with the rates and prices in force.

    Raises:
        ValueError, OSError: a table of rates or prices cannot be used.
    """
    return build(
        twilio_account_sid=config.vendors["twilio"].account_sid or None,
        rates=exchange_rates(config),
        twilio_prices=twilio_prices(config),
    )


def make_forwarder(config: Config) -> Forwarder:
    """The client to the vendors' configured upstreams; it has to be entered."""
    routes = {
        name: Route(HOSTS[name], vendor.upstream.host, vendor.upstream.port, vendor.upstream_ca, vendor.pins)
        for name, vendor in config.vendors.items()
    }
    return Forwarder(
        routes,
        timeout_seconds=config.proxy.vendor_timeout_seconds,
        connect_seconds=config.proxy.vendor_connect_seconds,
        first_byte_seconds=config.proxy.vendor_first_byte_seconds,
    )
