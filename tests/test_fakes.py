"""The fake vendors, driven by the vendors' own SDKs, and by raw HTTP where an SDK is too polite."""

import base64
import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import resend
import stripe
import urllib3.util.connection
from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

from tests.fakes import FakeVendors, Fault
from tests.fakes.model import Seen
from tests.fakes.stripe import read_params
from tests.fakes.twilio import segments
from tests.fakes.vendors import ACCOUNT_SID, HOSTS, SECRETS


@pytest.fixture(scope="module")
def shared_fakes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeVendors]:
    with FakeVendors(tmp_path_factory.mktemp("fakes")) as running:
        yield running


@pytest.fixture
def fakes(shared_fakes: FakeVendors, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVendors]:
    """The fakes, where the SDKs find them under the vendors' real names; all else of TLS stays in force."""
    ports = {host: shared_fakes.ports[name] for name, host in HOSTS.items()}

    def dial(address: tuple[str, int], *_args: Any, **_options: Any) -> socket.socket:
        return socket.create_connection(("127.0.0.1", ports[address[0]]), timeout=10)

    monkeypatch.setattr(urllib3.util.connection, "create_connection", dial)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(shared_fakes.ca_file))
    monkeypatch.setattr(stripe, "ca_bundle_path", str(shared_fakes.ca_file))
    monkeypatch.setattr(resend, "api_key", SECRETS["resend"])
    yield shared_fakes
    shared_fakes.clear_faults()


@pytest.fixture
def client(fakes: FakeVendors) -> Iterator[stripe.StripeClient]:
    http_client = stripe.RequestsClient()
    yield stripe.StripeClient(SECRETS["stripe"], http_client=http_client, max_network_retries=2)
    http_client.close()  # type: ignore[no-untyped-call]


def _intent(**params: Any) -> Any:
    return {"amount": 2000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True, **params}


def test_a_confirmed_intent_moves_its_amount(client: stripe.StripeClient, fakes: FakeVendors) -> None:
    """Creating and confirming at once charges; the journal says how much and who asked."""
    mark = fakes.journal.mark()
    intent = client.v1.payment_intents.create(_intent())
    assert "succeeded" == intent.status
    [entry] = fakes.journal.entries(mark)
    assert (2000, "usd", 200) == (entry.moved, entry.unit, entry.status)
    assert f"Bearer {SECRETS['stripe']}" == entry.header("authorization")
    assert intent.last_response is not None
    assert entry.request_id == intent.last_response.request_id


def test_an_intents_life_moves_its_amount_once(client: stripe.StripeClient, fakes: FakeVendors) -> None:
    """Create and update move nothing, confirm blocks, increment adds, a partial capture gives the rest back."""
    mark = fakes.journal.mark()
    intents = client.v1.payment_intents
    intent = intents.create(_intent(confirm=False, capture_method="manual"))
    intents.update(intent.id, {"amount": 3000})
    assert 0 == fakes.journal.moved(mark)
    assert "requires_capture" == intents.confirm(intent.id).status
    assert 3000 == fakes.journal.moved(mark)
    intents.increment_authorization(intent.id, {"amount": 3500})
    assert 3500 == fakes.journal.moved(mark)
    captured = intents.capture(intent.id, {"amount_to_capture": 1200})
    assert ("succeeded", 1200) == (captured.status, captured.amount_received)
    assert 1200 == fakes.journal.moved(mark)
    with pytest.raises(stripe.InvalidRequestError, match="status"):
        intents.capture(intent.id)


def test_cancelling_gives_an_authorization_back(client: stripe.StripeClient, fakes: FakeVendors) -> None:
    """What was blocked and never captured moves back."""
    mark = fakes.journal.mark()
    intent = client.v1.payment_intents.create(_intent(capture_method="manual"))
    assert "canceled" == client.v1.payment_intents.cancel(intent.id).status
    assert [2000, -2000] == [entry.moved for entry in fakes.journal.entries(mark)]


def test_money_going_out_is_moved_too(client: stripe.StripeClient, fakes: FakeVendors) -> None:
    """Refunds, transfers and payouts move their amount; a refund without one, what is left."""
    mark = fakes.journal.mark()
    intent = client.v1.payment_intents.create(_intent())
    client.v1.refunds.create({"payment_intent": intent.id, "amount": 500})
    assert 1500 == client.v1.refunds.create({"payment_intent": intent.id}).amount
    client.v1.transfers.create({"amount": 70, "currency": "usd", "destination": "acct_1Fake"})
    client.v1.payouts.create({"amount": 30, "currency": "usd"})
    assert 2000 + 500 + 1500 + 70 + 30 == fakes.journal.moved(mark)
    with pytest.raises(stripe.InvalidRequestError, match="refund"):
        client.v1.refunds.create({"payment_intent": intent.id, "amount": 1})


