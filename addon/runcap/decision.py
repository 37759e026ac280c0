"""What runcap answers in the vendor's place: every reason code once, with its HTTP status.

A refusal is a frozen `Deny` with a reason, never a bare bool. It is raised as `Refused` by whatever finds it
and becomes HTTP in one place only, by the vendor's own error envelope (`runcap.vendors.base.Vendor.error`).
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from runcap.money import usd_from_micros


class Code(StrEnum):
    """Why a call was not forwarded."""

    CAP_EXHAUSTED = "cap_exhausted"
    KEY_MISSING = "key_missing"
    KEY_UNKNOWN = "key_unknown"
    KEY_EXPIRED = "key_expired"
    KEY_REVOKED = "key_revoked"
    KEY_MISMATCH = "key_mismatch"
    PROXY_AUTH_REQUIRED = "proxy_auth_required"
    VENDOR_NOT_ALLOWED = "vendor_not_allowed"
    OPERATION_NOT_ALLOWED = "operation_not_allowed"
    OPERATION_UNKNOWN = "operation_unknown"
    FROZEN = "frozen"
    HOST_DENIED = "host_denied"
    UNPRICED = "unpriced"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    IDEMPOTENCY_IN_PROGRESS = "idempotency_in_progress"
    DUPLICATE = "duplicate"
    RATE_LIMITED = "rate_limited"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_UNKNOWN = "upstream_unknown"
    LEDGER_UNAVAILABLE = "ledger_unavailable"
    LEDGER_UNTRUSTED = "ledger_untrusted"
    AUDIT_UNAVAILABLE = "audit_unavailable"
    OVERLOADED = "overloaded"
    INTERNAL = "internal"


STATUS: dict[Code, int] = {
    Code.CAP_EXHAUSTED: 429,
    Code.KEY_MISSING: 401,
    Code.KEY_UNKNOWN: 401,
    Code.KEY_EXPIRED: 401,
    Code.KEY_REVOKED: 401,
    Code.KEY_MISMATCH: 401,
    Code.PROXY_AUTH_REQUIRED: 407,
    Code.VENDOR_NOT_ALLOWED: 403,
    Code.OPERATION_NOT_ALLOWED: 403,
    Code.OPERATION_UNKNOWN: 403,
    Code.FROZEN: 403,
    Code.HOST_DENIED: 403,
    Code.UNPRICED: 422,
    Code.MALFORMED: 422,
    Code.TOO_LARGE: 413,
    Code.TOO_SLOW: 408,
    Code.IDEMPOTENCY_MISMATCH: 409,
    Code.IDEMPOTENCY_IN_PROGRESS: 409,
    Code.DUPLICATE: 409,
    Code.RATE_LIMITED: 429,
    Code.UPSTREAM_UNREACHABLE: 502,
    Code.UPSTREAM_UNKNOWN: 504,
    Code.LEDGER_UNAVAILABLE: 503,
    Code.LEDGER_UNTRUSTED: 503,
    Code.AUDIT_UNAVAILABLE: 503,
    Code.OVERLOADED: 503,
    Code.INTERNAL: 503,
}

POLICY_CODES = frozenset(
    {
        Code.CAP_EXHAUSTED,
        Code.VENDOR_NOT_ALLOWED,
        Code.OPERATION_NOT_ALLOWED,
        Code.FROZEN,
        Code.DUPLICATE,
        Code.RATE_LIMITED,
    }
)
"""Refusals by a rule that somebody set: the audit's ``decision`` says "blocked" for these, "refused" for the rest."""


@dataclass(frozen=True, slots=True)
class CapHit:
    """The cap that a call would have passed."""

    level: str
    """``run``, ``fleet`` or ``vendor``."""
    selector: str
    """The run's id, the fleet's label prefix, or the vendor's name."""
    window: str
    """``day``, ``month`` or ``total``."""
    cap_micros: int
    spent_micros: int
    """What the cap's window has counted so far, held amounts included."""
    resets_at: str | None
    """UTC, ISO 8601 with ``Z``; ``None`` for ``total``."""


@dataclass(frozen=True, slots=True)
class RuleHit:
    """The rule of a run's policy that a call is against."""

    rule: str
    """``account``, ``country``, ``currency``, ``max_call_usd``, ``max_concurrency`` or ``max_calls_per_minute``."""
    attempted: str
    """What the call has for it; empty if the call does not say."""
    allowed: tuple[str, ...]
    """What would do; none if nothing does."""


@dataclass(frozen=True, slots=True)
class Deny:
    """A refusal, with all that its message and its audit row need."""

    code: Code
    message: str
    """One sentence for the agent's developer: what is wrong and what to do."""
    run_id: str | None = None
    label: str | None = None
    requested_micros: int | None = None
    cap: CapHit | None = None
    allowed_operations: tuple[str, ...] | None = None
    attempted: str | None = None
    rule: RuleHit | None = None

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return STATUS[self.code]

    @property
    def decision(self) -> str:
        """The audit's word for it: ``blocked`` by a rule of the operator, or ``refused``."""
        return "blocked" if self.code in POLICY_CODES else "refused"

    def fields(self, vendor: str | None) -> dict[str, Any]:
        """runcap's own top-level fields of the JSON answer (the contract's names)."""
        body: dict[str, Any] = {
            "code": str(self.code),
            "message": self.message,
            "run_id": self.run_id,
            "label": self.label,
            "vendor": vendor,
        }
        if self.requested_micros is not None:
            body["requested_usd"] = usd_from_micros(self.requested_micros)
        if self.cap is not None:
            body["spent_usd"] = usd_from_micros(self.cap.spent_micros)
            body["cap_usd"] = usd_from_micros(self.cap.cap_micros)
            body["remaining_usd"] = usd_from_micros(max(0, self.cap.cap_micros - self.cap.spent_micros))
            body["cap"] = {
                "level": self.cap.level,
                "selector": self.cap.selector,
                "window": self.cap.window,
                "resets_at": self.cap.resets_at,
            }
        if self.allowed_operations is not None:
            body["allowed_operations"] = list(self.allowed_operations)
        if self.attempted is not None:
            body["attempted"] = self.attempted
        if self.rule is not None:
            body["policy"] = {
                "rule": self.rule.rule,
                "attempted": self.rule.attempted,
                "allowed": list(self.rule.allowed),
            }
        return body


class Refused(Exception):
    """Raised on the way of a call where it is refused."""

    def __init__(self, deny: Deny) -> None:
        super().__init__(deny.message)
        self.deny = deny


def refuse(code: Code, message: str, **details: Any) -> Refused:
    """Make the exception for a refusal, to be raised where it is found."""
    return Refused(Deny(code, message, **details))


def at_run(deny: Deny, run_id: str | None, label: str | None) -> Deny:
    """The same refusal, saying whose call it was."""
    return replace(deny, run_id=run_id, label=label)
