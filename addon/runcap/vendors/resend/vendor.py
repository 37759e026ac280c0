"""Resend, as the guard sees it."""

import json
import re
from collections.abc import Generator
from typing import Any

from runcap.decision import Code, Deny, refuse
from runcap.vendors import form, strict_json
from runcap.vendors.base import (
    FREE,
    Ending,
    Kind,
    Lookup,
    Operation,
    Outcome,
    Plan,
    Quote,
    Request,
    Response,
    Upstream,
)
from runcap.vendors.catalogue import data, known
from runcap.vendors.headers import passed, require_media_type
from runcap.vendors.resend.broadcasts import Broadcast, price_broadcast, read_new, read_send
from runcap.vendors.resend.emails import Emails, accepted_micros, price_emails, read_batch, read_email

_JSON = "application/json"
_TOKEN = re.compile(r"[A-Za-z0-9_.-]{1,255}", re.ASCII)
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,254}[\x21-\x7e])?", re.ASCII)
"""Resend takes up to 256 characters (its OpenAPI document v1.5.0, 2026-08-21)."""
_ID = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)

_NAMES = {
    Code.KEY_MISSING: "missing_api_key",
    Code.KEY_UNKNOWN: "invalid_api_key",
    Code.KEY_EXPIRED: "invalid_api_key",
    Code.KEY_REVOKED: "invalid_api_key",
    Code.IDEMPOTENCY_MISMATCH: "invalid_idempotent_request",
    Code.IDEMPOTENCY_IN_PROGRESS: "concurrent_idempotent_requests",
}
_NAMES_BY_STATUS = {403: "restricted_api_key", 413: "validation_error", 422: "validation_error"}
"""Resend's own error names. resend-python 2.52.0 chooses the class by HTTP status and name (its ``ERRORS`` map): 429
with a quota name is RateLimitError, 422 with validation_error ValidationError, 401 with missing_api_key
MissingApiKeyError; all others are plain ResendError."""