def test_charges_customers_and_balance(client: stripe.StripeClient, fakes: FakeVendors) -> None:
    """A charge can be captured later for less; customers and the balance cost nothing."""
    mark = fakes.journal.mark()
    charge = client.v1.charges.create({"amount": 900, "currency": "usd", "source": "tok_visa", "capture": False})
    assert 800 == client.v1.charges.capture(charge.id, {"amount": 800}).amount_captured
    customer = client.v1.customers.create({"email": "someone@example.com"})
    assert customer.id == client.v1.customers.retrieve(customer.id).id
    assert "usd" == client.v1.balance.retrieve().available[0].currency
    assert 800 == fakes.journal.moved(mark)


def test_a_decline_is_402_and_names_the_intent(client: stripe.StripeClient, fakes: FakeVendors) -> None:
    """The declining test card raises CardError, moves nothing, and leaves an intent that could be confirmed."""
    mark = fakes.journal.mark()
    with pytest.raises(stripe.CardError) as caught:
        client.v1.payment_intents.create(_intent(payment_method="pm_card_chargeDeclined"))
    assert "card_declined" == caught.value.code
    body: Any = caught.value.json_body
    intent_id = body["error"]["payment_intent"]["id"]
    assert "requires_payment_method" == client.v1.payment_intents.retrieve(intent_id).status
    assert 0 == fakes.journal.moved(mark)


def test_an_expanded_charge_stands_in_the_intent(client: stripe.StripeClient) -> None:
    """``expand[]=latest_charge`` puts the charge where its id was."""
    intent = client.v1.payment_intents.create(_intent())
    shown = client.v1.payment_intents.retrieve(intent.id, {"expand": ["latest_charge"]})
    assert isinstance(shown.latest_charge, stripe.Charge)
    assert 2000 == shown.latest_charge.amount_captured


def test_stripe_replays_and_refuses_idempotency_keys(client: stripe.StripeClient, fakes: FakeVendors) -> None:
    """The same request is replayed and moves once; other parameters under the key are refused."""
    mark = fakes.journal.mark()
    options: stripe.RequestOptions = {"idempotency_key": "order-1"}
    first = client.v1.payment_intents.create(_intent(), options)
    second = client.v1.payment_intents.create(_intent(), options)
    assert first.id == second.id
    assert second.last_response is not None
    assert "true" == second.last_response.headers["idempotent-replayed"]
    with pytest.raises(stripe.IdempotencyError):
        client.v1.payment_intents.create(_intent(amount=2001), options)
    assert 2000 == fakes.journal.moved(mark)
    assert [False, True, False] == [entry.replayed for entry in fakes.journal.entries(mark)]


def test_the_sdk_retries_a_500_and_is_told_the_same_again(client: stripe.StripeClient, fakes: FakeVendors) -> None:
    """A 500 after executing is stored like any answer: the SDK's retries are replays, and money moved once."""
    mark = fakes.journal.mark()
    fakes.fault(Fault("stripe", ending="error_500"))
    with pytest.raises(stripe.APIError):
        client.v1.payment_intents.create(_intent())
    assert [500, 500, 500] == [entry.status for entry in fakes.journal.entries(mark)]
    assert 2000 == fakes.journal.moved(mark)


def test_a_retry_after_a_cut_connection_finds_the_first_answer(client: stripe.StripeClient, fakes: FakeVendors) -> None:
    """Executed, then cut: the SDK's retry gets the stored answer, and the money moved once."""
    mark = fakes.journal.mark()
    fakes.fault(Fault("stripe", ending="cut"))
    assert "succeeded" == client.v1.payment_intents.create(_intent()).status
    assert [(False, 2000), (True, 0)] == [(entry.replayed, entry.moved) for entry in fakes.journal.entries(mark)]


def test_a_truncated_answer_has_moved_its_money(client: stripe.StripeClient, fakes: FakeVendors) -> None:
    """Half a body is no answer to the SDK, which does not retry it; the call was executed."""
    mark = fakes.journal.mark()
    fakes.fault(Fault("stripe", ending="truncate"))
    with pytest.raises(stripe.APIConnectionError):
        client.v1.payment_intents.create(_intent())
    assert 2000 == fakes.journal.moved(mark)


