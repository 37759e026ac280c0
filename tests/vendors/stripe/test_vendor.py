"""Stripe as the guard meets it."""

from runcap.vendors.base import Lookup, Vendor
from tests.vendors.stripe.helpers import VENDOR, intent, post, priced


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


def test_lookups_read_the_account_that_the_call_acts_on() -> None:
    """The price of a call on a connected account is made of that account's objects."""
    plan = post("/v1/payment_intents/pi_1/confirm", b"", ("stripe-account", "acct_1"))
    quote, lookups = priced(plan, {"/v1/payment_intents/pi_1": intent()})

    assert [Lookup("/v1/payment_intents/pi_1", headers=(("stripe-account", "acct_1"),))] == lookups
    assert 20_000_000 == quote.micros


def test_a_plan_tells_which_way_the_money_goes() -> None:
    """As the catalogue has it; empty for what moves nothing."""
    paths = {
        "/v1/payment_intents": "charge",
        "/v1/refunds": "out",
        "/v1/topups": "in",
        "/v1/subscriptions": "armed",
        "/v1/products": "",
    }

    assert paths == {path: post(path).direction for path in paths}
