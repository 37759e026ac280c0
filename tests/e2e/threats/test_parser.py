"""Threats 39 to 54: bodies, paths and credentials that two readers may read in two ways are read by nobody."""

import base64

from tests.e2e.harness import IssuedRun
from tests.e2e.threats.raw import CHARGE, FORM, RESEND, STRIPE, TWILIO, authorization, charge, tunnel
from tests.e2e.threats.scene import Scene
from tests.fakes.vendors import ACCOUNT_SID

JSON = b"Content-Type: application/json\r\n"
MESSAGES = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json"


def request(
    run: IssuedRun,
    body: bytes,
    *,
    host: str = STRIPE,
    path: str | bytes = "/v1/payment_intents",
    kind: bytes = FORM,
    credential: bytes | None = None,
    method: str = "POST",
) -> bytes:
    """A request with everything of its own."""
    target = path if isinstance(path, bytes) else path.encode()
    head = f"{method} ".encode() + target + f" HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n".encode()
    return head + (authorization(run, host) if credential is None else credential) + kind + b"\r\n" + body


def refused(scene: Scene, code: str, *attacks: bytes, host: str = STRIPE) -> None:
    """Each of these is refused with this code; no vendor hears of it, nothing is counted, one audit row tells."""
    with scene.refused(*[code] * len(attacks)):
        for data in attacks:
            with tunnel(scene.up, host) as raw:
                assert code == scene.note(raw.send(data).answer()).code, data


def amounts(run: IssuedRun, *spellings: bytes) -> list[bytes]:
    """Charges with an amount that is spelt like these."""
    return [request(run, b"currency=usd&confirm=true&" + spelling) for spelling in spellings]


def test_39_an_amount_twice(scene: Scene, run: IssuedRun) -> None:
    """Whether the first or the last counts is the vendor's secret."""
    refused(scene, "malformed", *amounts(run, b"amount=1&amount=100000", b"amount=1&amount=1"))


def test_40_an_amount_by_other_names(scene: Scene, run: IssuedRun) -> None:
    """Brackets, NUL, and other cases of the name."""
    spellings = (b"amount[]=1", b"amount[0]=1", b"a%00mount=1", b"amount=1&amount[]=9", b"amount=1&amount[x]=9")
    refused(scene, "malformed", *amounts(run, *spellings))
    with scene.refused("malformed"), tunnel(scene.up) as raw:
        assert "malformed" == raw.send(amounts(run, b"AMOUNT=1")[0]).answer().code


def test_41_a_query_on_a_post(scene: Scene, run: IssuedRun) -> None:
    """Stripe merges it with the body."""
    paths = ("/v1/payment_intents?amount=100000", "/v1/payment_intents?", "/v1/payment_intents?expand[]=latest_charge")
    refused(scene, "malformed", *(request(run, CHARGE, path=path) for path in paths))


def test_42_types_that_disagree(scene: Scene, run: IssuedRun) -> None:
    """A form that says it is JSON, another charset, two types, none."""
    kinds = (
        JSON,
        b"Content-Type: application/x-www-form-urlencoded; charset=utf-16\r\n",
        FORM + JSON,
        FORM + FORM,
        b"Content-Type: text/plain\r\n",
        b"",
    )
    refused(scene, "malformed", *(request(run, CHARGE, kind=kind) for kind in kinds))


def test_43_digits_of_other_scripts(scene: Scene, run: IssuedRun) -> None:
    """Python's int() takes full-width and Arabic digits; nobody else has to."""
    refused(scene, "malformed", *amounts(run, "amount=１００".encode(), b"amount=%D9%A1%D9%A0", b"amount=%EF%BC%91"))  # noqa: RUF001


def test_44_other_spellings_of_a_number(scene: Scene, run: IssuedRun) -> None:
    """Blanks, underscores, signs, hexadecimal, exponents, fractions."""
    spellings = ("+100%0A", "1_000", "%2B100", "-5", "0x10", "1e3", "1.0", "0100", "", "%20100")
    refused(scene, "malformed", *amounts(run, *(f"amount={spelling}".encode() for spelling in spellings)))


def test_45_an_integer_of_5000_digits(scene: Scene, run: IssuedRun) -> None:
    """It is refused before anybody converts it."""
    refused(scene, "malformed", *amounts(run, b"amount=" + b"9" * 5000))


def test_46_json_that_is_read_in_two_ways(scene: Scene, run: IssuedRun) -> None:
    """Duplicate keys, NaN, 1e400, and 100,000 brackets."""
    bodies = (
        b'{"from": "a@example.com", "to": "b@example.com", "to": ["c@example.com", "d@example.com"]}',
        b'{"from": "a@example.com", "to": "b@example.com", "subject": NaN}',
        b'{"from": "a@example.com", "to": "b@example.com", "tags": 1e400}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"from": "a@example.com"',
        b"\xff\xfe",
    )
    attacks = (request(run, body, host=RESEND, path="/emails", kind=JSON) for body in bodies)
    refused(scene, "malformed", *attacks, host=RESEND)