class Resend:
    """The `runcap.vendors.base.Vendor` for api.resend.com."""

    name = "resend"
    host = "api.resend.com"
    sibling_domain = "resend.com"

    def __init__(self) -> None:
        """Load the catalogue, so that a broken one stops the start."""
        self._known = known("resend_catalogue.json")
        self._released = frozenset(map(int, data("resend_releases.json")["statuses"]))

    def credential(self, request: Request) -> str:
        """The token of the Bearer authorization."""
        value = request.header("authorization")
        if value is None:
            raise refuse(Code.KEY_MISSING, "Send runcap's vault key where Resend's API key would be.")
        scheme, _, token = value.partition(" ")
        token = token.strip(" ")
        if scheme.lower() != "bearer" or _TOKEN.fullmatch(token) is None:
            raise refuse(Code.MALFORMED, "The Authorization header must be Bearer with one plain key.")
        return token

    def plan(self, request: Request) -> Plan:
        """See `runcap.vendors.base.Vendor.plan`."""
        operation, path_params = self._known.find(request.method, request.path)
        headers = passed(request)
        if request.method in {"GET", "DELETE"}:
            # resend-python sends an empty object with these; it means nothing, and is not passed on.
            if request.body not in {b"", b"{}"}:
                raise refuse(Code.MALFORMED, f"A {request.method} to Resend must not have a body.")
            read = form.parse(request.query, self._known.repeatable)
            query = read.encode().decode("ascii")
            params = {key: read.all(key) for key in dict(read.pairs)}
            return Plan(operation, Upstream(request.method, request.path, query, headers), params, path_params)
        if request.query:
            raise refuse(Code.MALFORMED, "A write to Resend must have its parameters in the body, not in the query.")
        decoded = _body(request)
        detail = _detail(operation, decoded, request.path)
        sends = isinstance(detail, Emails)
        if sends:
            headers = passed(request, "x-batch-validation")
        body = b""
        if request.body:
            body = json.dumps(decoded, separators=(",", ":"), allow_nan=False).encode("ascii")
            headers = (*headers, ("content-type", _JSON))
        return Plan(
            operation,
            Upstream(request.method, request.path, "", headers, body),
            decoded if isinstance(decoded, dict) else {"emails": decoded},
            path_params,
            _idempotency_key(request) if sends else None,
            detail=detail,
            sends=isinstance(detail, Broadcast) and detail.sends,
        )

    def quote(self, plan: Plan) -> Generator[Lookup, dict[str, Any], Quote]:
        """See `runcap.vendors.base.Vendor.quote`."""
        match plan.detail:
            case Emails():
                return price_emails(plan.detail)
            case Broadcast():
                return (yield from price_broadcast(plan.detail))
        return FREE

    def sign(
        self,
        plan: Plan,  # noqa: ARG002 (the protocol's; Resend signs every call alike)
        secret: str,
        idempotency_key: str | None,
    ) -> tuple[tuple[str, str], ...]:
        """See `runcap.vendors.base.Vendor.sign`."""
        bearer = self.lookup_headers(secret)
        return bearer if idempotency_key is None else (*bearer, ("idempotency-key", idempotency_key))

    def lookup_headers(self, secret: str) -> tuple[tuple[str, str], ...]:
        """See `runcap.vendors.base.Vendor.lookup_headers`."""
        return (("authorization", f"Bearer {secret}"),)

    def outcome(self, plan: Plan, quote: Quote, response: Response) -> Outcome:  # noqa: ARG002 (the answer tells all)
        """See `runcap.vendors.base.Vendor.outcome`.

        Which answers release is in ``data/resend_releases.json``.
        """
        if 200 <= response.status < 300:
            taken = accepted_micros(plan.detail, response.json()) if isinstance(plan.detail, Emails) else None
            return Outcome(Ending.SETTLED, micros=taken, vendor_request_id=_email_id(response))
        if response.status in self._released:
            return Outcome(Ending.RELEASED)
        return Outcome(Ending.UNKNOWN)

    def error(self, deny: Deny) -> tuple[dict[str, Any], tuple[tuple[str, str], ...]]:
        """What Resend's SDKs make their errors of: ``statusCode``, ``name`` and ``message``."""
        body = deny.fields("resend")
        body["statusCode"] = deny.status
        body["name"] = _error_name(deny)
        return body, ()


def _body(request: Request) -> Any:
    """The decoded JSON; an empty body is an empty object."""
    if not request.body:
        return {}
    require_media_type(request, _JSON)
    return strict_json.loads(request.body)


def _detail(operation: Operation, decoded: Any, path: str) -> Emails | Broadcast | None:
    match operation.pricer:
        case "email":
            return read_email(decoded)
        case "batch":
            return read_batch(decoded)
        case "broadcast":
            return read_new(decoded)
        case "broadcast_send":
            return read_send(decoded, path.removesuffix("/send"))
    if operation.kind is Kind.PRICED:
        raise AssertionError(f"the catalogue prices {operation.name} by {operation.pricer!r}, which does not exist")
    return None


def _idempotency_key(request: Request) -> str | None:
    value = request.header("idempotency-key")
    if value is not None and _IDEMPOTENCY_KEY.fullmatch(value) is None:
        raise refuse(Code.MALFORMED, "Idempotency-Key must be 1 to 256 printable ASCII characters.")
    return value


def _email_id(response: Response) -> str | None:
    """The id of the email that was made: Resend gives its requests none of their own."""
    value = response.json().get("id")
    return value if isinstance(value, str) and _ID.fullmatch(value) is not None else None


def _error_name(deny: Deny) -> str:
    if deny.code is Code.CAP_EXHAUSTED:
        by_day = deny.cap is not None and deny.cap.window == "day"
        return "daily_quota_exceeded" if by_day else "monthly_quota_exceeded"
    name = _NAMES.get(deny.code)
    if name is not None:
        return name
    return _NAMES_BY_STATUS.get(deny.status, "application_error")
