"""`runcap price`: what a call would cost and why; needs no ledger, and reserves and sends nothing."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Runcap

SID = "AC" + "0123456789abcdef" * 2
MESSAGES = f"/2010-04-01/Accounts/{SID}/Messages.json"


def test_a_charge_in_euros(runcap: Runcap, tmp_path: Path) -> None:
    """Operation, parameters, quote, the rate with its date, and the request that would be forwarded."""
    told = runcap(
        "price", "--vendor", "stripe", "--path", "/v1/payment_intents", "--data", "amount=2000&currency=EUR", "--json"
    ).json
    assert ("POST /v1/payment_intents", "priced") == (told["operation"], told["kind"])
    assert {"amount": "2000", "currency": "eur"} == told["parameters"]
    assert (2000, "EUR") == (told["amount_minor"], told["currency"])
    assert ("EUR", "2") == (told["rate"]["currency"], told["rate"]["margin_percent"])
    assert 10 == len(told["rate"]["date"])
    assert 20_000_000 < told["quote_micros"] < 40_000_000
    assert {
        "method": "POST",
        "path": "/v1/payment_intents",
        "query": "",
        "headers": {"content-type": "application/x-www-form-urlencoded"},
        "body": "amount=2000&currency=eur",
    } == told["forwarded"]
    assert not list(tmp_path.rglob("ledger*"))


def test_dollars_need_no_rate(runcap: Runcap) -> None:
    """20 dollars are 20 dollars."""
    told = runcap(
        "price", "--vendor", "stripe", "--path", "/v1/payment_intents", "--data", "amount=2000&currency=usd", "--json"
    ).json
    assert ("20.00", None, []) == (told["quote_usd"], told["rate"], told["price_list"])


def test_a_price_that_needs_a_lookup(runcap: Runcap) -> None:
    """Without --lookup it says what it would ask the vendor, and has no quote."""
    args = ("price", "--vendor", "stripe", "--path", "/v1/refunds", "--data", "charge=ch_1")
    told = runcap(*args, "--json").json
    assert ("GET /v1/charges/ch_1", None, None, []) == (
        told["would_look_up"], told["quote_usd"], told["quote_micros"], told["lookups"],
    )  # fmt: skip
    people = runcap(*args)
    assert 0 == people.code
    assert "would_look_up GET /v1/charges/ch_1\n" in people.out
    assert "give --lookup to ask it" in people.err


def test_a_lookup_needs_the_secret(runcap: Runcap, monkeypatch: pytest.MonkeyPatch) -> None:
    """The vendor is only asked with the real secret; without one it says which option is missing."""
    monkeypatch.delenv("STRIPE_SECRET_KEY", raising=False)
    result = runcap("price", "--vendor", "stripe", "--path", "/v1/refunds", "--data", "charge=ch_1", "--lookup")
    assert 1 == result.code
    assert "STRIPE_SECRET_KEY" in result.err


def test_a_message(runcap: Runcap, tmp_path: Path) -> None:
    """Country and price list; the text that is forwarded is the one that was priced."""
    (tmp_path / "runcap.toml").write_text(f'[vendors.twilio]\naccount_sid = "{SID}"\n')
    data = "To=%2B14155550100&From=%2B14155550101&Body=hi"
    told = runcap("price", "--vendor", "twilio", "--path", MESSAGES, "--data", data, "--json").json
    assert ("US", 1, None) == (told["country"], told["amount_minor"], told["currency"])
    assert told["quote_micros"] > 0
    assert {"source", "from"} == set(told["price_list"][0])
    people = runcap("price", "--vendor", "twilio", "--path", MESSAGES, "--data", data).out
    assert "parameters    Body=hi\n" in people
    assert f"forwarded     POST {MESSAGES}\n" in people
    assert "(the real secret is put in last)" in people


@pytest.mark.parametrize(
    ("args", "code", "sentence"),
    [
        (("--path", "/v1/refunds", "--data", "amount=1&amount=2"), "malformed", "stands twice"),
        (("--path", "/v1/nothing"), "operation_unknown", "/v1/nothing"),
        (("--path", "/v1/charges", "--data", "amount=2000&currency=xxx"), "unpriced", "XXX"),
        (("--path", "/v1//charges"), "malformed", "not a plain absolute path"),
        (("--path", "/v1/charges", "--data", "amount=1", "-H", "Upgrade: h2c"), "malformed", "upgrade"),
        (("--path", "/v1/charges", "--data", "amount=99999999999&currency=usd"), "unpriced", ""),
    ],
)
def test_what_would_be_refused(runcap: Runcap, args: tuple[str, ...], code: str, sentence: str) -> None:
    """Exit code 1 with the refusal's sentence, in JSON its code too."""
    result = runcap("price", "--vendor", "stripe", *args, "--json")
    assert 1 == result.code
    refused = json.loads(result.out)["refused"]
    assert code == refused["code"]
    assert sentence in refused["message"]
    assert f"Refused: {refused['message']}\n" == result.err


def test_what_is_refused_by_default(runcap: Runcap) -> None:
    """It says why, and what would unlock it."""
    result = runcap("price", "--vendor", "resend", "--path", "/api-keys", "--data", '{"name": "x"}', "--json")
    assert 1 == result.code
    told = json.loads(result.out)
    assert ("denied", "POST /api-keys") == (told["kind"], told["operation"])
    assert "unless the run's policy names it" in told["refused_by_default"]
    assert f"Refused: {told['refused_by_default']}\n" == result.err


def test_wrong_usage(runcap: Runcap) -> None:
    """A header without a colon, a vendor that does not exist."""
    for args in (("--vendor", "paypal"), ("--vendor", "stripe", "-H", "nonsense")):
        assert 2 == runcap("price", *args, "--path", "/v1/charges").code
