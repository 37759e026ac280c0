"""Stripe, as the guard sees it."""

from collections.abc import Generator
from typing import Any

from msgspec.structs import replace

from runcap.decision import Deny
from runcap.fx import Rates
from runcap.vendors.base import Lookup, Outcome, Plan, Quote, Request, Response
from runcap.vendors.stripe import catalogue, envelope, parsing
from runcap.vendors.stripe.lookups import Steps
from runcap.vendors.stripe.outcome import outcome
from runcap.vendors.stripe.parsing import ACCOUNT_HEADER
from runcap.vendors.stripe.pricing import Pricing

LOOKUP_VERSION = "2026-10-28.endive"
"""Lookups are pinned to the version whose objects the pricing was written for."""


class Stripe:
    """The `runcap.vendors.base.Vendor` for api.stripe.com, v1 and v2."""

    name = "stripe"
    host = "api.stripe.com"
    sibling_domain = "stripe.com"

    def __init__(self, rates: Rates) -> None:
        """Load the catalogue, so that a broken one stops the start.

        Args:
            rates: what other currencies are in dollars. A call is settled at the rates it was quoted at.
        """
        self._rates = rates
        self._pricing = Pricing(rates)
        catalogue.catalogue()

    def credential(self, request: Request) -> str:
        """See `runcap.vendors.base.Vendor.credential`."""
        return parsing.credential(request)

    def plan(self, request: Request) -> Plan:
        """See `runcap.vendors.base.Vendor.plan`."""
        operation, path_params = catalogue.find(request)
        return parsing.plan(request, operation, path_params)

    def quote(self, plan: Plan) -> Generator[Lookup, dict[str, Any], Quote]:
        """See `runcap.vendors.base.Vendor.quote`."""
        steps = self._pricing.quote(plan)
        return steps if plan.account is None else _on_account(steps, plan.account)

    def sign(
        self,
        plan: Plan,  # noqa: ARG002 (the protocol's; Stripe signs every call alike)
        secret: str,
        idempotency_key: str | None,
    ) -> tuple[tuple[str, str], ...]:
        """See `runcap.vendors.base.Vendor.sign`."""
        bearer = ("authorization", f"Bearer {secret}")
        return (bearer,) if idempotency_key is None else (bearer, ("idempotency-key", idempotency_key))

    def lookup_headers(self, secret: str) -> tuple[tuple[str, str], ...]:
        """See `runcap.vendors.base.Vendor.lookup_headers`."""
        return (("authorization", f"Bearer {secret}"), ("stripe-version", LOOKUP_VERSION))

    def outcome(self, plan: Plan, quote: Quote, response: Response) -> Outcome:
        """See `runcap.vendors.base.Vendor.outcome`."""
        return outcome(plan, quote, response, self._rates)

    def error(self, deny: Deny) -> tuple[dict[str, Any], tuple[tuple[str, str], ...]]:
        """See `runcap.vendors.base.Vendor.error`."""
        return envelope.error(deny)


def _on_account(steps: Steps, account: str) -> Steps:
    """The same pricing, reading the data of the account that the call acts on."""
    try:
        lookup = next(steps)
        while True:
            lookup = steps.send((yield replace(lookup, headers=((ACCOUNT_HEADER, account),))))
    except StopIteration as done:
        quote: Quote = done.value
        return quote
