"""Threats 55 to 67: calls that are whole and correct, and cost more, or reach further, than they seem to."""

from urllib.parse import urlencode

import pytest

from tests.e2e.harness import IssuedRun
from tests.e2e.threats.raw import RESEND, STRIPE, TWILIO, Answer, tunnel
from tests.e2e.threats.scene import Scene
from tests.e2e.threats.test_parser import JSON, MESSAGES, refused, request
from tests.fakes.vendors import ACCOUNT_SID

FROM = "+15005550001"


def post(scene: Scene, run: IssuedRun, path: str, **params: str | int) -> Answer:
    """A form to Stripe."""
    with tunnel(scene.up) as raw:
        return scene.note(raw.send(request(run, urlencode(params).encode(), path=path)).answer())


def forms(run: IssuedRun, path: str, *cases: dict[str, str | int], host: str = STRIPE) -> list[bytes]:
    """Forms as bytes."""
    return [request(run, urlencode(case, doseq=True).encode(), path=path, host=host) for case in cases]


def spent(scene: Scene) -> int:
    """What Stripe's counter has."""
    return scene.counted()[0]


def test_55_a_payment_counts_once(scene: Scene, run: IssuedRun) -> None:
    """Create, raise, confirm and capture in part: at the end what was captured, and nothing twice."""
    before = spent(scene)
    made = post(scene, run, "/v1/payment_intents", amount=1000, currency="usd", capture_method="manual")
    intent = made.json["id"]
    assert before + 10_000_000 == spent(scene)
    assert 200 == post(scene, run, f"/v1/payment_intents/{intent}", amount=1500).status
    assert 200 == post(scene, run, f"/v1/payment_intents/{intent}/confirm", payment_method="pm_card_visa").status
    assert before + 15_000_000 == spent(scene)
    captured = post(scene, run, f"/v1/payment_intents/{intent}/capture", amount_to_capture=400)
    assert 200 == captured.status
    assert before + 4_000_000 == spent(scene)


def test_56_money_that_goes_out_counts(scene: Scene, run: IssuedRun) -> None:
    """A refund, a transfer and a payout."""
    charged = post(scene, run, "/v1/charges", amount=900, currency="usd", source="tok_visa").json["id"]
    before = spent(scene)
    assert 200 == post(scene, run, "/v1/refunds", charge=charged).status
    assert 200 == post(scene, run, "/v1/transfers", amount=200, currency="usd", destination="acct_1").status
    assert 200 == post(scene, run, "/v1/payouts", amount=100, currency="usd").status
    assert before + 12_000_000 == spent(scene)


def test_57_other_accounts(scene: Scene, run: IssuedRun) -> None:
    """Stripe-Account needs the run's policy, Stripe-Context is never let through."""
    body = b"amount=100&currency=usd"
    for header in (b"Stripe-Account: acct_1\r\n", b"Stripe-Context: acct_1\r\n"):
        kind = b"Content-Type: application/x-www-form-urlencoded\r\n" + header
        refused(scene, "operation_not_allowed", request(run, body, kind=kind))


def test_58_currencies(scene: Scene, run: IssuedRun) -> None:
    """Yen have no minor unit, an unknown currency has no price, an upper-case one is the same."""
    before = spent(scene)
    assert 200 == post(scene, run, "/v1/payment_intents", amount=1000, currency="jpy").status
    yen = spent(scene) - before
    assert 3_000_000 < yen < 20_000_000  # a thousand yen, not ten
    assert 200 == post(scene, run, "/v1/payment_intents", amount=1000, currency="USD").status
    assert before + yen + 10_000_000 == spent(scene)
    refused(scene, "unpriced", *forms(run, "/v1/payment_intents", {"amount": 100, "currency": "xxx"}))
    refused(scene, "malformed", *forms(run, "/v1/payment_intents", {"amount": 100, "currency": "us"}))


def test_59_quantities_and_revealing_expansions(scene: Scene, run: IssuedRun) -> None:
    """Three of a thing cost three times; a card's number is not expanded."""
    before = spent(scene)
    item = "line_items[0]"
    session = {
        "mode": "payment",
        "success_url": "https://example.com",
        f"{item}[price_data][currency]": "usd",
        f"{item}[price_data][unit_amount]": 500,
        f"{item}[price_data][product_data][name]": "x",
        f"{item}[quantity]": 3,
    }
    with tunnel(scene.up) as raw:
        data = request(run, urlencode(session).encode(), path="/v1/checkout/sessions")
        assert 200 == scene.note(raw.send(data).answer()).status
    assert before + 15_000_000 <= spent(scene)
    path = "/v1/issuing/cards/ic_1?expand[]=number&expand[]=cvc"
    refused(scene, "operation_not_allowed", request(run, b"", path=path, method="GET", kind=b""))


