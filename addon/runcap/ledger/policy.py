"""What a run may do beyond its caps: one JSON document for each run, which the scripts read in every reserve.

A rule is one line in each of three places: a field here, an option of the same name in `runcap.cli._options`, and
its check in ``scripts/policy.lua`` or ``scripts/reserve.lua``. Nothing else names the rules one by one.
"""

import re
from typing import Any

import msgspec

from runcap.money import MAX_CALL_MICROS, usd_from_micros

MAX_DEDUPE_MS = 24 * 3_600_000
"""A day: as long as vendors that know idempotency keys keep those."""

MAX_CALLS = 1_000_000
"""More at once or in a minute than one ledger decides."""

_ACCOUNT = re.compile(r"acct_[A-Za-z0-9]{1,64}", re.ASCII)
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


class Policy(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The rules of one run. What is left out of the document is not restricted."""

    only: tuple[str, ...] = ()
    """If not empty, the only operations it may use, each as ``METHOD /path/{template}``."""
    allow: tuple[str, ...] = ()
    """Operations that are refused by default and that this run may use all the same."""
    stripe_accounts: tuple[str, ...] = ()
    """Connected accounts (``acct_…``) that it may act on; a call that names another is refused, and with none here
    every one that names any."""
    max_call_micros: int | None = None
    """The most that one call may cost."""
    count_refunds: bool = True
    """False: refunds count as 0. All else that leaves the account (transfers, payouts) counts as ever."""
    countries: tuple[str, ...] = ()
    """If not empty, the only countries (ISO 3166-1 alpha-2, upper-case) that Twilio may reach for it."""
    currencies: tuple[str, ...] = ()
    """If not empty, the only currencies (ISO 4217, upper-case) in which Stripe may move money for it."""
    dedupe_ms: int | None = None
    """Refuse a send that is the same as one not longer ago than this, unless that one certainly was not sent."""
    max_concurrency: int | None = None
    """How many calls may be under way at once; one whose proxy died is under way until it is swept."""
    max_calls_per_minute: int | None = None
    """How many calls, free ones too, may begin in a minute of the ledger's clock."""

    def document(self) -> str:
        """The JSON that the ledger keeps; ``{}`` if nothing is restricted."""
        return msgspec.json.encode(self).decode()

    def fields(self) -> dict[str, Any]:
        """All rules by name, those that restrict nothing too, amounts in USD: what people and scripts are shown."""
        return dict(_shown(name, getattr(self, name)) for name in self.__struct_fields__)

    def check(self) -> None:
        """Check what a script relies on.

        Raises:
            ValueError: with a sentence, for a rule that could never be met or not be stored.
        """
        for operation in (*self.only, *self.allow):
            if not operation or not operation.isprintable() or not operation.isascii():
                raise ValueError(f"{operation!r} is no operation: it has to be printable ASCII")
        for what, pattern, items in (
            ("connected account: write it like acct_1OaPXq2eZvKYlo2C", _ACCOUNT, self.stripe_accounts),
            ("country: write it like US", _COUNTRY, self.countries),
            ("currency: write it like USD", _CURRENCY, self.currencies),
        ):
            for item in items:
                if pattern.fullmatch(item) is None:
                    raise ValueError(f"{item!r} is no {what}")
        if self.max_call_micros is not None and not 0 <= self.max_call_micros <= MAX_CALL_MICROS:
            raise ValueError(f"a call may cost up to {usd_from_micros(MAX_CALL_MICROS)} USD in any case")
        if self.dedupe_ms is not None and not 0 < self.dedupe_ms <= MAX_DEDUPE_MS:
            raise ValueError("sends can be told apart for a day at the most")
        for number in (self.max_concurrency, self.max_calls_per_minute):
            if number is not None and not 1 <= number <= MAX_CALLS:
                raise ValueError(f"a run may be limited to 1 to {MAX_CALLS} calls")


def _shown(name: str, rule: Any) -> tuple[str, Any]:
    if name.endswith("_micros"):
        return name.removesuffix("_micros") + "_usd", None if rule is None else usd_from_micros(rule)
    return name, list(rule) if isinstance(rule, tuple) else rule


NO_POLICY = Policy()


def read_policy(document: str) -> Policy:
    """Read a stored document.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return msgspec.json.decode(document, type=Policy)
