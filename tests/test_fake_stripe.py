"""The fake Stripe's billing, in process: what it says was moved is what other tests measure runcap against."""

from typing import Any

import pytest

from tests.fakes.model import Seen
from tests.fakes.stripe import Account, read_params
from tests.fakes.stripe_shelf import Problem


@pytest.fixture
def account() -> Account:
    return Account()


def _do(account: Account, method: str, path: str, body: str = "") -> tuple[dict[str, Any], int]:
    seen = Seen(method, path, "", (), body.encode())
    answer, moved, _ = account.run(seen, read_params(seen))
    return answer, moved


def _price(account: Account, body: str) -> str:
    return str(_do(account, "POST", "/v1/prices", f"currency=usd&{body}")[0]["id"])


def test_v2_is_json() -> None:
    """And a form means nothing there."""
    path = "/v2/money_management/outbound_payments"

    assert {"amount": {"value": 5}} == read_params(Seen("POST", path, "", (), b'{"amount": {"value": 5}}'))
    assert {} == read_params(Seen("POST", path, "amount=5", (), b"amount=5"))


def test_an_invoice_is_at_stake_once_it_is_armed(account: Account) -> None:
    """A draft moves nothing; finalizing does, paying no more, and voiding gives back what is not paid."""
    invoice = _do(account, "POST", "/v1/invoices", "customer=cus_1&auto_advance=false")[0]["id"]
    item = f"customer=cus_1&invoice={invoice}&amount=500&currency=usd"
    moves = [
        _do(account, "POST", path, body)[1]
        for path, body in (
            ("/v1/invoiceitems", item),
            (f"/v1/invoices/{invoice}", "auto_advance=true"),
            ("/v1/invoiceitems", item),
            (f"/v1/invoices/{invoice}/finalize", ""),
            (f"/v1/invoices/{invoice}/void", ""),
        )
    ]

    assert [0, 500, 500, 0, -1000] == moves
    with pytest.raises(Problem, match="void"):
        _do(account, "POST", f"/v1/invoices/{invoice}/pay")


def test_prices_of_all_kinds(account: Account) -> None:
    """Tiers are graduated or by volume, packages are rounded, tax is added and rounded half up."""
    tiers = (
        "billing_scheme=tiered&tiers[0][up_to]=5&tiers[0][unit_amount]=300"
        "&tiers[1][up_to]=inf&tiers[1][unit_amount]=200&tiers[1][flat_amount]=100"
    )
    rate = _do(account, "POST", "/v1/tax_rates", "percentage=8.25")[0]["id"]
    prices = {
        _price(account, f"{tiers}&tiers_mode=graduated"): 5 * 300 + 3 * 200 + 100,
        _price(account, f"{tiers}&tiers_mode=volume"): 8 * 200 + 100,
        _price(account, "unit_amount=70&transform_quantity[divide_by]=5&transform_quantity[round]=up"): 140,
        _price(account, "unit_amount_decimal=0.3"): 2,
        _price(account, "custom_unit_amount[enabled]=true&custom_unit_amount[maximum]=900"): 7200,
    }
    lines = "line_items[0][price]={}&line_items[0][quantity]=8"
    plain = _price(account, "unit_amount=10")
    taxed = f"{lines.format(plain)}&line_items[0][tax_rates][0]={rate}"

    for price, cents in prices.items():
        assert cents == _do(account, "POST", "/v1/checkout/sessions", lines.format(price))[1]
    assert 87 == _do(account, "POST", "/v1/checkout/sessions", taxed)[1]


def test_a_preview_is_what_the_subscription_then_bills(account: Account) -> None:
    """Pending items are in it; it changes nothing."""
    price = _price(account, "unit_amount=1000&recurring[interval]=month")
    _do(account, "POST", "/v1/invoiceitems", "customer=cus_1&amount=50&currency=usd")
    details = f"customer=cus_1&subscription_details[items][0][price]={price}"
    previews = [_do(account, "POST", "/v1/invoices/create_preview", details) for _ in range(2)]
    made, moved = _do(account, "POST", "/v1/subscriptions", f"customer=cus_1&items[0][price]={price}")
    renewal, _ = _do(account, "POST", "/v1/invoices/create_preview", f"{details}&preview_mode=recurring")

    assert [(1050, 0)] * 2 == [(answer["amount_due"], spent) for answer, spent in previews]
    assert (1050, "active", 1000) == (moved, made["status"], renewal["amount_due"])
    with pytest.raises(Problem, match="No upcoming"):
        _do(account, "POST", "/v1/invoices/create_preview", "customer=cus_1")


def test_what_a_request_lacks_is_a_400(account: Account) -> None:
    """Never an exception of the fake's own."""
    for path, body in (
        ("/v1/subscriptions", "customer=cus_1"),
        ("/v1/invoiceitems", "amount=5"),
        ("/v1/payment_links", "line_items[0][price_data][currency]=usd"),
        ("/v1/checkout/sessions", "line_items=x"),
    ):
        with pytest.raises(Problem) as caught:
            _do(account, "POST", path, body)
        assert 400 == caught.value.status