@pytest.mark.parametrize(
    "to",
    ["whatsapp:+15005550009", "rcs:+15005550009", "messenger:1", "client:jane", "sip:a@b.example", "ACME", "12345",
     "+19005550009", "+999123456789", "+882100000000"],
)  # fmt: skip
def test_60_destinations_without_a_price(scene: Scene, run: IssuedRun, to: str) -> None:
    """Channels, names, short codes, premium and unknown numbers."""
    refused(scene, "unpriced", *forms(run, MESSAGES, {"To": to, "From": FROM, "Body": "x"}, host=TWILIO), host=TWILIO)


def messages(scene: Scene, run: IssuedRun, *bodies: str) -> list[int]:
    """What Twilio's counter gains by each text."""
    gains = []
    for text in bodies:
        before = scene.counted()[1]
        (data,) = forms(run, MESSAGES, {"To": "+12025550123", "From": FROM, "Body": text}, host=TWILIO)
        with tunnel(scene.up, TWILIO) as raw:
            assert 201 == scene.note(raw.send(data).answer()).status
        gains.append(scene.counted()[1] - before)
    return gains


def test_61_segments(scene: Scene, run: IssuedRun) -> None:
    """160 and 161 letters, 70 and 71 of another script, an escape and an emoji at the border."""
    one, two, three, four, five, six = messages(
        scene, run, "a" * 160, "a" * 161, "я" * 70, "я" * 71, "a" * 159 + "€", "a" * 69 + "😀"
    )
    assert (one, 2 * one, one, 2 * one, 2 * one, 2 * one) == (one, two, three, four, five, six)


def test_62_repeated_media(scene: Scene, run: IssuedRun) -> None:
    """Ten are a message, eleven are none."""
    case = {"To": "+12025550123", "From": FROM, "MediaUrl": [f"https://example.com/{n}" for n in range(11)]}
    data = request(run, urlencode(case, doseq=True).encode(), path=MESSAGES, host=TWILIO)
    refused(scene, "malformed", data, host=TWILIO)


def test_63_what_hides_the_text_or_the_legs(scene: Scene, run: IssuedRun) -> None:
    """TwiML from elsewhere may dial anybody; a parameter that nobody knows may cost anything."""
    calls = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Calls.json"
    to = {"To": "+12025550123", "From": FROM}
    attacks = forms(
        run, calls, {**to, "Url": "https://example.com/twiml"}, {**to, "ApplicationSid": "AP" + "0" * 32}, host=TWILIO
    )
    attacks += forms(run, MESSAGES, {**to, "Body": "x", "NewFeature": "1"}, host=TWILIO)
    refused(scene, "unpriced", *attacks, host=TWILIO)


def test_64_another_account_in_the_path(scene: Scene, run: IssuedRun) -> None:
    """The real secret would be put in for it."""
    path = f"/2010-04-01/Accounts/AC{'1' * 32}/Messages.json"
    attacks = forms(run, path, {"To": "+12025550123", "From": FROM, "Body": "x"}, host=TWILIO)
    refused(scene, "operation_not_allowed", *attacks, host=TWILIO)


def emails(run: IssuedRun, *bodies: str, path: str = "/emails") -> list[bytes]:
    """Emails as bytes."""
    return [request(run, body.encode(), host=RESEND, path=path, kind=JSON) for body in bodies]


def test_65_recipients_in_disguise(scene: Scene, run: IssuedRun) -> None:
    """Two in one string, 51 in a list, none, and what is no address."""
    many = ", ".join(f'"{number}@example.com"' for number in range(51))
    recipients = ('"a@example.com,b@example.com"', f"[{many}]", "[]", "7", '["a@example.com", null]', '""')
    bodies = (f'{{"from": "x@example.com", "subject": "s", "to": {to}}}' for to in recipients)
    refused(scene, "malformed", *emails(run, *bodies), host=RESEND)


def test_66_copies_and_batches(scene: Scene, run: IssuedRun) -> None:
    """Recipients in a header of the mail's own; batches of none and of 101."""
    hidden = '{"from": "x@example.com", "to": "a@example.com", "subject": "s", "headers": {"Bcc": "b@example.com"}}'
    refused(scene, "malformed", *emails(run, hidden), host=RESEND)
    one = '{"from": "x@example.com", "to": "a@example.com", "subject": "s"}'
    batches = ("[]", "[" + ",".join([one] * 101) + "]", one)
    refused(scene, "malformed", *emails(run, *batches, path="/emails/batch"), host=RESEND)


def test_67_unknown_and_revealing_operations(scene: Scene, run: IssuedRun) -> None:
    """What nobody has classified, what mints a credential, and what shows one."""
    refused(scene, "operation_unknown", *forms(run, "/v1/brand_new_thing", {"a": "b"}))
    refused(scene, "operation_not_allowed", *forms(run, "/v1/ephemeral_keys", {"customer": "cus_1"}))
    account = f"/2010-04-01/Accounts/{ACCOUNT_SID}"
    shown = request(run, b"", path=f"{account}.json", method="GET", kind=b"", host=TWILIO)
    minted = request(run, b"", path=f"{account}/Keys.json", host=TWILIO)
    refused(scene, "operation_not_allowed", shown, minted, host=TWILIO)
    refused(scene, "operation_not_allowed", *emails(run, '{"name": "x"}', path="/api-keys"), host=RESEND)
