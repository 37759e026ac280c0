"""What a price depends on, asked of the vendor: bounded in time, once for all who ask at the same moment.

An answer is kept only where the vendor's file says that it cannot change (`Lookup.immutable`). Two calls that ask the
same at once share one request; whoever asks later gets an answer of its own. So an answer is never older than the call
that it prices, but for what another call changes while it is under way, and each such change has its own price.
"""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Protocol

from runcap.decision import Code, refuse
from runcap.entrance.admission import audit_path
from runcap.forwarder import NoAnswer, NotSent
from runcap.vendors.base import Lookup, Response, Upstream

SECONDS = 15.0
"""The most that all lookups of one call may take together."""
CACHE_ENTRIES = 1_000
CACHE_SECONDS = 3_600.0

_FORM = (("content-type", "application/x-www-form-urlencoded"),)

type _Key = tuple[str, Lookup]
"""The vendor's name and the whole question: account headers, path, query, body. Never the credential."""


class Sender(Protocol):
    """What lookups ask of the forwarder (`runcap.forwarder.Forwarder`)."""

    async def send(self, vendor: str, upstream: Upstream, signature: tuple[tuple[str, str], ...]) -> Response:
        """Send one call; raises `NotSent` or `NoAnswer`."""


@dataclass(slots=True)
class Asking:
    """The lookups of one call."""

    vendor: str
    credential: tuple[tuple[str, str], ...]
    """The vendor's `lookup_headers`."""
    deadline: float
    """By the event loop's clock."""
    made: list[dict[str, Any]] = field(default_factory=list)
    """For the audit: ``{"path": …, "status": 200, "ms": 12}``; the status is None if there was no answer, and
    ``cached`` is true if nothing was sent."""
    seconds: float = 0.0
    """What they have taken so far."""


@dataclass(slots=True)
class _Flight:
    """A request under way, and how many wait for it."""

    task: asyncio.Task[Response]
    askers: int = 0


class Lookups:
    """Makes lookups. One for a worker."""

    def __init__(self, sender: Sender, *, timeout_seconds: float = SECONDS) -> None:
        """Make them by `sender`; `timeout_seconds` bounds all of one call."""
        self._sender = sender
        self._seconds = min(SECONDS, timeout_seconds)
        self._flights: dict[_Key, _Flight] = {}
        self._kept: OrderedDict[_Key, tuple[float, dict[str, Any]]] = OrderedDict()

    def begin(self, vendor: str, credential: tuple[tuple[str, str], ...]) -> Asking:
        """Start the clock for one call's lookups."""
        return Asking(vendor, credential, asyncio.get_running_loop().time() + self._seconds)

    async def look_up(self, asking: Asking, lookup: Lookup) -> dict[str, Any]:
        """Ask for one thing.

        Returns:
            The vendor's JSON object.

        Raises:
            Refused: ``unpriced``: there is no answer in time, or it is no 200 with a JSON object.
        """
        key = (asking.vendor, lookup)
        kept = self._from_cache(key)
        if kept is not None:
            asking.made.append({"path": audit_path(lookup.path), "status": 200, "ms": 0, "cached": True})
            return kept
        began = time.perf_counter()
        status: int | None = None
        try:
            async with asyncio.timeout_at(asking.deadline):
                response = await self._fly(key, asking.credential)
            status = response.status
        except (NotSent, NoAnswer, TimeoutError) as error:
            raise refuse(
                Code.UNPRICED,
                f"The price depends on {lookup.path}, and {asking.vendor} did not answer for it.",
            ) from error
        finally:
            seconds = time.perf_counter() - began
            asking.seconds += seconds
            asking.made.append({"path": audit_path(lookup.path), "status": status, "ms": round(seconds * 1000)})
        found = response.json()
        if status != 200 or not found:
            raise refuse(
                Code.UNPRICED,
                f"The price depends on {lookup.path}, and {asking.vendor} answered {status} for it.",
            )
        if lookup.immutable:
            self._keep(key, found)
        return found

    async def _fly(self, key: _Key, credential: tuple[tuple[str, str], ...]) -> Response:
        """Join the request that is under way for this, or make it; nobody's cancellation is another's."""
        flight = self._flights.get(key)
        if flight is None or flight.task.done():
            vendor, lookup = key
            sending = self._sender.send(vendor, as_upstream(lookup), (*credential, *lookup.headers))
            flight = self._flights[key] = _Flight(asyncio.create_task(sending))
        flight.askers += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.askers -= 1
            if (flight.task.done() or not flight.askers) and self._flights.get(key) is flight:
                del self._flights[key]
            if not flight.askers and not flight.task.done():
                flight.task.cancel()

    def _from_cache(self, key: _Key) -> dict[str, Any] | None:
        entry = self._kept.get(key)
        if entry is None:
            return None
        until, found = entry
        if time.monotonic() >= until:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return found

    def _keep(self, key: _Key, found: dict[str, Any]) -> None:
        self._kept[key] = (time.monotonic() + CACHE_SECONDS, found)
        self._kept.move_to_end(key)
        if len(self._kept) > CACHE_ENTRIES:
            self._kept.popitem(last=False)


def as_upstream(lookup: Lookup) -> Upstream:
    """What a lookup sends, without its credential."""
    if not lookup.body:
        return Upstream("GET", lookup.path, lookup.query)
    return Upstream("POST", lookup.path, lookup.query, _FORM, lookup.body)