def test_wrong_secrets_are_refused(fakes: FakeVendors, monkeypatch: pytest.MonkeyPatch) -> None:
    """All three know nothing but their real secret."""
    mark = fakes.journal.mark()
    http_client = stripe.RequestsClient()
    with pytest.raises(stripe.AuthenticationError):
        stripe.StripeClient("sk_live_wrong", http_client=http_client).v1.balance.retrieve()
    http_client.close()  # type: ignore[no-untyped-call]
    with pytest.raises(TwilioRestException, match="Authenticate"):
        _send_sms(Client(ACCOUNT_SID, "wrong"))
    monkeypatch.setattr(resend, "api_key", "re_wrong")
    with pytest.raises(resend.exceptions.ResendError, match="invalid"):
        resend.Emails.send(_email())
    assert [401, 401, 403] == [entry.status for entry in fakes.journal.entries(mark)]


def test_twilio_sends_and_prices_later(fakes: FakeVendors) -> None:
    """A message is created without a price, which is there when asked for later; a call is counted by TimeLimit."""
    mark = fakes.journal.mark()
    client = Client(ACCOUNT_SID, SECRETS["twilio"])
    message = _send_sms(client, body="x" * 161)
    assert (None, "2") == (message.price, message.num_segments)
    assert "-0.01660" == message.fetch().price
    call = client.calls.create(to="+14155550100", from_="+14155550199", twiml="<Response/>", time_limit=90)
    assert call.sid.startswith("CA")
    with pytest.raises(TwilioRestException) as caught:
        client.messages.create(to="+14155550100", from_="+14155550199")
    assert 21602 == caught.value.code
    assert (2, 2) == (fakes.journal.moved(mark, unit="segment"), fakes.journal.moved(mark, unit="minute"))
    _close(client)


def test_twilio_counts_segments() -> None:
    """160 GSM-7 characters or 70 UTF-16 units fit one; escapes count double; a surrogate pair is not split."""
    assert [1, 2, 1, 2] == [segments("a" * 160), segments("a" * 161), segments("€" * 80), segments("€" * 81)]
    assert [1, 2, 1, 2] == [segments("ж" * 70), segments("ж" * 71), segments("😀" * 35), segments("😀" * 36)]
    assert 3 == segments("😀" * 67)


def test_resend_counts_recipients_and_replays(fakes: FakeVendors) -> None:
    """Every To, Cc and Bcc is one email; a key replays its answer, and refuses another body."""
    mark = fakes.journal.mark()
    options: resend.Emails.SendOptions = {"idempotency_key": "mail-1"}
    first = resend.Emails.send(_email(cc=["c@example.com"], bcc="d@example.com"), options)
    assert first["id"] == resend.Emails.send(_email(cc=["c@example.com"], bcc="d@example.com"), options)["id"]
    assert 2 == len(resend.Batch.send([_email(), _email()])["data"])
    assert 4 + 4 == fakes.journal.moved(mark, unit="email")
    with pytest.raises(resend.exceptions.ResendError, match="different request"):
        resend.Emails.send(_email(), options)
    assert "sent" == resend.Emails.get(first["id"])["last_event"]


def test_stripe_merges_query_and_body_and_takes_the_last_duplicate() -> None:
    """What a guard must never let through is read just as Stripe would read it."""
    seen = Seen("POST", "/v1/charges", "amount=1", (), b"amount=2&amount=3&metadata[a]=b&expand[]=x&expand[]=y")
    expected = {"amount": "3", "metadata": {"a": "b"}, "expand": {"0": "x", "1": "y"}}
    assert expected == read_params(seen)


def test_faults_of_the_wire(fakes: FakeVendors) -> None:
    """A 103 before the answer, a compressed one that echoes the credential, trailers, a redirect."""
    fakes.fault(Fault("stripe", "/v1/balance", early_hints=True, gzip=True, echo_authorization=True))
    fakes.fault(Fault("stripe", "/v1/balance", trailers=True))
    fakes.fault(Fault("stripe", "/v1/balance", redirect="https://attacker.example/"))
    hints = _raw(fakes, "GET", "/v1/balance")
    assert hints.startswith(b"HTTP/1.1 103 ")
    assert b"HTTP/1.1 200 " in hints
    assert b"x-echo: Basic " in hints
    assert hints.split(b"\r\n\r\n", 2)[2].startswith(b"\x1f\x8b")
    assert _raw(fakes, "GET", "/v1/balance").endswith(b"\r\n0\r\nx-trailer: yes\r\n\r\n")
    assert b"location: https://attacker.example/" in _raw(fakes, "GET", "/v1/balance")
    assert 0 == fakes.pending_faults()


