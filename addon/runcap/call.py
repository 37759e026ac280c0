"""One call on its way: what is known of it so far, and what that makes it for the ledger and for the audit."""

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Any, Self

from runcap.decision import Code, refuse
from runcap.entrance.admission import audit_path
from runcap.entrance.wire import Message
from runcap.ledger.model import Ask, End, Held
from runcap.lookups import Asking
from runcap.money import MAX_CALL_MICROS, usd_from_micros
from runcap.runs import key_digest, parse_vault_key
from runcap.vendors.base import Kind, Outcome, Plan, Quote, Request, Response, Vendor


@dataclass(slots=True)
class Call:
    """What is known of one call so far."""

    vendor: Vendor
    row: dict[str, Any]
    """Becomes its audit row."""
    started: float
    opened_by: str = ""
    """The digest of the vault key that opened the tunnel, if one had to."""
    digest: str | None = None
    """Of its own vault key."""
    vendor_seconds: float = 0.0
    """How long the vendor took for the call itself, or for a first one under the same idempotency key; its lookups have
    their own time."""
    asking: Asking | None = None
    reason: str = ""
    """Why its operation is refused by default, if it is."""
    recorded: bool = False
    """The ledger has written the audit row already, or will when the call's reservation ends."""
    reserved: bool = False

    @classmethod
    def begin(cls, vendor: Vendor, message: Message | None = None, opened_by: str = "") -> Self:
        """A call that has just come in; without a message it could not be read as one."""
        method, path = ("", "") if message is None else (message.method, audit_path(message.target))
        return cls(vendor, {"vendor": vendor.name, "method": method, "path": path}, time.perf_counter(), opened_by)

    def identify(self, request: Request) -> None:
        """Read whose call it is.

        Raises:
            Refused: ``key_missing``, ``key_unknown``, ``key_mismatch`` or ``malformed``.
        """
        key = parse_vault_key(self.vendor.credential(request))
        if key is None:
            raise refuse(
                Code.KEY_UNKNOWN,
                "The credential is no vault key of runcap: get one with `runcap keys issue` and put it where the "
                f"{self.vendor.name} secret would be.",
            )
        self.digest = key_digest(key)
        if self.opened_by and self.digest != self.opened_by:
            raise refuse(Code.KEY_MISMATCH, "The call has another vault key than the one that opened its tunnel.")

    def note_quote(self, plan: Plan, quote: Quote) -> None:
        """Put the price, and what it is of, into the row."""
        self.row |= {"cost_micros": quote.micros, "amount_minor": quote.amount_minor, "currency": quote.currency}
        self.row |= {name: fact for name, fact in (("country", quote.country), ("account", plan.account)) if fact}

    def ask(self, plan: Plan, quote: Quote, deadline_ms: int) -> Ask:
        """What the ledger is asked to hold; `deadline_ms` says how long it may stay open."""
        assert self.digest is not None
        upstream = plan.upstream
        idempotency_digest, fingerprint = None, ""
        if plan.idempotency_key is not None or plan.sends:
            fingerprint = sha256(upstream.method, upstream.path, upstream.query, upstream.body.decode("latin-1"))
        if plan.idempotency_key is not None:
            # The vendor keeps its keys for each account: the same key on another account is another call.
            idempotency_digest = sha256(self.vendor.name, plan.account or "", plan.idempotency_key)
            self.row["idempotency_digest"] = idempotency_digest
        return Ask(
            reservation_id=secrets.token_hex(16),
            key_digest=self.digest,
            vendor=self.vendor.name,
            operation=plan.operation.name,
            micros=quote.micros,
            deadline_ms=deadline_ms,
            row=self.row,
            object_id=quote.object_id,
            needs_allow=plan.operation.kind is Kind.DENIED,
            idempotency_digest=idempotency_digest,
            fingerprint=fingerprint,
            account=plan.account or "",
            country=quote.country or "",
            currency=quote.currency or "",
            refund=plan.is_refund,
            send_digest=fingerprint if plan.sends and idempotency_digest is None else "",
            waits=idempotency_digest is not None,
        )

    def end(self, held: Held, outcome: Outcome, response: Response) -> End:
        """How its reservation ends, now that the vendor has answered."""
        row = {"status": response.status, "vendor_request_id": outcome.vendor_request_id, **self.times()}
        return End(
            held.reservation_id,
            outcome.ending,
            micros=outcome.micros,
            object_id=outcome.object_id,
            final=outcome.final,
            row=row,
        )

    def times(self) -> dict[str, int]:
        """``duration_ms`` of the whole call, and ``overhead_us``: our own part of it, the vendor's left out."""
        elapsed = time.perf_counter() - self.started
        vendor_seconds = self.vendor_seconds + (self.asking.seconds if self.asking else 0.0)
        return {
            "duration_ms": round(elapsed * 1000),
            "overhead_us": round((elapsed - vendor_seconds) * 1_000_000),
        }


def check_quote(quote: Quote) -> Quote:
    """The quote, if a single call may cost that.

    Raises:
        Refused: ``unpriced``.
    """
    if not 0 <= quote.micros <= MAX_CALL_MICROS:
        raise refuse(
            Code.UNPRICED,
            f"The call costs {usd_from_micros(quote.micros)} USD; a single call may cost "
            f"{usd_from_micros(MAX_CALL_MICROS)} at the most.",
            requested_micros=quote.micros,
        )
    return quote


def sha256(*parts: str) -> str:
    """SHA-256 of parts that cannot run into each other, hex."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
