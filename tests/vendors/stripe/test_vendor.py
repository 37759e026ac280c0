"""Stripe as the guard meets it."""

from runcap.vendors.base import Vendor
from tests.vendors.stripe.helpers import VENDOR, post


def test_stripe_is_a_vendor() -> None:
    """The class has all of the protocol."""
    vendor: Vendor = VENDOR

    assert ("stripe", "api.stripe.com", "stripe.com") == (vendor.name, vendor.host, vendor.sibling_domain)


def test_the_secret_is_signed_in_last() -> None:
    """The plan holds no credential; the idempotency key is the one that the guard made."""
    plan = post("/v1/payment_intents", b"amount=1&currency=usd", ("idempotency-key", "agents"))

    assert (("authorization", "Bearer sk"),) == VENDOR.sign(plan, "sk", None)
    assert (("authorization", "Bearer sk"), ("idempotency-key", "ours")) == VENDOR.sign(plan, "sk", "ours")
    assert {"authorization", "idempotency-key"}.isdisjoint(dict(plan.upstream.headers))
    assert ("authorization", "Bearer sk") == VENDOR.lookup_headers("sk")[0]