def test_a_hanging_call_is_executed_and_its_key_is_busy_before(fakes: FakeVendors) -> None:
    """A delayed call keeps its key busy (409); one that hangs has moved its money all the same."""
    mark = fakes.journal.mark()
    fakes.fault(Fault("stripe", delay_seconds=0.3))
    with _connected(fakes) as first, _connected(fakes) as second:
        _ask(first, "POST", "/v1/payouts", "amount=5&currency=usd", key="busy")
        _ask(second, "POST", "/v1/payouts", "amount=5&currency=usd", key="busy")
        assert {200, 409} == {first.getresponse().status, second.getresponse().status}
    fakes.fault(Fault("stripe", ending="hang"))
    with _connected(fakes, timeout=0.3) as hanging:
        _ask(hanging, "POST", "/v1/payouts", "amount=7&currency=usd")
        with pytest.raises(TimeoutError):
            hanging.getresponse()
    assert 5 + 7 == fakes.journal.moved(mark)


def test_certificates_pass_strict_verification_for_their_name_only(fakes: FakeVendors) -> None:
    """What Python 3.13 checks by default holds, and a leaf of one vendor is not another's."""
    context = ssl.create_default_context(cafile=fakes.ca_file)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with (
        socket.create_connection(("127.0.0.1", fakes.ports["twilio"])) as plain,
        context.wrap_socket(plain, server_hostname="api.twilio.com") as secured,
    ):
        assert secured.version() in {"TLSv1.2", "TLSv1.3"}
    with (
        socket.create_connection(("127.0.0.1", fakes.ports["twilio"])) as plain,
        pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"),
    ):
        context.wrap_socket(plain, server_hostname="api.stripe.com")


class _connected(http.client.HTTPSConnection):  # noqa: N801 (used like a function)
    """A connection to the fake Stripe that closes when it is left."""

    def __init__(self, fakes: FakeVendors, timeout: float = 10) -> None:
        self._context = ssl.create_default_context(cafile=fakes.ca_file)
        super().__init__("api.stripe.com", timeout=timeout, context=self._context)
        plain = socket.create_connection(("127.0.0.1", fakes.ports["stripe"]), timeout=timeout)
        self.sock = self._context.wrap_socket(plain, server_hostname="api.stripe.com")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _ask(connection: http.client.HTTPSConnection, method: str, path: str, body: str, key: str | None = None) -> None:
    headers = {
        "Authorization": "Basic " + base64.b64encode(f"{SECRETS['stripe']}:".encode()).decode(),
        "Content-Type": "application/x-www-form-urlencoded",
        **({"Idempotency-Key": key} if key else {}),
    }
    connection.request(method, path, body, headers)


def _raw(fakes: FakeVendors, method: str, path: str) -> bytes:
    """One request, and every byte that comes back within half a second."""
    with _connected(fakes, timeout=0.5) as connection:
        _ask(connection, method, path, "")
        received = b""
        while True:
            try:
                chunk = connection.sock.recv(65536)
            except TimeoutError:
                return received
            if not chunk:
                return received
            received += chunk


def _send_sms(client: Client, body: str = "hello") -> Any:
    try:
        return client.messages.create(to="+14155550100", from_="+14155550199", body=body)
    except TwilioRestException:
        _close(client)
        raise


def _close(client: Client) -> None:
    """Twilio's client has no way to close its session; warnings are errors here."""
    client.http_client.session.close()


def _email(**fields: Any) -> Any:
    to = ["a@example.com", "b@example.com"]
    return json.loads(json.dumps({"from": "me@example.com", "to": to, "subject": "hi", "text": "x", **fields}))


def test_the_journal_outlives_the_process(tmp_path: Path) -> None:
    """What was seen can be read after the vendors have gone."""
    with FakeVendors(tmp_path) as fakes, _connected(fakes) as connection:
        _ask(connection, "POST", "/v1/payouts", "amount=9&currency=usd")
        assert 200 == connection.getresponse().status
    assert 9 == fakes.journal.moved()
