"""Twilio, as the guard sees it: the 2010-04-01 API of one account.

Twilio has no idempotency keys. A message's price is null when it is made, so calls settle at the quote; what was
counted too much comes back when the price is known (`runcap.vendors.twilio.reconcile`).
"""

import base64
import binascii
import re
from collections.abc import Generator
from typing import Any

from msgspec.structs import replace

from runcap.decision import Code, Deny, refuse
from runcap.fx import Rates
from runcap.vendors import form
from runcap.vendors.base import Lookup, Operation, Outcome, Plan, Quote, Request, Response, Upstream
from runcap.vendors.catalogue import known
from runcap.vendors.form import Form
from runcap.vendors.headers import passed, require_media_type
from runcap.vendors.twilio import pricing
from runcap.vendors.twilio.calls import Call
from runcap.vendors.twilio.messages import Message
from runcap.vendors.twilio.prices import Prices, PriceSource
from runcap.vendors.twilio.reconcile import created_sid
from runcap.vendors.twilio.releases import Releases

_FORM = "application/x-www-form-urlencoded"
_SEGMENT = re.compile(r"[A-Za-z0-9]{1,64}", re.ASCII)
"""A SID, or a country's code; nothing that a server could take for a format or a version."""
_TOKEN = re.compile(r"[!-9;-~]{1,255}", re.ASCII)


