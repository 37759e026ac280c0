"""`runcap rates import` and `runcap rates sync`: from an operator's file, or the vendor's API, to a table."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

from runcap.forwarder import Forwarder
from runcap.fx import Rates
from runcap.rates import twilio_csv, twilio_table
from runcap.rates.folder import FX, TWILIO, Change, RatesFolder
from runcap.rates.twilio_api import HOST, ROUTE, PricingApi
from runcap.rates.twilio_csv import NOWHERE, Voice
from runcap.rates.twilio_table import Draft
from runcap.upstream.pool import Route

_SECONDS = 30.0
"""The longest that one question to the Pricing API may take."""


def read_twilio(folder: RatesFolder, kind: str, path: Path, today: dt.date) -> Change:
    """One of Twilio's lists, as the table that it makes of the one in force.

    Args:
        folder: where the table in force is.
        kind: one of `TWILIO_KINDS`.
        path: the CSV.
        today: for the source's date.

    Raises:
        ValueError: it is no such list; the message names the file.
        OSError: it cannot be read.
    """
    try:
        text = path.read_bytes().decode("utf-8")
        draft = Draft(_base(folder), kind, _WHAT[kind], f"{path.name}, imported {today}")
        counts, left_out = _TAKE[kind](draft, text)
        table = draft.finish()
    except ValueError as e:
        raise ValueError(f"{path}: {e}") from e
    return Change(TWILIO, table, f"import {kind}", path.name, counts, tuple(left_out))


def read_fx(path: Path) -> Change:
    """Exchange rates, from a file that `runcap.fx.Rates.from_file` reads.

    Raises:
        ValueError: it is no such file; the message names it and the field.
        OSError: it cannot be read.
    """
    rates = Rates.from_file(path)
    by_currency = {currency: _decimal(rates, currency) for currency in sorted(rates.usd_per_unit)}
    document = {"date": rates.date.isoformat(), "usd_per_unit": by_currency}
    return Change(FX, document, "import fx", path.name, {"currencies": len(by_currency)})


async def read_account(
    folder: RatesFolder,
    route: Route,
    signature: tuple[tuple[str, str], ...],
    rates: Rates,
    *,
    today: dt.date,
    only: frozenset[str] | None = None,
    pause_seconds: float = 1.0,
) -> Change:
    """What the account pays, as the table that it makes of the one in force.

    Args:
        folder: where the table in force is.
        route: to the Pricing API.
        signature: the headers with the real credential.
        rates: for an account that is billed in another currency.
        today: for the source's date.
        only: the countries to ask for; None: all.
        pause_seconds: before a question is put again.

    Raises:
        SyncError: the API did not give a whole table.
    """
    async with Forwarder({ROUTE: route}, timeout_seconds=_SECONDS) as forwarder:
        account = await PricingApi(forwarder, signature, rates, pause_seconds=pause_seconds).read(only)
    draft = Draft(_base(folder), "twilio-account", "the account's own prices", f"{HOST}, synced {today}")
    draft.sms(account.sms, only)
    draft.voice(account.voice, only)
    draft.numbers(account.numbers, only)
    counts = {
        "sms_countries": len(account.sms),
        **_voice_counts(account.voice),
        "number_countries": len(account.numbers),
    }
    return Change(TWILIO, draft.finish(), "sync twilio", HOST, counts)


type _Taken = tuple[dict[str, int], list[str]]
"""How much was taken, and what was left out."""


def _take_sms(draft: Draft, text: str) -> _Taken:
    read = twilio_csv.read_sms(text)
    draft.sms(read.prices)
    return {"sms_countries": len(read.prices)}, read.left_out


def _take_voice(draft: Draft, text: str) -> _Taken:
    read = twilio_csv.read_voice(text)
    draft.voice(read.prices)
    return _voice_counts(read.prices), read.left_out


def _take_channels(draft: Draft, text: str) -> _Taken:
    read = twilio_csv.read_channels(text)
    draft.channels(read.prices)
    return {"channels": len(read.prices), "channel_prices": sum(map(len, read.prices.values()))}, read.left_out


def _voice_counts(voice: Voice) -> dict[str, int]:
    return {
        "voice_countries": len(voice.dearest.keys() - {NOWHERE}),
        "voice_prefixes": sum(map(len, voice.by_prefix.values())),
    }


_TAKE: dict[str, Callable[[Draft, str], _Taken]] = {
    "twilio-sms": _take_sms,
    "twilio-voice": _take_voice,
    "twilio-channels": _take_channels,
}
_WHAT = {
    "twilio-sms": "Twilio's list of SMS prices, the dearest network of a country",
    "twilio-voice": "Twilio's list of prices for outbound calls, the dearest origin",
    "twilio-channels": "prices of messaging channels, by the operator",
}
TWILIO_KINDS = tuple(_TAKE)


def _base(folder: RatesFolder) -> twilio_table.Table:
    return folder.read(TWILIO) or twilio_table.bundled()


def _decimal(rates: Rates, currency: str) -> str:
    """The rate as the file had it: `Rates.from_file` reads decimals only, so it always is one."""
    rate = rates.usd_per_unit[currency]
    scaled = rate * 10**12
    assert scaled.denominator == 1
    return f"{scaled.numerator // 10**12}.{scaled.numerator % 10**12:012d}".rstrip("0").rstrip(".")
