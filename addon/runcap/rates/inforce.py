"""Which tables a configuration puts in force: the operator's where there are any, else those that come with runcap."""

from dataclasses import replace

from runcap.config import Config
from runcap.fx import Rates
from runcap.rates.folder import FX, TWILIO, RatesFolder
from runcap.rates.live import LivePrices


def exchange_rates(config: Config) -> Rates:
    """``fx.rates_file``, else what `runcap rates import fx` has stored, else the bundled rates; with ``fx``'s margin.

    A process reads them once: a call must settle at the rates that it was quoted at.

    Raises:
        ValueError: a file is not one of rates.
        OSError: it cannot be read.
    """
    stored = RatesFolder(config.home).path(FX)
    file = config.fx.rates_file or (stored if stored.exists() else None)
    rates = Rates.bundled() if file is None else Rates.from_file(file)
    return replace(rates, margin_permille=config.fx.margin_permille)


def twilio_prices(config: Config) -> LivePrices:
    """Twilio's prices, which change while a process runs if the operator's table does.

    Raises:
        ValueError, OSError: as `LivePrices` does.
    """
    return LivePrices(RatesFolder(config.home).path(TWILIO))
