"""Every write of Stripe's is free, priced, denied with a reason, or unknown."""

from collections import Counter

import pytest

from runcap.decision import Code, Refused
from runcap.vendors.base import Kind
from runcap.vendors.stripe import catalogue
from runcap.vendors.stripe.pricing import Pricing
from tests.vendors.stripe.helpers import RATES, request


def test_all_known_writes_are_classified() -> None:
    """The catalogue has all 386 writes; what is denied says why; only a handful is free."""
    operations = catalogue.catalogue().operations
    kinds = Counter(operation.kind for operation in operations)

    assert (386, 11, 15) == (len(operations), kinds[Kind.PRICED], kinds[Kind.FREE])
    assert all(operation.reason.endswith(".") for operation in operations if operation.kind is Kind.DENIED)
    assert all(operation.pricer for operation in operations if operation.kind is Kind.PRICED)


def test_every_pricer_exists() -> None:
    """A pricer that the data names is a method of the pricing."""
    named = {operation.pricer for operation in catalogue.catalogue().operations} - {""}

    assert named == set(Pricing(RATES)._pricers)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/balance", "GET /v1/balance"),
        ("/v1/payment_intents/pi_3Mtw", "GET /v1/payment_intents/{id}"),
        ("/v1/customers/cus_1/sources/card_1", "GET /v1/customers/{id}/sources/{id}"),
        ("/v1/customers/search", "GET /v1/customers/search"),
        ("/v2/core/events/evt_test_65", "GET /v2/core/events/{id}"),
    ],
)
def test_reads_are_free_and_named_by_their_shape(path: str, name: str) -> None:
    """A read's name has ``{id}`` where an id stands."""
    operation, _ = catalogue.find(request("GET", path))

    assert (name, Kind.FREE) == (operation.name, operation.kind)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/payment_intents/"),
        ("POST", "/v1//payment_intents"),
        ("POST", "/v1/payment%5fintents"),
        ("POST", "/v1/PAYMENT_INTENTS"),
        ("POST", "/v1/payment_intents/pi_1/../pi_2/capture"),
        ("POST", "/v1/payment_intents/pi_1;x/capture"),
        ("POST", "/v3/payment_intents"),
        ("POST", "/v1/money"),
        ("PUT", "/v1/payment_intents"),
        ("DELETE", "/v1/payment_intents/pi_1"),
        ("HEAD", "/v1/balance"),
        ("GET", "/v1"),
        ("GET", "/v1/"),
        ("GET", "/v3/balance"),
        ("GET", "/v1/balance/"),
        ("GET", "/v1/a%2f..%2fb"),
        ("GET", "/healthz"),
    ],
)
def test_anything_else_is_unknown(method: str, path: str) -> None:
    """An unknown write is refused, and the message names it."""
    with pytest.raises(Refused) as caught:
        catalogue.find(request(method, path))

    assert Code.OPERATION_UNKNOWN == caught.value.deny.code
    assert f"{method} {path}" in caught.value.deny.message


@pytest.mark.parametrize(
    "name",
    [
        "POST /v1/account_links",
        "POST /v1/accounts/{account}/external_accounts",
        "POST /v1/charges/{charge}/refund",
        "POST /v1/checkout/sessions",
        "POST /v1/customers/{customer}/balance_transactions",
        "POST /v1/ephemeral_keys",
        "POST /v1/forwarding/requests",
        "POST /v1/invoices/{invoice}/pay",
        "POST /v1/issuing/cards",
        "POST /v1/payment_intents/{intent}/apply_customer_balance",
        "POST /v1/payment_intents/{intent}/verify_microdeposits",
        "POST /v1/payment_links",
        "POST /v1/subscriptions",
        "DELETE /v1/subscriptions/{subscription_exposed_id}",
        "POST /v1/terminal/readers/{reader}/process_payment_intent",
        "POST /v1/tokens",
        "POST /v1/topups",
        "POST /v1/treasury/outbound_payments",
        "POST /v1/webhook_endpoints",
        "POST /v2/money_management/outbound_payments",
    ],
)
def test_what_moves_money_unpriced_or_mints_access_is_denied(name: str) -> None:
    """Such an operation needs the run's policy to allow it by name."""
    by_name = {operation.name: operation for operation in catalogue.catalogue().operations}

    assert Kind.DENIED is by_name[name].kind
