"""What a vendor is to runcap: one file that says where the credential sits, what a call costs, and how it ended.

Everything here takes data and returns data: no vendor file does I/O. A price that needs to know something of the
vendor first (the amount of a PaymentIntent, say) is a generator: it yields a `Lookup` and is sent the answer.
The guard runs the generator, so the same code prices a call in a test with canned answers.
"""

from collections.abc import Generator, Mapping
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from runcap.decision import Code, Deny, refuse

_decode = msgspec.json.Decoder().decode


class Request(msgspec.Struct, frozen=True):
    """One call as the wire layer read it, already known to be well-formed HTTP/1.1 for this vendor's host."""

    method: str
    path: str
    """Origin form without the query; printable ASCII, no empty, ``.`` or ``..`` segment, nothing percent-encoded
    but what `runcap.entrance.wire` allows."""
    query: str
    """The raw query, without ``?``; empty if there is none."""
    headers: tuple[tuple[str, str], ...]
    """Lower-case names and latin-1 values in the order of arrival, duplicates kept."""
    body: bytes
    gateway: bool = False
    """True if it came by the plain-HTTP gateway, where Stripe v1 may be sent JSON."""

    def header(self, name: str) -> str | None:
        """The one value of a header, or None.

        Raises:
            Refused: ``malformed`` if the header stands there twice: which one the vendor takes is anyone's guess.
        """
        values = [value for key, value in self.headers if key == name]
        if len(values) > 1:
            raise refuse(Code.MALFORMED, f"The header {name} is sent {len(values)} times; send it once.")
        return values[0] if values else None


class Kind(StrEnum):
    """What runcap does with an operation."""

    FREE = "free"
    """Costs nothing: forwarded, and audited at cost 0."""
    PRICED = "priced"
    """Priced before it is sent."""
    DENIED = "denied"
    """Known, and refused unless the run's policy allows that very operation (`runcap keys issue --allow`):
    mints a credential, moves payout details, or cannot be priced."""


class Operation(msgspec.Struct, frozen=True):
    """One vendor endpoint: a method and a path template."""

    method: str
    template: str
    """Such as ``/v1/payment_intents/{intent}/capture``."""
    kind: Kind
    reason: str = ""
    """Why it is denied, for the error message."""
    pricer: str = ""
    """Names the vendor's pricing function, for `Kind.PRICED`."""
    direction: str = ""
    """Which way its money goes, see `Plan.direction`."""

    @property
    def name(self) -> str:
        """``METHOD /path/{template}``, as in ``--only`` and in the audit's ``operation`` column."""
        return f"{self.method} {self.template}"


class Upstream(msgspec.Struct, frozen=True):
    """What will be forwarded, built anew from the model that was priced; the credential is not in it yet."""

    method: str
    path: str
    query: str = ""
    """Encoded, without ``?``."""
    headers: tuple[tuple[str, str], ...] = ()
    """From the vendor's allow-list. Never Host, Authorization, Content-Length or the idempotency key."""
    body: bytes = b""


class Plan(msgspec.Struct, frozen=True):
    """A call that has been parsed: which operation, the canonical model, and what would be forwarded."""

    operation: Operation
    upstream: Upstream
    params: Mapping[str, Any] = {}
    """The canonical model of query or body that the price is computed from, and the body is built from."""
    path_params: Mapping[str, str] = {}
    """What stands in the template's braces."""
    idempotency_key: str | None = None
    """The vendor's idempotency key as the agent sent it; None if it sent none or the vendor has none here."""
    detail: Any = None
    """What else the vendor's own pricing and outcome want to keep."""
    account: str | None = None
    """The account that the call acts on, where it is not the secret's own (Stripe-Account): a run may use it only if
    its policy lists it."""
    direction: str = ""
    """Which way the money goes: ``charge`` (a customer is charged now), ``out`` (it leaves the account: refund,
    transfer, payout), ``in`` (it is pulled into the account from a bank or a connected account), ``armed`` (it binds
    somebody later: invoice, subscription, payment link), or empty if none does or the vendor does not tell."""
    sends: bool = False
    """It sends something to a person, and the vendor has no idempotency key that would tell a retry: a run's policy
    may have the same again refused."""

    @property
    def is_refund(self) -> bool:
        """Whether it gives a customer's money back: a run's policy may leave that uncounted, other ways out never."""
        return self.direction == "out" and "/refund" in self.operation.template


