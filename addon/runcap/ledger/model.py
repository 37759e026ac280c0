"""What goes into the ledger's scripts and comes out of them, as plain records.

The scripts' own headers say how each field travels; `runcap.ledger.ledger` is the only module that sends them.
"""

from typing import Any, Literal

import msgspec

from runcap.decision import CapHit
from runcap.ledger.policy import NO_POLICY, Policy
from runcap.vendors.base import Ending

Window = Literal["day", "month", "total"]
WINDOWS: tuple[Window, ...] = ("day", "month", "total")
"""Calendar day and month in UTC, by the ledger's clock; ``total`` never resets."""

Level = Literal["run", "fleet", "vendor"]


class Caps(msgspec.Struct, frozen=True):
    """Ceilings in micro-USD of one selector, by window; None: no cap."""

    day: int | None = None
    month: int | None = None
    total: int | None = None


class Run(msgspec.Struct, frozen=True):
    """One execution of an agent, as the ledger holds it. The vault key itself is never stored, only its SHA-256."""

    run_id: str
    """ULID."""
    label: str
    key_digest: str
    """SHA-256 of the vault key, hex."""
    caps: Caps
    vendors: tuple[str, ...]
    """Those it may use."""
    policy: Policy = NO_POLICY
    """What it may do beyond its caps."""
    created_at_ms: int = 0
    expires_at_ms: int | None = None
    revoked_at_ms: int | None = None
    frozen: bool = False


class Spend(msgspec.Struct, frozen=True):
    """What one selector has counted in one window."""

    held_micros: int
    spent_micros: int


class Ask(msgspec.Struct, frozen=True):
    """A reservation that is asked for: everything the reserve script needs, in one round trip."""

    reservation_id: str
    key_digest: str
    vendor: str
    operation: str
    micros: int
    """The quote; with `object_id` the object's total after this call."""
    deadline_ms: int
    """How long from now the reservation may stay open before the sweeper ends it as unknown."""
    row: dict[str, Any]
    """The audit fields known so far: vendor, method, path, operation, cost_micros, amount_minor, currency,
    idempotency_digest."""
    object_id: str | None = None
    needs_allow: bool = False
    """The operation is refused by default: only a run whose policy allows it may use it."""
    idempotency_digest: str | None = None
    """SHA-256 over vendor account, run (added by the script) and the vendor's idempotency key; None: no key."""
    fingerprint: str = ""
    """SHA-256 of the canonical request, to tell a retry from a different call under the same key."""
    account: str = ""
    """See `runcap.vendors.base.Plan.account`; empty: the secret's own."""
    country: str = ""
    """See `runcap.vendors.base.Quote.country`."""
    currency: str = ""
    """See `runcap.vendors.base.Quote.currency`."""
    refund: bool = False
    """It gives a customer's money back: a run's policy may say that this counts as 0."""
    send_digest: str = ""
    """SHA-256 of a canonical request that sends something to a person; empty if it does not, or if the vendor itself
    finds a repeated one by its idempotency key."""
    waits: bool = False
    """If a first call under the same idempotency key is under way, that is no refusal yet (`UnderWay`)."""


class UnderWay(Exception):
    """A first call under the same idempotency key has not ended. Nothing was held, and no audit row written."""


class Held(msgspec.Struct, frozen=True):
    """A reservation that was granted."""

    reservation_id: str
    run_id: str
    label: str
    held_micros: int
    """What it added to the run's own counters (0 for a free call, a retry, or an object already counted)."""
    spent_micros: int
    """The run's total, this reservation and all that is held included."""
    remaining_micros: int | None
    """What the tightest of all caps that apply still has; None: no cap applies."""
    ends_matter: bool = False
    """The run's next call may have to wait for this one's end: its policy bounds how many are under way."""


class End(msgspec.Struct, frozen=True):
    """How a reservation ends."""

    reservation_id: str
    ending: Ending
    micros: int | None = None
    """Actual cost (the object's total with `object_id`); None: as quoted. Ignored unless settled."""
    object_id: str | None = None
    final: bool = False
    """See `runcap.vendors.base.Outcome.final`."""
    row: dict[str, Any] = {}
    """The audit fields learnt since: status, vendor_request_id, duration_ms, overhead_us."""


class Ended(msgspec.Struct, frozen=True):
    """What the finish script did."""

    settled_micros: int
    """What the run's counters keep for this call; 0 if released."""
    spent_micros: int
    """The run's total after it, held included."""
    already: bool = False
    """The reservation had ended before (or never was): nothing changed."""


class CapSetting(msgspec.Struct, frozen=True):
    """One cap in force, for listings."""

    level: Level
    selector: str
    window: Window
    cap_micros: int
    spend: Spend


__all__ = [
    "WINDOWS",
    "Ask",
    "CapHit",
    "CapSetting",
    "Caps",
    "End",
    "Ended",
    "Held",
    "Level",
    "Policy",
    "Run",
    "Spend",
    "UnderWay",
    "Window",
]
