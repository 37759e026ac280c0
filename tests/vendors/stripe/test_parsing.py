"""A call is read in one way or refused, and what is forwarded is built from what was read."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runcap.decision import Code, Refused
from runcap.vendors import form
from tests.vendors.stripe.helpers import FORM, VENDOR, post, request

CREATE = "/v1/payment_intents"


def _basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "value", ["Bearer vk_abc", "bearer vk_abc", _basic("vk_abc:")], ids=["bearer", "lower", "basic"]
)
def test_the_credential_is_bearer_or_basic(value: str) -> None:
    """Both ways that Stripe documents carry the vault key."""
    assert "vk_abc" == VENDOR.credential(request("GET", "/v1/balance", b"", ("authorization", value)))


def test_no_credential_is_a_missing_key() -> None:
    """Its own code, so that the message can say what to do."""
    with pytest.raises(Refused) as caught:
        VENDOR.credential(request("GET", "/v1/balance"))

    assert Code.KEY_MISSING == caught.value.deny.code


@pytest.mark.parametrize(
    "values",
    [
        ("Bearer vk_a", "Bearer vk_b"),
        ("Bearer vk_a", _basic("vk_b:")),
        (_basic("vk_a"),),
        (_basic("vk_a:secret"),),
        (_basic("vk_a::"),),
        ("Basic vk_a:",),
        ("Basic " + base64.b64encode(b"vk\xff:").decode(),),
        ("Digest vk_a",),
        ("Bearer",),
        ("Bearer vk_a vk_b",),
        ("Bearer vk_a,vk_b",),
        ("Bearer\tvk_a",),
        ("vk_a",),
        ("",),
    ],
)
def test_an_ambiguous_credential_is_refused(values: tuple[str, ...]) -> None:
    """Two headers, passwords, wrong colons and other schemes are malformed."""
    headers = tuple(("authorization", value) for value in values)

    with pytest.raises(Refused) as caught:
        VENDOR.credential(request("GET", "/v1/balance", b"", *headers))

    assert Code.MALFORMED == caught.value.deny.code


@pytest.mark.parametrize(
    "body",
    [
        b"amount=1&amount=100000&currency=usd",
        b"amount[]=1&currency=usd",
        b"amount[0]=1&currency=usd",
        b"a%00mount=1&currency=usd",
        b"AMOUNT=1&currency=usd",
        b"amount=" + "\uff11\uff10".encode() + b"&currency=usd",
        b"amount=%EF%BC%91&currency=usd",
        b"amount=" + "\u0661".encode() + b"&currency=usd",
        b"amount=%20100&currency=usd",
        b"amount=100%0A&currency=usd",
        b"amount=+100&currency=usd",
        b"amount=%2B100&currency=usd",
        b"amount=1_000&currency=usd",
        b"amount=-5&currency=usd",
        b"amount=0x10&currency=usd",
        b"amount=1e3&currency=usd",
        b"amount=1.0&currency=usd",
        b"amount=01&currency=usd",
        b"amount=&currency=usd",
        b"amount=" + b"9" * 5000 + b"&currency=usd",
        b"amount=1000000000000000&currency=usd",
        b"amount=1&currency=us",
        b"amount=1&currency=usdx",
        b"amount=1&currency=",
        b"amount=1&currency[]=usd",
        "amount=1&currency=\u212a\u212a\u212a".encode(),
        b"amount=1;currency=usd",
        b"amount=1&currency=usd&_method=delete",
        b"amount=1&currency=usd&key=sk_live_1",
        b"amount=1&currency=usd&key[]=sk_live_1",
        b"amount=1&currency=usd&x%ff=1",
        b"amount=1&currency=usd&metadata[a=1",
    ],
)
def test_an_amount_in_another_spelling_is_malformed(body: bytes) -> None:
    """What Python or Stripe may read as a number, but not surely the same one, is never priced."""
    with pytest.raises(Refused) as caught:
        next(VENDOR.quote(post(CREATE, body)))

    assert Code.MALFORMED == caught.value.deny.code


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"amount": 1}'),
        ("application/json", b""),
        ("multipart/form-data; boundary=x", b"--x--"),
        (f"{FORM}; charset=utf-16", b"amount=1"),
        (f"{FORM}, text/plain", b"amount=1"),
        (f"{FORM}; charset=utf-8; charset=utf-7", b"amount=1"),
        (None, b"amount=1"),
    ],
)
def test_the_content_type_must_say_form(content_type: str | None, body: bytes) -> None:
    """A body of another type, or of none, is not guessed at."""
    headers = () if content_type is None else (("content-type", content_type),)

    with pytest.raises(Refused) as caught:
        VENDOR.plan(request("POST", CREATE, body, *headers))

    assert Code.MALFORMED == caught.value.deny.code


def test_two_content_types_are_malformed() -> None:
    """Which one counts is anyone's guess."""
    with pytest.raises(Refused) as caught:
        post(CREATE, b"amount=1&currency=usd", ("content-type", "application/json"))

    assert Code.MALFORMED == caught.value.deny.code