class Lookup(msgspec.Struct, frozen=True):
    """A read with the real secret, to learn what a call costs. The answer is the decoded JSON object."""

    path: str
    query: str = ""
    body: bytes = b""
    """Not empty: the read is a POST of this form, such as Stripe's preview of an invoice, which changes nothing."""
    headers: tuple[tuple[str, str], ...] = ()
    """Go with the vendor's own `Vendor.lookup_headers`: whose data is read (Stripe-Account)."""
    immutable: bool = False
    """What the price takes from the answer can never change: an answer may be used again."""


class Quote(msgspec.Struct, frozen=True):
    """The most that a call can cost, in micro-USD, computed before it is sent."""

    micros: int
    amount_minor: int | None = None
    """In the vendor's minor unit of `currency`; for emails and messages the number of recipients or segments."""
    currency: str | None = None
    """Upper-case ISO 4217; None where the vendor bills in USD by its price list."""
    object_id: str | None = None
    """The vendor's object whose life this amount belongs to (a PaymentIntent, a Charge). `micros` is then the
    object's total after this call, and the ledger holds only what it has not counted for the object yet."""
    country: str | None = None
    """ISO 3166-1 alpha-2 of what the call reaches, upper-case; None if it reaches no country."""


FREE = Quote(0)


class Ending(StrEnum):
    """How a forwarded call ended for the ledger."""

    SETTLED = "settled"
    RELEASED = "released"
    UNKNOWN = "unknown"


class Outcome(msgspec.Struct, frozen=True):
    """What a vendor's answer means for the ledger."""

    ending: Ending
    micros: int | None = None
    """The actual cost; None: the quote. With `object_id`: the object's total."""
    object_id: str | None = None
    """Remember what was counted under this id (it may be known from the answer only)."""
    final: bool = False
    """The object's amount can no longer change: what was counted beyond `micros` is given back. Only ever set when
    the vendor says that the object has reached an end state."""
    vendor_request_id: str | None = None


class Response(msgspec.Struct, frozen=True):
    """The vendor's whole answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    """Lower-case names."""
    body: bytes
    """Decoded if it came compressed."""

    def header(self, name: str) -> str | None:
        """The first value of a header, or None."""
        return next((value for key, value in self.headers if key == name), None)

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; empty if it is anything else."""
        try:
            decoded = _decode(self.body)
        except (ValueError, RecursionError):
            return {}
        return decoded if isinstance(decoded, dict) else {}


class Vendor(Protocol):
    """One vendor. Add one by writing this protocol in a file of its own and naming it in `runcap.vendors`."""

    name: str
    """``stripe``; also the key below ``[vendors]`` in runcap.toml and the gateway's path prefix."""
    host: str
    """``api.stripe.com``: the only host, at port 443, that it answers for."""
    sibling_domain: str
    """``stripe.com``: other hosts below it are refused, not tunnelled: they would take the real secret's work."""

    def credential(self, request: Request) -> str:
        """The token that the agent sent in place of the secret, from its one Authorization header.

        Raises:
            Refused: ``key_missing`` if there is none, ``malformed`` if it cannot be read in just one way.
        """

    def plan(self, request: Request) -> Plan:
        """Find the operation and parse the call strictly into the model that is priced and forwarded.

        A `Kind.DENIED` operation is planned like any other, as far as it can be: the ledger decides whether the
        run's policy allows it.

        Raises:
            Refused: ``operation_unknown``, ``malformed`` or ``unpriced``.
        """

    def quote(self, plan: Plan) -> Generator[Lookup, dict[str, Any], Quote]:
        """Price a plan; yields a `Lookup` for each thing it must know from the vendor and is sent the JSON.

        Raises:
            Refused: ``unpriced`` or ``malformed``, if the most it can cost is not certain.
        """

    def sign(self, plan: Plan, secret: str, idempotency_key: str | None) -> tuple[tuple[str, str], ...]:
        """The headers to add last: the real credential, and the idempotency key that goes upstream."""

    def lookup_headers(self, secret: str) -> tuple[tuple[str, str], ...]:
        """The headers of a `Lookup`."""

    def outcome(self, plan: Plan, quote: Quote, response: Response) -> Outcome:
        """What the vendor's final answer means. Pure; never raises: what it cannot read is `Ending.UNKNOWN`."""

    def error(self, deny: Deny) -> tuple[dict[str, Any], tuple[tuple[str, str], ...]]:
        """The JSON body and the extra headers of a refusal.

        The body has runcap's fields at the top level, and what this vendor's SDK needs to raise its own error.
        """