class Twilio:
    """The `runcap.vendors.base.Vendor` for api.twilio.com."""

    name = "twilio"
    host = "api.twilio.com"
    sibling_domain = "twilio.com"

    def __init__(self, account_sid: str | None, prices: PriceSource | None = None, rates: Rates | None = None) -> None:
        """Load the catalogue and the prices, so that broken ones stop the start.

        Args:
            account_sid: the one account that runs may use (``AC…``); None: every call is refused.
            prices: gives the price table as it is now; None: always the bundled one.
            rates: what other currencies are in dollars, for payments; None: the bundled reference rates.
        """
        self._account_sid = account_sid
        self._prices = Prices.bundled if prices is None else prices
        self._prices()
        self._rates = Rates.bundled() if rates is None else rates
        self._known = known("twilio_catalogue.json")
        self._releases = Releases.bundled()

    def credential(self, request: Request) -> str:
        """The password of the Basic authorization; the user must be the account's SID."""
        account_sid = self._configured_sid()
        value = request.header("authorization")
        if value is None:
            raise refuse(Code.KEY_MISSING, "Send runcap's vault key where Twilio's auth token would be.")
        scheme, _, encoded = value.partition(" ")
        if scheme.lower() != "basic":
            raise refuse(Code.MALFORMED, "The Authorization header must be Basic: account SID and vault key.")
        user, token = _basic(encoded.strip(" "))
        if user != account_sid:
            raise refuse(
                Code.MALFORMED,
                "The user of the Basic authorization must be the account SID (AC…) that runcap is configured "
                "with; API keys (SK…) and other accounts are not possible.",
            )
        return token

    def plan(self, request: Request) -> Plan:
        """See `runcap.vendors.base.Vendor.plan`."""
        operation, path_params = self._known.find(request.method, request.path)
        self._check_path(operation, path_params)
        headers = passed(request)
        if request.method != "POST":
            read = self._read(request.query, frozenset())
            query = read.encode().decode("ascii")
            upstream = Upstream(request.method, request.path, query, headers)
            return Plan(operation, upstream, _params(read), path_params)
        if request.query:
            raise refuse(Code.MALFORMED, "A POST to Twilio must have its parameters in the body, not in the query.")
        if request.body:
            require_media_type(request, _FORM)
        read, detail = pricing.read(operation, self._read(request.body, self._known.repeatable), request.path)
        headers = (*headers, ("content-type", _FORM))
        upstream = Upstream("POST", request.path, "", headers, read.encode())
        sends = isinstance(detail, Message | Call)
        return Plan(operation, upstream, _params(read), path_params, detail=detail, sends=sends)

    def quote(self, plan: Plan) -> Generator[Lookup, dict[str, Any], Quote]:
        """See `runcap.vendors.base.Vendor.quote`."""
        return (yield from pricing.price(plan.detail, self._prices(), self._rates))

    def sign(
        self,
        plan: Plan,  # noqa: ARG002 (the protocol's; Twilio signs every call alike)
        secret: str,
        idempotency_key: str | None,  # noqa: ARG002 (Twilio has none)
    ) -> tuple[tuple[str, str], ...]:
        """See `runcap.vendors.base.Vendor.sign`."""
        return self.lookup_headers(secret)

    def lookup_headers(self, secret: str) -> tuple[tuple[str, str], ...]:
        """See `runcap.vendors.base.Vendor.lookup_headers`."""
        pair = base64.b64encode(f"{self._configured_sid()}:{secret}".encode()).decode("ascii")
        return (("authorization", f"Basic {pair}"),)

    def outcome(self, plan: Plan, quote: Quote, response: Response) -> Outcome:
        """See `runcap.vendors.base.Vendor.outcome`.

        What a call has made is known by its SID from then on: its price is asked for by it.
        """
        outcome = self._releases.outcome(response, quote, self._prices(), message=isinstance(plan.detail, Message))
        sid = created_sid(plan.operation, response)
        return outcome if sid is None else replace(outcome, vendor_request_id=sid)

    def error(self, deny: Deny) -> tuple[dict[str, Any], tuple[tuple[str, str], ...]]:
        """What Twilio's SDKs raise TwilioRestException (python) and RestException (node) from.

        ``code`` is runcap's own, a string; the SDKs hand it on as it is.
        """
        body = deny.fields("twilio")
        body["status"] = deny.status
        body["more_info"] = "runcap refused this call; Twilio was not asked."
        return body, ()

    def _configured_sid(self) -> str:
        if self._account_sid is None:
            raise refuse(
                Code.INTERNAL, "runcap has no account for twilio: its operator sets vendors.twilio.account_sid."
            )
        return self._account_sid

    def _check_path(self, operation: Operation, path_params: dict[str, str]) -> None:
        if any(_SEGMENT.fullmatch(value) is None for value in path_params.values()):
            raise refuse(Code.OPERATION_UNKNOWN, f"The path is not plainly {operation.name}.", attempted=operation.name)
        # Only ``/Accounts/{Sid}.json`` itself names the account in another way.
        sid = path_params.get("AccountSid")
        if sid is None and operation.template.endswith("/Accounts/{Sid}.json"):
            sid = path_params["Sid"]
        if sid is not None and sid != self._configured_sid():
            raise refuse(
                Code.OPERATION_NOT_ALLOWED,
                "The account in the path is not the one that runcap is configured with.",
                attempted=operation.name,
            )

    def _read(self, text: bytes | str, repeatable: frozenset[str]) -> Form:
        read = form.parse(text, repeatable)
        for key, _ in read.pairs:
            if "[" in key:
                raise refuse(Code.MALFORMED, f"The parameter {key[:60]!r} is not Twilio's: repeat the plain name.")
        return read


def _params(read: Form) -> dict[str, Any]:
    """The pairs by name; a name that is repeated has all its values."""
    params: dict[str, Any] = {}
    for key, _ in read.pairs:
        values = read.all(key)
        params[key] = values[0] if len(values) == 1 else values
    return params


def _basic(encoded: str) -> tuple[str, str]:
    """User and password, if they can be read in just one way."""
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode("ascii").partition(":")
    except (binascii.Error, ValueError) as e:
        raise refuse(Code.MALFORMED, "The Basic authorization is not Base64 of ASCII text.") from e
    if not colon or not user or not password:
        raise refuse(Code.MALFORMED, "The Basic authorization must be the account SID, a colon and the vault key.")
    if _TOKEN.fullmatch(password) is None:
        raise refuse(Code.MALFORMED, "The password of the Basic authorization is not one plain key.")
    return user, password
