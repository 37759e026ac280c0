"""Stripe's rules at its front door: credential, parameters, idempotency, routing, errors.

Kept to docs.stripe.com/api (errors, idempotent requests) and to what stripe-python 16 expects. Query
and body parameters are merged and the last duplicate wins, as in Stripe's own API: runcap must never let that matter.
"""

import base64
import json
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl

from tests.fakes.idempotency import IdempotencyStore
from tests.fakes.model import Answer, Seen
from tests.fakes.stripe_billing import Billing
from tests.fakes.stripe_links import Links
from tests.fakes.stripe_money import Money
from tests.fakes.stripe_objects import Book
from tests.fakes.stripe_prices import Prices
from tests.fakes.stripe_recurring import Recurring
from tests.fakes.stripe_shelf import Problem, Result, values


class FakeStripe:
    """One Stripe account."""

    name = "stripe"
    host = "api.stripe.com"
    request_id_header = "request-id"

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._idempotency = IdempotencyStore()
        self._account = Account()

    def admit(self, seen: Seen) -> Answer | None:
        """Check the secret, then the idempotency key."""
        if _token(seen) != self._secret:
            return _error(Problem(401, "Invalid API Key provided.", "invalid_request_error"), seen)
        key = seen.header("idempotency-key")
        if key is None or seen.method != "POST":
            return None
        return self._take_up(key, seen)

    def execute(self, seen: Seen) -> Answer:
        """Run the operation; whatever it refuses moves nothing."""
        params = read_params(seen)
        try:
            body, moved, unit = self._account.run(seen, params)
        except Problem as problem:
            return _error(problem, seen)
        return Answer(200, body, _headers(seen), moved=moved, unit=unit, params=params)

    def keep(self, seen: Seen, answer: Answer) -> None:
        """Keep what was executed, 402 and 500 included; a request that failed validation leaves its key unused."""
        key = seen.header("idempotency-key")
        if key is not None and seen.method == "POST" and not answer.replayed:
            valid = answer.status not in (400, 401, 403, 404, 409, 429)
            self._idempotency.finish(key, answer if valid else None)

    def failure(self) -> Any:
        """Stripe's 500."""
        return {"error": {"type": "api_error", "message": "An unexpected error occurred."}}

    def _take_up(self, key: str, seen: Seen) -> Answer | None:
        if len(key) > 255:
            return _error(Problem(400, "Idempotency keys may be at most 255 characters."), seen)
        fingerprint = (seen.method, seen.path, repr(read_params(seen)))
        match self._idempotency.begin(key, fingerprint):
            case "new":
                return None
            case "mismatch":
                message = (
                    "Keys for idempotent requests can only be used with the same parameters they were first used with."
                )
                return _error(Problem(400, message, "idempotency_error"), seen)
            case "busy":
                message = "There is currently another in-progress request using this Idempotent Key."
                return _error(Problem(409, message, "idempotency_error", code="idempotency_key_in_use"), seen)
            case stored:
                return Answer(
                    stored.status, stored.body, (*stored.headers, ("idempotent-replayed", "true")),
                    unit=stored.unit, replayed=True, params=stored.params,
                )  # fmt: skip


_BOOK_OPERATIONS = (
    ("POST", r"/v1/payment_intents", "create_intent"),
    ("GET", r"/v1/payment_intents/(pi_\w+)", "get_intent"),
    ("POST", r"/v1/payment_intents/(pi_\w+)", "update_intent"),
    ("POST", r"/v1/payment_intents/(pi_\w+)/confirm", "confirm_intent"),
    ("POST", r"/v1/payment_intents/(pi_\w+)/capture", "capture_intent"),
    ("POST", r"/v1/payment_intents/(pi_\w+)/cancel", "cancel_intent"),
    ("POST", r"/v1/payment_intents/(pi_\w+)/increment_authorization", "increment_intent"),
    ("POST", r"/v1/charges", "create_charge"),
    ("GET", r"/v1/charges/(ch_\w+)", "get_charge"),
    ("POST", r"/v1/charges/(ch_\w+)/capture", "capture_charge"),
    ("POST", r"/v1/refunds", "create_refund"),
    ("POST", r"/v1/transfers", "create_transfer"),
    ("POST", r"/v1/payouts", "create_payout"),
    ("POST", r"/v1/customers", "create_customer"),
    ("GET", r"/v1/customers", "list_customers"),
    ("GET", r"/v1/customers/(cus_\w+)", "get_customer"),
    ("GET", r"/v1/balance", "get_balance"),
)


class Account:
    """All that one account has, and what its API does."""

    def __init__(self) -> None:
        book = Book()
        prices = Prices(book)
        billing = Billing(book, prices)
        recurring = Recurring(book, prices, billing)
        links = Links(book, prices, billing, recurring)
        routes: list[tuple[str, str, Callable[..., Result]]] = [
            (method, path, getattr(book, name)) for method, path, name in _BOOK_OPERATIONS
        ]
        for part in (prices, Money(book), billing, recurring, links):
            routes += part.routes()
        self._routes = [(method, re.compile(path), handler) for method, path, handler in routes]

    def run(self, seen: Seen, params: dict[str, Any]) -> Result:
        """Run an operation: its JSON, how much it moved, and in which currency.

        Raises:
            Problem: it is not to be done, or there is no such operation.
        """
        for method, path, handler in self._routes:
            found = path.fullmatch(seen.path)
            if method == seen.method and found is not None:
                try:
                    return handler(*found.groups(), params)
                except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
                    raise Problem(400, f"Invalid or missing parameter: {error}", code="parameter_invalid") from error
        raise Problem(404, f"Unrecognized request URL ({seen.method}: {seen.path}).")


def read_params(seen: Seen) -> dict[str, Any]:
    """Merge query and form body, the last duplicate wins, brackets nest. v2 takes JSON."""
    if seen.path.startswith("/v2/") and seen.method == "POST":
        return _read_json(seen.body)
    pairs = parse_qsl(seen.query, keep_blank_values=True)
    if seen.header("content-type") is not None or seen.body:
        pairs += parse_qsl(seen.body.decode("utf-8", "replace"), keep_blank_values=True)
    return _nested(pairs)


def _read_json(body: bytes) -> dict[str, Any]:
    try:
        decoded = json.loads(body or b"{}")
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _nested(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for name, value in pairs:
        head, _, _ = name.partition("[")
        *parents, last = [head, *re.findall(r"\[([^\]]*)\]", name)]
        node = root
        for part in parents:
            child = node.get(part)
            if not isinstance(child, dict):
                child = node[part] = {}
            node = child
        # ``a[]`` appends; every other name is overwritten by its last duplicate.
        node[last or str(len(node))] = value
    return root


def _token(seen: Seen) -> str | None:
    scheme, _, rest = (seen.header("authorization") or "").partition(" ")
    if scheme.lower() == "bearer":
        return rest
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest).decode().partition(":")[0]
        except ValueError:
            return None
    return None


def _headers(seen: Seen) -> tuple[tuple[str, str], ...]:
    key = seen.header("idempotency-key")
    return (
        ("stripe-version", seen.header("stripe-version") or "2026-10-28"),
        *([("idempotency-key", key)] if key else []),
    )


def _error(problem: Problem, seen: Seen) -> Answer:
    error = {"type": problem.kind, "message": problem.message, **problem.details}
    if problem.code is not None:
        error["code"] = problem.code
    return Answer(problem.status, {"error": error}, _headers(seen), params=read_params(seen))


__all__ = ["Account", "FakeStripe", "read_params", "values"]
