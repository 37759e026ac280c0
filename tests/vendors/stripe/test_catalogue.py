"""Every write of Stripe's is free, priced, denied with a reason, or unknown."""

import re
from collections import Counter
from pathlib import Path

import pytest
import stripe

from runcap.decision import Code, Refused
from runcap.vendors.base import Kind
from runcap.vendors.stripe import catalogue
from runcap.vendors.stripe.pricing import Pricing
from tests.vendors.stripe.helpers import RATES, request


def _operations_of_the_sdk() -> set[str]:
    """Each ``METHOD /path`` that the installed SDK's services call, its braces unnamed."""
    calls = re.compile(r'_request(?:_async)?\(\s*"(post|delete|put|patch)",\s*"(/v[12]/[^"]+)"')
    found = set()
    for path in Path(stripe.__file__).parent.rglob("*_service.py"):
        found |= {f"{method.upper()} {_unnamed(template)}" for method, template in calls.findall(path.read_text())}
    return found


def _unnamed(template: str) -> str:
    return re.sub(r"\{\w+\}", "{}", template)


def test_every_write_of_the_sdk_is_classified() -> None:
    """Whatever method of Stripe's own SDK an agent calls, runcap knows what it is."""
    known = {f"{operation.method} {_unnamed(operation.template)}" for operation in catalogue.catalogue().operations}
    called = _operations_of_the_sdk()

    assert len(called) > 330
    assert set() == called - known


def test_all_known_writes_are_classified() -> None:
    """All 386 writes: a quarter is priced; what is denied or free says why."""
    operations = catalogue.catalogue().operations
    kinds = Counter(operation.kind for operation in operations)

    assert (386, 92, 182, 112) == (len(operations), kinds[Kind.PRICED], kinds[Kind.FREE], kinds[Kind.DENIED])
    assert all(operation.reason.endswith(".") for operation in operations if operation.kind is not Kind.PRICED)
    assert all(operation.pricer for operation in operations if operation.kind is Kind.PRICED)


def test_priced_writes_say_which_way_the_money_goes() -> None:
    """Charge, out, in or armed; only what gives back has none, and nothing else has one."""
    operations = catalogue.catalogue().operations
    directions = {operation.direction for operation in operations if operation.pricer not in {"", "give_back"}}

    assert {"charge", "out", "in", "armed"} == directions
    assert {""} == {operation.direction for operation in operations if operation.pricer in {"", "give_back"}}


def test_facts_fit_their_operations() -> None:
    """What gives back names a parameter of its own path; a lookup's braces are one parameter at the end."""
    for name, facts in catalogue.facts().items():
        assert not facts.gives_back or f"{{{facts.gives_back}}}" in name
        if facts.lookup:
            assert facts.lookup.startswith(("/v1/", "/v2/"))


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
        "DELETE /v1/accounts/{account}/external_accounts/{id}",
        "POST /v1/apps/secrets",
        "POST /v1/balance_settings",
        "POST /v1/billing_portal/sessions",
        "POST /v1/disputes/{dispute}",
        "POST /v1/ephemeral_keys",
        "POST /v1/forwarding/requests",
        "POST /v1/identity/verification_sessions",
        "POST /v1/issuing/cards",
        "POST /v1/issuing/tokens/{token}",
        "POST /v1/link_account_sessions",
        "POST /v1/terminal/onboarding_links",
        "POST /v1/test_helpers/test_clocks/{test_clock}/advance",
        "POST /v1/tokens",
        "POST /v1/treasury/financial_accounts/{financial_account}/features",
        "POST /v1/webhook_endpoints",
        "POST /v2/billing/meter_event_stream",
        "POST /v2/core/event_destinations/{id}",
        "POST /v2/core/vault/us_bank_accounts",
    ],
)
def test_what_cannot_be_priced_or_mints_access_is_denied(name: str) -> None:
    """Such an operation needs the run's policy to allow it by name."""
    by_name = {operation.name: operation for operation in catalogue.catalogue().operations}

    assert Kind.DENIED is by_name[name].kind
