"""Twilio's Pricing API: what this very account pays. Reads only; the real secret goes with each request.

The resources are those of Twilio's OpenAPI documents for Pricing v1 and v2 of 2026-04-14: ``/v1/Messaging/Countries``,
``/v2/Voice/Countries`` and ``/v1/PhoneNumbers/Countries``, each a paged list and a resource a country, where
``current_price`` is the account's own. Prices stand in the account's ``price_unit``.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from runcap.decision import Refused
from runcap.forwarder import Forwarder, NoAnswer, NotSent
from runcap.fx import Rates
from runcap.rates.amounts import price_micros
from runcap.rates.twilio_csv import Voice, add_prefixes
from runcap.vendors.base import Response, Upstream

HOST = "pricing.twilio.com"
ROUTE = "twilio-pricing"
"""The forwarder's name for it."""

_SIDE_BY_SIDE = 4
_ATTEMPTS = 4
_TRY_AGAIN = frozenset({429, 500, 502, 503, 504})
_MAX_PAGES = 50


class SyncError(ValueError):
    """The API did not give a whole table. The message says at which resource."""


@dataclass(slots=True)
class Account:
    """What an account pays."""

    sms: dict[str, int] = field(default_factory=dict)
    """Each segment, by country."""
    voice: Voice = field(default_factory=Voice)
    numbers: dict[str, dict[str, int]] = field(default_factory=dict)
    """Each month, by country and kind."""


class PricingApi:
    """Reads prices; a resource that fails for the moment is asked again a few times."""

    def __init__(
        self,
        forwarder: Forwarder,
        signature: tuple[tuple[str, str], ...],
        rates: Rates,
        *,
        pause_seconds: float = 1.0,
    ) -> None:
        """Prepare.

        Args:
            forwarder: has the route `ROUTE`.
            signature: the headers with the real credential.
            rates: for an account that is billed in another currency.
            pause_seconds: before the first repetition; each next one waits twice as long.
        """
        self._forwarder = forwarder
        self._signature = signature
        self._rates = rates
        self._pause_seconds = pause_seconds
        self._unlisted: set[str] = set()

    async def read(self, only: frozenset[str] | None = None) -> Account:
        """Read the prices of these countries, or of all.

        Raises:
            SyncError: anything was missing or could not be read: half a table is none.
        """
        account = Account()
        self._unlisted = set(only or ())
        await self._each("/v1/Messaging/Countries", only, lambda region, found: self._sms(account, region, found))
        await self._each("/v2/Voice/Countries", only, lambda region, found: self._voice(account, region, found))
        await self._each(
            "/v1/PhoneNumbers/Countries", only, lambda region, found: self._numbers(account, region, found)
        )
        if self._unlisted:
            raise SyncError(f"{HOST} lists no country {min(self._unlisted)}")
        return account

    async def _each(self, path: str, only: frozenset[str] | None, take: Callable[[str, dict[str, Any]], None]) -> None:
        regions = [region async for region in self._regions(path) if only is None or region in only]
        self._unlisted -= set(regions)
        waiting = asyncio.Semaphore(_SIDE_BY_SIDE)

        async def one(region: str) -> None:
            async with waiting:
                found = await self._get(f"{path}/{region}")
            if found.get("iso_country") != region:
                raise SyncError(f"{path}/{region} answers for another country")
            take(region, found)

        await _all(one(region) for region in regions)

    async def _regions(self, path: str) -> AsyncIterator[str]:
        query = "PageSize=300"
        for _ in range(_MAX_PAGES):
            page = await self._get(path, query)
            countries = page.get("countries")
            if not isinstance(countries, list):
                raise SyncError(f"{path} has no list of countries")
            for country in countries:
                region = country.get("iso_country") if isinstance(country, dict) else None
                if not isinstance(region, str) or not (len(region) == 2 and region.isascii() and region.isupper()):
                    raise SyncError(f"{path} lists something that is no country")
                yield region
            following = (page.get("meta") or {}).get("next_page_url")
            if not following:
                return
            query = urlsplit(str(following)).query
        raise SyncError(f"{path} has more than {_MAX_PAGES} pages")

    def _sms(self, account: Account, region: str, found: dict[str, Any]) -> None:
        prices = [
            self._micros(found, price)
            for network in found.get("outbound_sms_prices") or []
            for price in network.get("prices") or []
        ]
        if prices:
            account.sms[region] = max(prices)

    def _voice(self, account: Account, region: str, found: dict[str, Any]) -> None:
        for row in found.get("outbound_prefix_prices") or []:
            micros = self._micros(found, row)
            prefixes = [str(prefix) for prefix in row.get("destination_prefixes") or []]
            account.voice.dearest[region] = max(micros, account.voice.dearest.get(region, 0))
            add_prefixes(account.voice, region, prefixes, micros)

    def _numbers(self, account: Account, region: str, found: dict[str, Any]) -> None:
        for price in found.get("phone_number_prices") or []:
            kind = str(price.get("number_type")).lower().replace(" ", "_")
            by_kind = account.numbers.setdefault(region, {})
            by_kind[kind] = max(self._micros(found, price), by_kind.get(kind, 0))

    def _micros(self, found: dict[str, Any], price: dict[str, Any]) -> int:
        unit = str(found.get("price_unit")).upper()
        try:
            micros = price_micros(str(price.get("current_price")), unit, self._rates)
        except Refused as e:
            raise SyncError(f"{found.get('url')}: {e}") from e
        if micros is None:
            raise SyncError(f"{found.get('url')} has a price that cannot be read")
        return micros

    async def _get(self, path: str, query: str = "") -> dict[str, Any]:
        pause = self._pause_seconds
        for attempt in range(1, _ATTEMPTS + 1):
            problem: str
            try:
                response = await self._forwarder.send(ROUTE, Upstream("GET", path, query), self._signature)
            except (NotSent, NoAnswer) as error:
                problem = str(error)
            else:
                if response.status == 200:
                    return _decoded(path, response)
                problem = f"it answered {response.status}"
                if response.status not in _TRY_AGAIN:
                    raise SyncError(f"{HOST}{path}: {problem}")
            if attempt < _ATTEMPTS:
                await asyncio.sleep(pause)
                pause *= 2
        raise SyncError(f"{HOST}{path}: {problem}")


def _decoded(path: str, response: Response) -> dict[str, Any]:
    """The answer's object; its numbers stay text, so that no price ever is a float."""
    try:
        decoded = json.loads(response.body, parse_float=str, parse_int=str)
    except ValueError as e:
        raise SyncError(f"{HOST}{path}: it is no JSON") from e
    if not isinstance(decoded, dict):
        raise SyncError(f"{HOST}{path}: it is no object")
    return decoded


async def _all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all to their ends, so that every connection is put back whole; then the first failure counts."""
    for failure in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(failure, (SyncError, AttributeError, TypeError)):
            raise SyncError(str(failure)) from failure
        if failure is not None:
            raise failure