def test_a_query_on_a_post_and_a_body_on_a_get_are_malformed() -> None:
    """Stripe merges query and body, so that there must be one only."""
    for call in (
        request("POST", CREATE, b"amount=1&currency=usd", ("content-type", FORM), query="amount=100000"),
        request("GET", "/v1/balance", b"expand[]=x", ("content-type", FORM)),
        request("DELETE", "/v1/customers/cus_1", b"x=1", ("content-type", FORM)),
        request("GET", "/v1/balance", query="_method=post"),
        request("GET", "/v1/balance", query="key=sk_live_1"),
        request("GET", "/v1/balance", query="limit=1&limit=2"),
    ):
        with pytest.raises(Refused) as caught:
            VENDOR.plan(call)
        assert Code.MALFORMED == caught.value.deny.code


def test_a_connected_account_is_forwarded_and_told() -> None:
    """Stripe-Account goes upstream as it came, and the plan names it, so that the run's policy can be asked."""
    plan = post(CREATE, b"amount=1&currency=usd", ("stripe-account", "acct_1032D82eZvKYlo2C"))

    assert "acct_1032D82eZvKYlo2C" == plan.account == dict(plan.upstream.headers)["stripe-account"]
    assert post(CREATE, b"amount=1&currency=usd").account is None


@pytest.mark.parametrize(
    "value", ["", "acct_", "acct_1,acct_2", "acct_1 ", "acct_" + "1" * 65, "cus_1", "ACCT_1", "acct_1/x"]
)
def test_an_odd_account_is_refused(value: str) -> None:
    """What is no id of one account is nobody's."""
    with pytest.raises(Refused) as caught:
        post(CREATE, b"amount=1&currency=usd", ("stripe-account", value))

    assert Code.MALFORMED == caught.value.deny.code


def test_stripe_context_is_refused() -> None:
    """It can name accounts in more ways than one; even an empty one is refused."""
    for value in ("acct_1", ""):
        with pytest.raises(Refused) as caught:
            post(CREATE, b"amount=1&currency=usd", ("stripe-context", value))
        assert Code.OPERATION_NOT_ALLOWED == caught.value.deny.code


@pytest.mark.parametrize(
    "query",
    [
        "expand[]=number",
        "expand[]=data.cvc",
        "expand[0]=cardholder&expand[1]=number",
        "expand=number",
        "expand%5B%5D=%6eumber",
        "include[0]=webhook_endpoint.signing_secret",
        "expand[]=financial_addresses.aba.account_number",
        "expand[]=payload",
    ],
)
def test_secrets_are_not_expanded(query: str) -> None:
    """Card numbers and signing secrets stay with Stripe."""
    with pytest.raises(Refused) as caught:
        VENDOR.plan(request("GET", "/v1/issuing/cards/ic_1", query=query))

    assert Code.OPERATION_NOT_ALLOWED == caught.value.deny.code


def test_what_is_forwarded_is_built_anew() -> None:
    """Canonical body, allowed headers only, the currency in lower case, and nothing of the credential."""
    plan = post(
        "/v1/payment_intents",
        b"amount=2000&currency=USD&metadata%5Border%5D=a+b%21",
        ("authorization", "Bearer vk_abc"),
        ("idempotency-key", "k-1"),
        ("stripe-version", "2026-10-28.endive"),
        ("user-agent", "Stripe/v1 PythonBindings/16.1.0"),
        ("x-stripe-client-telemetry", "{}"),
        ("x-forwarded-for", "10.0.0.1"),
        ("accept", "*/*"),
    )

    assert b"amount=2000&currency=usd&metadata[order]=a+b%21" == plan.upstream.body
    assert {
        ("accept", "*/*"),
        ("content-type", FORM),
        ("stripe-version", "2026-10-28.endive"),
        ("user-agent", "Stripe/v1 PythonBindings/16.1.0"),
    } == set(plan.upstream.headers)
    assert ("POST", "/v1/payment_intents", "", "k-1") == (
        plan.upstream.method,
        plan.upstream.path,
        plan.upstream.query,
        plan.idempotency_key,
    )
    assert {"amount": "2000", "currency": "usd", "metadata[order]": "a b!"} == plan.params