def test_47_compressed_bodies(scene: Scene, run: IssuedRun) -> None:
    """Nothing is unpacked, so no bomb can go off."""
    kinds = (FORM + f"Content-Encoding: {coding}\r\n".encode() for coding in ("gzip", "br", "deflate", "identity"))
    refused(scene, "malformed", *(request(run, CHARGE, kind=kind) for kind in kinds))


def test_48_multipart(scene: Scene, run: IssuedRun) -> None:
    """No operation that runcap prices takes it."""
    body = b'--x\r\nContent-Disposition: form-data; name="amount"\r\n\r\n100\r\n--x--\r\n'
    refused(scene, "malformed", request(run, body, kind=b"Content-Type: multipart/form-data; boundary=x\r\n"))


def test_49_another_method_by_header_or_body(scene: Scene, run: IssuedRun) -> None:
    """A GET that is a POST to somebody behind us."""
    names = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
    refused(scene, "malformed", *(charge(run, headers=f"{name}: GET\r\n".encode()) for name in names))
    refused(scene, "malformed", request(run, CHARGE + b"&_method=GET"))


def test_50_other_spellings_of_a_path(scene: Scene, run: IssuedRun) -> None:
    """Encodings, dots, double slashes, parameters, fragments."""
    paths = (
        "//v1/payment_intents", "/v1//payment_intents", "/v1/%63harges", "/v1/../v1/payment_intents",
        "/v1/%2e%2e/payment_intents", "/v1/./payment_intents", "/v1/payment_intents;x=1", "/v1/payment_intents#x",
        "/v1/payment_intents/", "/v1/payment_intents%00",
    )  # fmt: skip
    refused(scene, "malformed", *(request(run, CHARGE, path=path) for path in paths))
    refused(scene, "malformed", request(run, CHARGE, path=b"/v1/payment_intents\xff"))
    refused(scene, "operation_unknown", request(run, CHARGE, path="/V1/Payment_Intents"))


def test_51_forms_that_are_cut_or_split_otherwise(scene: Scene, run: IssuedRun) -> None:
    """Semicolons, unclosed brackets, bad percents."""
    spellings = (b"amount=1;amount=9", b"amount=1&metadata[a=b", b"amount=1&metadata]=b", b"amount=%zz", b"amount=1&=x")
    refused(scene, "malformed", *amounts(run, *spellings))


def test_52_credentials_that_can_be_read_in_two_ways(scene: Scene, run: IssuedRun) -> None:
    """Two headers; Basic without and with too many colons."""
    bearer = authorization(run)

    def basic(text: str) -> bytes:
        return b"Authorization: Basic " + base64.b64encode(text.encode()) + b"\r\n"

    credentials = (
        bearer + bearer,
        bearer + basic(f"{run.vault_key}:"),
        basic(run.vault_key),
        basic(f"{run.vault_key}::"),
    )
    refused(scene, "malformed", *(request(run, CHARGE, credential=credential) for credential in credentials))
    many = basic(f"{ACCOUNT_SID}:{run.vault_key}:x")
    message = request(run, b"To=%2B15005550009&From=%2B15005550001&Body=x", host=TWILIO, path=MESSAGES, credential=many)
    refused(scene, "malformed", message, host=TWILIO)
    refused(scene, "key_missing", request(run, CHARGE, credential=b""))


def test_53_stripes_key_as_a_user_and_in_the_body(scene: Scene, run: IssuedRun) -> None:
    """As Basic user it is taken, as Stripe takes it; in a body it would be a second credential."""
    basic = b"Authorization: Basic " + base64.b64encode(f"{run.vault_key}:".encode()) + b"\r\n"
    with tunnel(scene.up) as raw:
        assert 200 == scene.note(raw.send(request(run, CHARGE, credential=basic)).answer()).status
    refused(scene, "malformed", request(run, CHARGE + b"&key=sk_live_other"))


def test_54_what_arrives_is_what_was_priced(scene: Scene, run: IssuedRun) -> None:
    """The vendor gets the body built anew: the same model, in one spelling."""
    mark = scene.fakes.journal.mark()
    body = b"amount=100&currency=USD&confirm=true&payment_method=pm_card_visa&metadata%5Border%5D=a+b%26c"
    with tunnel(scene.up) as raw:
        assert 200 == scene.note(raw.send(request(run, body)).answer()).status
    (entry,) = scene.fakes.journal.entries(mark)
    assert 100 == scene.fakes.journal.moved(mark)
    assert "metadata[order]=a b&c" in entry.body.replace("%5B", "[").replace("%5D", "]").replace("+", " ").replace(
        "%26", "&"
    ).replace("%20", " ")