def test_a_read_is_encoded_anew_and_has_no_idempotency_key() -> None:
    """Stripe keeps idempotency keys of POSTs only."""
    plan = VENDOR.plan(
        request("GET", "/v1/charges", b"", ("idempotency-key", "k"), query="limit=3&expand%5b%5d=data.customer")
    )

    assert ("limit=3&expand[]=data.customer", None) == (plan.upstream.query, plan.idempotency_key)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("idempotency-key", "a" * 256),
        ("idempotency-key", "a\x80"),
        ("idempotency-key", ""),
        ("stripe-version", "2026-10-28.endive; beta=v1"),
        ("stripe-version", "latest"),
    ],
)
def test_odd_header_values_are_malformed(name: str, value: str) -> None:
    """A key that Stripe would cut, or a version with other rules, is not sent on."""
    with pytest.raises(Refused) as caught:
        post(CREATE, b"amount=1&currency=usd", (name, value))

    assert Code.MALFORMED == caught.value.deny.code


def test_the_gateway_takes_json_and_forwards_a_form() -> None:
    """JSON is flattened as Stripe's SDKs flatten their parameters."""
    body = (
        b'{"amount": 2000, "currency": "usd", "confirm": true, "payment_method_types": ["card"],'
        b' "metadata": {"a": "b&c"}}'
    )
    plan = VENDOR.plan(request("POST", CREATE, body, ("content-type", "application/json"), gateway=True))

    assert b"amount=2000&currency=usd&confirm=true&payment_method_types[0]=card&metadata[a]=b%26c" == plan.upstream.body
    assert ("content-type", FORM) in plan.upstream.headers


@pytest.mark.parametrize(
    "body",
    [
        b'{"amount": 20.0}',
        b'{"amount": null}',
        b'{"amount": 1, "amount": 2}',
        b'{"amount": {}}',
        b'{"a]": 1}',
        b'{"amount[]": 1}',
        b'{"amount&currency": 1}',
        b"[1]",
        b"1",
        b'{"amount": NaN}',
        b'{"key": "sk_live_1"}',
    ],
)
def test_json_that_has_no_form_is_malformed(body: bytes) -> None:
    """Floats, null, duplicates and keys with a meaning of their own are refused."""
    with pytest.raises(Refused) as caught:
        VENDOR.plan(request("POST", CREATE, body, ("content-type", "application/json"), gateway=True))

    assert Code.MALFORMED == caught.value.deny.code


def test_v2_is_json() -> None:
    """A v2 write is read strictly too, and written anew."""
    path = "/v2/core/event_destinations"
    plan = VENDOR.plan(request("POST", path, b'{ "name": "x" }', ("content-type", "application/json")))

    assert (b'{"name":"x"}', {"name": "x"}) == (plan.upstream.body, plan.params)
    for content_type, body in (
        (FORM, b"name=x"),
        ("application/json", b'{"name": 1, "name": 2}'),
        ("application/json", b'{"include": ["webhook_endpoint.signing_secret"]}'),
    ):
        with pytest.raises(Refused):
            VENDOR.plan(request("POST", path, body, ("content-type", content_type)))


_NAME = st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True).filter(
    lambda name: name not in {"key", "currency", "expand", "include"}
)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8) | st.integers(0, 10**9),
    lambda children: (
        st.lists(children, min_size=1, max_size=3) | st.dictionaries(_NAME, children, min_size=1, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.dictionaries(_NAME, _VALUES, max_size=3),
    st.integers(0, 10**14),
    st.sampled_from(["usd", "Eur", "JPY"]),
)
def test_what_stripe_receives_reads_as_what_was_priced(tree: dict[str, Any], amount: int, currency: str) -> None:
    """Parsing the forwarded bytes again gives the model that the price came from."""
    tree |= {"amount": amount, "currency": currency}
    pairs = [pair for name, value in tree.items() for pair in form.flatten(name, value)]
    plan = post(CREATE, form.encode(pairs))
    received = form.parse(plan.upstream.body)

    assert plan.detail == received
    assert (str(amount), currency.lower()) == (received.get("amount"), received.get("currency"))
    assert plan.upstream.body == post(CREATE, plan.upstream.body).upstream.body
